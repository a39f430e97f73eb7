import type { TensorInfo } from './checkpoint.reader.ts';
import { ARTIFACT_LIMITS } from './limits.ts';

/** Stream sizes and the rounding of four streams in each segment, see libs/codec/SEGMENT.md. */
const SEGMENT_OVERHEAD_BYTES = 16;
const CODE_BITS_MAX = 12;

/** A tensor that is quantized and coded: a matrix. */
export type MatrixInfo = TensorInfo & { readonly shape: readonly [number, number] };

/** Two dimensions: quantized and coded. All others are norms and biases, stored as they are. */
export function isMatrix(tensor: TensorInfo): tensor is MatrixInfo {
  return tensor.shape.length === 2;
}

/**
 * Symbols in a segment: 64 Ki, or the largest power of two of which even a segment with the
 * longest codes fits a chunk.
 */
export function segmentSymbolsFor(chunkSizeBytes: number): number {
  let symbols: number = ARTIFACT_LIMITS.segmentSymbolsDefault;
  while ((symbols * CODE_BITS_MAX) / 8 + SEGMENT_OVERHEAD_BYTES > chunkSizeBytes) symbols /= 2;
  return symbols;
}

/** Weights of a block of rows that a rate measurement looks at: enough for a hundredth of a bit. */
const SAMPLE_WEIGHTS = 2 * 1024 * 1024;

/** The rate of a block of rows is measured on every so many of them. */
export function sampleStride({ rows, columns }: { rows: number; columns: number }): number {
  return Math.max(1, Math.floor((rows * columns) / SAMPLE_WEIGHTS));
}
