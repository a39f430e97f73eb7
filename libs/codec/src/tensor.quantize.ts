import { type FloatType, native, type QuantizedTensor } from '@entrofleet/native';
import { entropyBits } from './statistics.ts';

/** How the tensors of a variant are quantized; the shape of a parsed recipe. */
export type TensorRecipe =
  | { readonly kind: 'affine'; readonly bits: 8 | 4 }
  | { readonly kind: 'rate'; readonly targetBitsPerWeight: number };

/** {@link TensorRecipe} once the step factor of a rate recipe is known. */
export type TensorGrid =
  | { readonly kind: 'affine'; readonly bits: 8 | 4 }
  | { readonly kind: 'rows'; readonly stepFactor: number };

/** A matrix as raw little-endian bytes, row-major. */
export interface MatrixInput {
  readonly weights: Uint8Array;
  readonly type: FloatType;
  readonly rows: number;
  readonly columns: number;
}

/** Bits one symbol byte of the grid holds weights for: 8 for `u8` bytes, 4 for nibble pairs. */
export function bitsOf(grid: TensorGrid): 8 | 4 {
  return grid.kind === 'affine' ? grid.bits : 8;
}

/**
 * Quantizes one matrix.
 * @throws Error with `code` `NonFiniteWeight`
 */
export function quantizeTensor(
  matrix: MatrixInput,
  grid: TensorGrid,
  options: { readonly threads: number },
): Promise<QuantizedTensor> {
  const { threads } = options;
  if (grid.kind === 'rows') {
    return native.quantizeRows({ ...matrix, stepFactor: grid.stepFactor, threads });
  }
  const { weights, type } = matrix;
  return native.quantizeAffine({ weights, type, bits: grid.bits, threads });
}

/**
 * Entropy in bits per weight that each step factor would give this matrix. Looks at every
 * `rowStride`-th row.
 * @throws Error with `code` `NonFiniteWeight`
 */
export async function rowRates(
  matrix: MatrixInput,
  options: {
    readonly stepFactors: readonly number[];
    readonly rowStride: number;
    readonly threads: number;
  },
): Promise<number[]> {
  const counts = await native.histogramRows({ ...matrix, ...options });
  return options.stepFactors.map((_, i) => entropyBits(counts.subarray(256 * i, 256 * (i + 1))));
}
