import { z } from 'zod';
import { LIMITS } from './limits.ts';
import { listSchema } from './meta.ts';
import { nameSchema, sha256Schema, variantNameSchema } from './names.ts';

const bytesSchema = z.int().min(0);
const secondsSchema = z.number().min(0).nullable();

/** What a rollout would do with one device, as far as can be told now. */
export const dryRunDeviceSchema = z.strictObject({
  device: nameSchema,
  hardwareClass: z.string(),
  outcome: z
    .enum(['Update', 'Active', 'Offline', 'Unfit', 'Conflict', 'Pinned', 'NotAccepted'])
    .describe('Active: it runs it already. Offline: it would be updated when it is back'),
  wave: z.int().min(0).nullable(),
  variant: variantNameSchema.nullable(),
  artifactId: sha256Schema.nullable(),
  bytesToFetch: bytesSchema.nullable().describe('Payload, less what the device holds already'),
  seconds: secondsSchema.describe('From being started to active; null: too little is known'),
  message: z.string().max(LIMITS.errorMessageLength).describe('The arithmetic, or why not'),
});
export type DryRunDevice = z.infer<typeof dryRunDeviceSchema>;

export const dryRunWaveSchema = z.strictObject({
  wave: z.int().min(0),
  devices: z.int().min(0),
  bytesToFetch: bytesSchema.describe('By all its devices'),
  bytesPublished: bytesSchema.describe(
    'At least, by the controller: a chunk travels once for all devices of a wave that lack it',
  ),
  seconds: secondsSchema.describe('With pace and maxUnavailable, without windows and approvals'),
});
export type DryRunWave = z.infer<typeof dryRunWaveSchema>;

/** Answer of a dry run: all waves and totals, and a page of the devices in the order they go. */
export const dryRunSchema = listSchema(dryRunDeviceSchema).extend({
  accepted: z.strictObject({
    status: z.enum(['Accepted', 'Waiting', 'Rejected', 'Refused']),
    reason: z.string(),
    message: z.string(),
  }),
  waves: z.array(dryRunWaveSchema),
  totals: z.strictObject({
    devices: z.int().min(0).describe('That the selector matches'),
    updates: z.int().min(0),
    active: z.int().min(0),
    offline: z.int().min(0),
    left: z.int().min(0).describe('Unfit, in conflict, pinned, or not accepted'),
    bytesToFetch: bytesSchema.describe('By all waves; what is offline comes on top'),
    bytesPublished: bytesSchema,
    seconds: secondsSchema.describe('One wave after another; null: not known of every device'),
  }),
});
export type DryRun = z.infer<typeof dryRunSchema>;
