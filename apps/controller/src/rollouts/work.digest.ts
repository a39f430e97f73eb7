import { createHash } from 'node:crypto';
import type { Model, RolloutSpec } from '@entrofleet/protocol';

/**
 * Changes when devices have something else to do, or others' turn comes first, so that they do it in
 * waves from the first: with the spec, and with how the model is served. How fast and how carefully
 * it goes may be changed on the way, and pausing and forcing change nothing for a device.
 */
export function workDigest(spec: RolloutSpec, model: Model | undefined): string {
  const { paused, force, revisionHistoryLimit, strategy, ...work } = spec;
  const { waves, order, gates } = strategy;
  const how = { waves, order, gates };
  const text = JSON.stringify({ work, how, serving: model?.spec.serving });
  return createHash('sha256').update(text).digest('hex');
}
