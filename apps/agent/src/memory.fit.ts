import type { Target } from '@entrofleet/protocol';
import { AgentError } from './errors.ts';

/** What JavaScript may still come to take beside a model: its tokenizer, requests and answers. */
const HEAP_BYTES = 32 * 1024 * 1024;

/**
 * Holds what a model needs against the memory that is available while the one before it still
 * serves. Weights need not be decoded to run: where they do not fit as they are fastest, they stay
 * entropy coded, about as large as their artifact. An unknown availability is not held against it.
 * @throws AgentError `DoesNotFit` with the arithmetic.
 */
export function assertFits(target: Target, availableBytes: number | null): void {
  const weightBytes = Math.min(target.memoryBytes, target.artifact.sizeBytes);
  const neededBytes = weightBytes + target.kvCacheBytes;
  if (availableBytes === null || neededBytes <= availableBytes) return;
  throw new AgentError(
    'DoesNotFit',
    `${target.model} ${target.variant} needs ${mebibytes(weightBytes)} of weights + ` +
      `${mebibytes(target.kvCacheBytes)} of KV cache = ${mebibytes(neededBytes)}, but ` +
      `${mebibytes(availableBytes)} are available beside what runs now; choose a smaller variant`,
  );
}

/** What of the available memory a model may plan with for itself. */
export function modelBudgetBytes(availableBytes: number | null): number | undefined {
  return availableBytes === null ? undefined : Math.max(0, availableBytes - HEAP_BYTES);
}

function mebibytes(bytes: number): string {
  return `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
}
