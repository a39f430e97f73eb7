import {
  type FloatType,
  type GramFactor,
  native,
  type QuantizedTensor,
  type RowBlock,
} from '@entrofleet/native';
import { CodecError } from './codec.error.ts';
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
      /** Files of what calibration found out; null without calibration. */
      readonly statistics: StatisticsNames | null;
    };

/** Names of files, each the SHA-256 of its content; null where there is none. */
export interface StatisticsNames {
  /** {@link TensorStatistics.factor} */
  readonly factor: string | null;
  /** {@link TensorStatistics.spreads} */
  readonly spreads: string | null;
}

/** What calibration knows of one tensor. */
export interface TensorStatistics {
  /** How its inputs hang together, for error feedback. */
  readonly factor: GramFactor | null;
  /** Steps of the rows in proportion, for rows that are not equally important. */
  readonly spreads: Float32Array | null;
}

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
 * @param options.statistics what the grid's files hold.
 * @throws Error with `code` `NonFiniteWeight`; CodecError `BadArgument` when statistics are missing.
 */
export async function quantizeTensor(
  matrix: MatrixInput,
  grid: TensorGrid,
  options: { readonly threads: number; readonly statistics?: TensorStatistics | undefined },
): Promise<QuantizedTensor> {
  const { threads, statistics } = options;
  if (grid.kind === 'affine') {
    const { weights, type } = matrix;
    return native.quantizeAffine({ weights, type, bits: grid.bits, threads });
  }
  if (grid.statistics !== null && statistics === undefined) {
    throw new CodecError('BadArgument', 'a calibrated grid needs its statistics');
  }
  const spreads = statistics?.spreads ?? undefined;
  const rows = { ...matrix, blocks: grid.blocks, spreads, threads };
  const factor = statistics?.factor ?? null;
  if (factor === null) return native.quantizeRows(rows);
  const { order, pivots, feedback } = factor;
  return native.quantizeWithFeedback({ ...rows, order, pivots, feedback });
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
    /** Noise of each row is then counted in units of its spread. */
    readonly spreads?: Float32Array | undefined;
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
