import type { FloatType, QuantizedTensor, RowBlock } from './codec.types.ts';

/** H = U D U^T of a Gram matrix, with U unit upper triangular, as error feedback uses it. */
export interface GramFactor {
  /** Columns in the order they are quantized. */
  readonly order: Uint32Array;
  /** D: what a squared error costs once all later columns have made up for it. */
  readonly pivots: Float64Array;
  /** Row k holds U[j][k] for j < k; n (n - 1) / 2 in all. */
  readonly feedback: Float32Array;
}

/**
 * Calibration half of the addon: parts of a forward pass over many tokens, and quantization by what
 * it found. Rules of calls and errors are those of CodecBinding. Activations are tokens x width,
 * row-major. The same input gives the same bits for any `threads`, any instruction set and any
 * mathematical library.
 */
export interface CalibrationBinding {
  /** inputs times transposed weights (rows x columns), plus a bias. */
  linear(input: {
    inputs: Float32Array;
    columns: number;
    weights: Float32Array;
    rows: number;
    bias?: Float32Array | undefined;
    threads: number;
  }): Promise<{
    readonly outputs: Float32Array;
    /** Sum of squares of all outputs before the bias. */
    readonly power: number;
  }>;

  /**
   * Adds transposed inputs times inputs to `sums` (columns x columns), of which only elements on
   * and below the diagonal mean anything.
   */
  addGram(input: {
    sums: Float64Array;
    inputs: Float32Array;
    columns: number;
    threads: number;
  }): Promise<void>;

  /** Each row over its root mean square, times weight. */
  normalizeRows(input: {
    inputs: Float32Array;
    weight: Float32Array;
    epsilon: number;
  }): Promise<Float32Array>;

  /** gate / (1 + exp(-gate)) * up. */
  gateRows(input: { gate: Float32Array; up: Float32Array }): Promise<Float32Array>;

  /** Rotary embedding and causal attention within each of several sequences of `lengths` tokens. */
  attendSequences(input: {
    queries: Float32Array;
    keys: Float32Array;
    values: Float32Array;
    heads: number;
    keyValueHeads: number;
    headSize: number;
    lengths: Uint32Array;
    /** As in ModelGeometry. */
    rotaryFrequencies: Float64Array;
    slidingWindow: number;
    threads: number;
  }): Promise<Float32Array>;

  /** With p the softmax of each row of logits: adds p to `sums` and p (1 - p) to `variances`. */
  addProbabilities(input: {
    logits: Float32Array;
    sums: Float64Array;
    variances: Float64Array;
  }): Promise<void>;

  /**
   * Factors a Gram matrix, which is overwritten, after adding `damping` times the mean of its
   * diagonal to it. A matrix of zeros counts as the identity.
   */
  factorGram(input: {
    gram: Float64Array;
    columns: number;
    damping: number;
    threads: number;
  }): Promise<GramFactor>;

  /**
   * As quantizeRows, but the error of each column is made up for by the columns after it, and levels
   * are chosen by error and code length together.
   */
  quantizeWithFeedback(input: {
    weights: Uint8Array;
    type: FloatType;
    rows: number;
    columns: number;
    blocks: readonly RowBlock[];
    spreads?: Float32Array | undefined;
    order: Uint32Array;
    pivots: Float64Array;
    feedback: Float32Array;
    threads: number;
  }): Promise<QuantizedTensor>;
}
