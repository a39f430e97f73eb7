import type { SelectableFields } from '../objects/field.selector.ts';

/** What rollouts can be selected by, besides their labels. */
export const ROLLOUT_FIELDS: SelectableFields = {
  'metadata.name': { path: ['metadata', 'name'] },
  'spec.model': { path: ['spec', 'model'] },
  'spec.variant': { path: ['spec', 'variant'] },
  'spec.paused': { path: ['spec', 'paused'] },
  'status.phase': { path: ['status', 'phase'] },
  'status.artifactId': { path: ['status', 'artifactId'] },
};
