import type { TensorInfo } from './checkpoint.reader.ts';

/** A tensor that is quantized and coded: a matrix. */
export type MatrixInfo = TensorInfo & { readonly shape: readonly [number, number] };

/** Two dimensions: quantized and coded. All others are norms and biases, stored as they are. */
export function isMatrix(tensor: TensorInfo): tensor is MatrixInfo {
  return tensor.shape.length === 2;
}

/** Weights of a block of rows that a rate measurement looks at: enough for a hundredth of a bit. */
const SAMPLE_WEIGHTS = 2 * 1024 * 1024;

/** The rate of a block of rows is measured on every so many of them. */
export function sampleStride({ rows, columns }: { rows: number; columns: number }): number {
  return Math.max(1, Math.floor((rows * columns) / SAMPLE_WEIGHTS));
}
