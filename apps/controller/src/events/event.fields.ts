import type { SelectableFields } from '../objects/field.selector.ts';

/** What events can be selected by. */
export const EVENT_FIELDS: SelectableFields = {
  type: { path: ['type'] },
  reason: { path: ['reason'] },
  'object.kind': { path: ['object', 'kind'] },
  'object.name': { path: ['object', 'name'] },
};
