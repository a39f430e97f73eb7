import { z } from 'zod';
import { desiredSchema, reportSchema } from './messages.ts';
import { conditionSchema, instantSchema, objectMetaSchema } from './meta.ts';
import { labelsSchema } from './names.ts';

export const deviceStatusSchema = z.strictObject({
  online: z.boolean(),
  lastSeen: instantSchema.nullable(),
  desired: desiredSchema.nullable().describe('What the controller last asked of the device'),
  report: reportSchema.nullable().describe('What the device last said'),
  conditions: z.array(conditionSchema),
});
export type DeviceStatus = z.infer<typeof deviceStatusSchema>;

/** `metadata.labels` are the device's own labels overlaid by the labels set by an operator. */
export const deviceSchema = z.strictObject({
  metadata: objectMetaSchema,
  spec: z.strictObject({
    labels: labelsSchema.describe('Labels set by an operator; they win over the reported ones'),
  }),
  status: deviceStatusSchema,
});
export type Device = z.infer<typeof deviceSchema>;

/** `PATCH /api/v1/devices/{name}` body. */
export const devicePatchSchema = z.strictObject({
  resourceVersion: z.string().optional(),
  labels: labelsSchema,
});
