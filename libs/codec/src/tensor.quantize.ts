import { type FloatType, native, type QuantizedTensor, type RowBlock } from '@entrofleet/native';
import { entropyBits } from './statistics.ts';

/** How the tensors of a variant are quantized; the shape of a parsed recipe. */
export type TensorRecipe =
  | { readonly kind: 'affine'; readonly bits: 8 | 4 }
  | { readonly kind: 'rate'; readonly targetBitsPerWeight: number }
  | { readonly kind: 'quality'; readonly targetSqnrDb: number };

/** {@link TensorRecipe} once the steps of one tensor are decided. */
export type TensorGrid =
  | { readonly kind: 'affine'; readonly bits: 8 | 4 }
  | {
      readonly kind: 'rows';
      /** They tile the tensor's rows. */
      readonly blocks: readonly RowBlock[];
    };

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
    return native.quantizeRows({ ...matrix, blocks: grid.blocks, threads });
  }
  const { weights, type } = matrix;
  return native.quantizeAffine({ weights, type, bits: grid.bits, threads });
}

/** Figures of a matrix whose rows share a step factor, for each of several factors. */
export interface MeasuredRates {
  /** 256 counts of symbols per factor. */
  readonly histograms: readonly Float64Array[];
  /** Entropy in bits per weight. */
  readonly bits: readonly number[];
  /** Squared error over squared weights. */
  readonly noise: readonly number[];
  /** Root mean square of the weights. */
  readonly rms: number;
}

/**
 * What each step factor would cost and lose.
 * @param options.shared rows' steps also follow the root mean square of the whole matrix.
 * @throws Error with `code` `NonFiniteWeight`
 */
export async function measureRates(
  matrix: MatrixInput,
  options: {
    readonly stepFactors: readonly number[];
    readonly shared: boolean;
    readonly threads: number;
  },
): Promise<MeasuredRates> {
  const curve = await native.rateCurve({ ...matrix, ...options });
  const histograms = options.stepFactors.map((_, i) =>
    curve.histograms.subarray(256 * i, 256 * (i + 1)),
  );
  return {
    histograms,
    bits: histograms.map(entropyBits),
    noise: Array.from(curve.noisePowers, (power) =>
      curve.signalPower === 0 ? 0 : power / curve.signalPower,
    ),
    rms: curve.rms,
  };
}
