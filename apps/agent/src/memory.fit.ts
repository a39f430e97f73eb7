import type { Target } from '@entrofleet/protocol';
import { AgentError } from './errors.ts';

/**
 * Holds what a model needs against the memory that is available while the one before it still
 * serves. An unknown availability is not held against it.
 * @throws AgentError `DoesNotFit` with the arithmetic.
 */
export function assertFits(target: Target, availableBytes: number | null): void {
  const neededBytes = target.memoryBytes + target.kvCacheBytes;
  if (availableBytes === null || neededBytes <= availableBytes) return;
  throw new AgentError(
    'DoesNotFit',
    `${target.model} ${target.variant} needs ${mebibytes(target.memoryBytes)} of weights + ` +
      `${mebibytes(target.kvCacheBytes)} of KV cache = ${mebibytes(neededBytes)}, but ` +
      `${mebibytes(availableBytes)} are available beside what runs now; choose a smaller variant`,
  );
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
