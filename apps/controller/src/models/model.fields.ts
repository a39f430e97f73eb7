import type { SelectableFields } from '../objects/field.selector.ts';

/** What models can be selected by, besides their labels. */
export const MODEL_FIELDS: SelectableFields = {
  'metadata.name': { path: ['metadata', 'name'] },
  'spec.source.path': { path: ['spec', 'source', 'path'] },
};
