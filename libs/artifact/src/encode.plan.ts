import type { TensorInfo } from './checkpoint.reader.ts';

/** A tensor that is quantized and coded: a matrix. */
export type MatrixInfo = TensorInfo & { readonly shape: readonly [number, number] };

/** Two dimensions: quantized and coded. All others are norms and biases, stored as they are. */
export function isMatrix(tensor: TensorInfo): tensor is MatrixInfo {
  return tensor.shape.length === 2;
}

/** Weights of a tensor that a rate measurement looks at: enough for a hundredth of a bit. */
const SAMPLE_WEIGHTS = 4 * 1024 * 1024;

/** The rate of a tensor is measured on every so many rows. */
export function sampleStride(tensor: MatrixInfo): number {
  const [rows, columns] = tensor.shape;
  return Math.max(1, Math.floor((rows * columns) / SAMPLE_WEIGHTS));
}
