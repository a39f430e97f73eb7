import type { SelectableFields } from '../objects/field.selector.ts';

/** What devices can be selected by, besides their labels. */
export const DEVICE_FIELDS: SelectableFields = {
  'metadata.name': { path: ['metadata', 'name'] },
  'spec.pinned': { path: ['spec', 'pinned'], absent: 'false' },
  'spec.quarantined': { path: ['spec', 'quarantined'], absent: 'false' },
  'status.online': { path: ['status', 'online'] },
  'status.phase': { path: ['status', 'report', 'phase'] },
  'status.report.phase': { path: ['status', 'report', 'phase'] },
  'status.report.agentVersion': { path: ['status', 'report', 'agentVersion'] },
  'status.report.active.model': { path: ['status', 'report', 'active', 'model'] },
  'status.report.active.variant': { path: ['status', 'report', 'active', 'variant'] },
  'status.report.active.artifactId': { path: ['status', 'report', 'active', 'artifactId'] },
  'status.report.target.model': { path: ['status', 'report', 'target', 'model'] },
  'status.report.target.variant': { path: ['status', 'report', 'target', 'variant'] },
  'status.report.error.reason': { path: ['status', 'report', 'error', 'reason'] },
  'status.report.capabilities.architecture': {
    path: ['status', 'report', 'capabilities', 'architecture'],
  },
  'status.desired.rollout': { path: ['status', 'desired', 'rollout'] },
};
