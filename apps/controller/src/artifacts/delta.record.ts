import { artifactRefSchema } from '@entrofleet/protocol';
import { z } from 'zod';

/** What became of the delta between two artifacts. */
export const deltaRecordSchema = z.discriminatedUnion('state', [
  z.strictObject({
    state: z.literal('Making'),
    starts: z.int().min(1).describe('How often a worker began it'),
  }),
  z.strictObject({
    state: z.literal('Ready'),
    ref: artifactRefSchema,
    reuseSizeBytes: z.int().min(0).describe('What a device with the base would fetch without it'),
  }),
  z.strictObject({
    state: z.literal('NotSmaller'),
    sizeBytes: z.int().min(0),
    reuseSizeBytes: z.int().min(0),
  }),
  z.strictObject({ state: z.literal('Failed'), reason: z.string(), message: z.string() }),
]);
export type DeltaRecord = z.infer<typeof deltaRecordSchema>;

/** Ids of two artifacts. */
export interface DeltaPair {
  readonly base: string;
  readonly target: string;
}
