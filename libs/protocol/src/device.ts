import { z } from 'zod';
import { desiredSchema, modelIdentitySchema, reportSchema } from './messages.ts';
import { conditionSchema, instantSchema, objectMetaSchema } from './meta.ts';
import { labelsSchema } from './names.ts';

export const deviceStatusSchema = z.strictObject({
  online: z.boolean(),
  lastSeen: instantSchema.nullable(),
  desired: desiredSchema.nullable().describe('What the controller last asked of the device'),
  previous: modelIdentitySchema
    .nullable()
    .optional()
    .describe('What the device ran when it was asked for `desired.target`; null: nothing'),
  report: reportSchema.nullable().describe('What the device last said'),
  penalty: z
    .strictObject({
      failures: z.int().min(1).describe('Failed updates in a row, over all rollouts'),
      until: instantSchema.describe('Rollouts start it again only then'),
      revision: z.int().min(0).optional().describe('Of the desired state that failed last'),
    })
    .nullable()
    .optional(),
  conditions: z.array(conditionSchema),
});
export type DeviceStatus = z.infer<typeof deviceStatusSchema>;

/** What an operator wants of a device. */
export const deviceSpecSchema = z.strictObject({
  labels: labelsSchema.describe('Labels set by an operator; they win over the reported ones'),
  pinned: z.boolean().default(false).describe('No rollout changes what the device runs'),
  quarantined: z
    .boolean()
    .default(false)
    .describe('As pinned, and it counts for no wave and no gate; for a device that is not well'),
});
export type DeviceSpec = z.infer<typeof deviceSpecSchema>;

/** `metadata.labels` are the device's own labels overlaid by the labels set by an operator. */
export const deviceSchema = z.strictObject({
  metadata: objectMetaSchema,
  spec: deviceSpecSchema,
  status: deviceStatusSchema,
});
export type Device = z.infer<typeof deviceSchema>;

/** `PATCH /api/v1/devices/{name}` body; what is absent stays. Labels are replaced as a whole. */
export const devicePatchSchema = z.strictObject({
  resourceVersion: z.string().optional(),
  labels: labelsSchema.optional(),
  pinned: z.boolean().optional(),
  quarantined: z.boolean().optional(),
});
