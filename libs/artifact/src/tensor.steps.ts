import { ArtifactError } from './artifact.error.ts';
import type { CodedTensorEntry } from './artifact.header.ts';
import { parseBf16 } from './float.bits.ts';

/**
 * The one step of a tensor, or those of its rows.
 * @param bytes what stands in front of the tensor's segments, see stepBytes().
 * @throws ArtifactError `BadTensor` for a step that no row can have.
 */
export function tensorSteps(entry: CodedTensorEntry, bytes: Uint8Array): Float32Array {
  if (entry.step !== null) return Float32Array.of(entry.step);
  const steps = parseBf16(bytes);
  const bad = steps.findIndex((step) => !(Number.isFinite(step) && step > 0));
  if (bad === -1) return steps;
  throw new ArtifactError(
    'BadTensor',
    `tensor "${entry.name}" has step ${steps[bad]} in row ${bad}; encode the model again`,
  );
}
