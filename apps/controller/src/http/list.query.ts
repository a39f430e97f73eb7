import { selectorTextSchema } from '@entrofleet/protocol';
import { z } from 'zod';
import { parseFieldSelector, type SelectableFields } from '../objects/field.selector.ts';

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

/** Query parameters of a list that can be watched. */
export const watchQuerySchema = z.strictObject({
  watch: z
    .enum(['true', 'false'])
    .transform((text) => text === 'true')
    .optional()
    .describe('true: answer with server-sent events of what happens, see WatchEvent'),
  resourceVersion: z
    .string()
    .max(30)
    .optional()
    .describe(
      'Watch from here on, as metadata.resourceVersion of a list says; none: from what there is. ' +
        'The header Last-Event-ID does the same. 410 when it is too old: list again',
    ),
});

/** Query of a list of objects that can be selected by these fields, and watched. */
export function objectListQuery(fields: SelectableFields) {
  return z.strictObject({
    ...listQuerySchema.shape,
    fieldSelector: fieldSelectorSchema(fields),
    ...watchQuerySchema.shape,
  });
}

export function fieldSelectorSchema(fields: SelectableFields) {
  const names = Object.keys(fields);
  return z
    .string()
    .max(4096)
    .transform((text) => parseFieldSelector(text, fields))
    .optional()
    .describe(`field=value,field!=value with the fields ${names.join(', ')}`);
}

export const deleteQuerySchema = z.strictObject({
  resourceVersion: z.string().max(30).optional().describe('Delete only what is still at it'),
});
export type DeleteQuery = z.infer<typeof deleteQuerySchema>;
