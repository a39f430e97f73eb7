import { selectorTextSchema } from '@entrofleet/protocol';
import { z } from 'zod';

/** Query of every list that comes in pages. */
export const pageQuerySchema = z.strictObject({
  limit: z.coerce.number().int().min(1).max(500).optional().describe('Items in a page, up to 500'),
  continue: z.string().max(1000).optional().describe('metadata.continue of the page before'),
});

/** Query of every list of objects. */
export const listQuerySchema = z.strictObject({
  labelSelector: selectorTextSchema
    .optional()
    .describe('As kubectl -l takes it, e.g. site=berlin,gpu in (orin,nano),!old'),
  ...pageQuerySchema.shape,
});
export type ListQuery = z.infer<typeof listQuerySchema>;

export const deleteQuerySchema = z.strictObject({
  resourceVersion: z.string().max(30).optional().describe('Delete only what is still at it'),
});
export type DeleteQuery = z.infer<typeof deleteQuerySchema>;
