import { createHash } from 'node:crypto';
import type { Model, RolloutSpec } from '@entrofleet/protocol';

/**
 * Changes when devices have something else to do, so that they do it in waves: with the spec, and
 * with how the model is served. Pausing and forcing change nothing for a device.
 */
export function workDigest(spec: RolloutSpec, model: Model | undefined): string {
  const { paused, force, ...work } = spec;
  const text = JSON.stringify({ work, serving: model?.spec.serving });
  return createHash('sha256').update(text).digest('hex');
}
