/** Element type of a checkpoint's tensors, as safetensors names them in lower case. */
export type FloatType = 'f32' | 'f16' | 'bf16';

/** A weight is `step * (symbol - zeroPoint)`; the step is one per tensor or one per row. */
export interface QuantizedTensor {
  /** One byte a symbol. For 4 bits: nibble pairs, first weight in the low nibble, zero padded. */
  readonly symbols: Uint8Array;
  /** Counts of each byte value in `symbols`, 256 entries. */
  readonly histogram: Float64Array;
  readonly zeroPoint: number;
  /** One step for the tensor (`length` 1), or one per row, these exactly representable in bf16. */
  readonly steps: Float32Array;
  /** Order-0 entropy of the weights' integers (nibbles for 4 bits), bits per weight. */
  readonly entropyBitsPerWeight: number;
  /** Sums of squares of the weights and of the quantization error, for SQNR. */
  readonly signalPower: number;
  readonly noisePower: number;
}

/** Consecutive rows of a matrix and how wide their steps are. */
export interface RowBlock {
  readonly rows: number;
  /** Step of a row over its spread, before it is fitted to the levels. */
  readonly stepFactor: number;
  /**
   * 0: the spread of a row is its root mean square. Else it is the geometric mean of that and this
   * number.
   */
  readonly sharedRms: number;
}

/** Rate and distortion of a matrix for each of several step factors. */
export interface RateCurve {
  /** 256 counts of symbols per factor, concatenated. */
  readonly histograms: Float64Array;
  /** Sum of squared errors per factor. */
  readonly noisePowers: Float64Array;
  /** Sum of squared weights. */
  readonly signalPower: number;
  /** Root mean square of all weights. */
  readonly rms: number;
}

export interface EncodedSymbols {
  /** Segments one after the other, no gaps. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** Byte length of each segment. */
  readonly segmentSizes: Uint32Array;
  /** Canonical Huffman code length of each of the 256 symbols, 0 when absent, at most 15. */
  readonly codeLengths: Uint8Array;
}

/** The lane layout, libs/codec/LANES.md. */
export interface LaneEncodedSymbols {
  /** Segments one after the other, no gaps. */
  readonly payload: Uint8Array<ArrayBuffer>;
  /** Byte length of each segment. */
  readonly segmentSizes: Uint32Array;
  /** The code in its byte form, at most 129 bytes. */
  readonly code: Uint8Array;
}

/** What every decode call takes beside the code. */
export interface DecodeInput {
  payload: Uint8Array;
  segmentSizes: Uint32Array;
  segmentSymbols: number;
  symbolCount: number;
  /** `symbolCount` bytes, possibly part of a larger buffer: nothing else is written. */
  output: Uint8Array;
  threads: number;
  /** Of the shuffle that assigns segments to threads; 0 unless given. */
  seed?: number;
  /**
   * Two elements, to follow and to stop the call while it runs. Set the first to anything but 0
   * and the call rejects with `Cancelled` before its next segment; the second grows by one with
   * each segment that is done.
   */
  control?: Int32Array;
}

/** Consecutive weights of a matrix, and how the base's levels become levels of the target. */
export interface ResidualInput {
  /** Symbols of the base for these weights. */
  base: Uint8Array;
  /** Of a level; with 4, a symbol holds two. */
  bits: 8 | 4;
  baseZeroPoint: number;
  targetZeroPoint: number;
  /** Weights in a row of the matrix. */
  columns: number;
  /** Where in its row the first weight stands. */
  firstColumn: number;
  /** At most 2^25. */
  weights: number;
  /**
   * Steps of the base over steps of the target, times 2^16, at most 2^22 in magnitude: one for each
   * row that the weights touch, or one for all.
   */
  ratios: Int32Array;
}

/**
 * Codec half of the addon. Every call runs on worker threads and leaves the event loop free.
 * Calls reject with an Error whose `code` is a CamelCase reason: `BadArgument`, `NonFiniteWeight`
 * (`index` is that of the first such weight), `BadCodeTable`, `CorruptSegment` (`index` is that of
 * the first corrupt segment), `Cancelled`, `OutOfMemory` or `ThreadsUnavailable`. The same input gives the same
 * bytes for any `threads` and any instruction set. Buffers must not be transferred during a call.
 */
export interface CodecBinding {
  /**
   * EntroLLM's per-tensor quantization (paper, section 2.1): unsigned when all weights have one
   * sign (the step is negative when that sign is), else asymmetric over min..max, round to nearest,
   * ties to even. The step is a float and never 0: 1 for zeros or no weights at all.
   */
  quantizeAffine(input: {
    /** Raw little-endian tensor bytes. */
    weights: Uint8Array;
    type: FloatType;
    bits: 8 | 4;
    threads: number;
  }): Promise<QuantizedTensor>;

  /**
   * Per-row step on an int8 grid; `blocks` say how wide the steps are, and are raised where needed
   * so that the largest weight fits +-127, and rounded to bf16; symbol = round(w / step) + 128. The
   * step that is returned is then fitted to the levels by least squares, in bf16 too. A row of zeros
   * has step 1. Rows and columns are both positive, or both 0.
   */
  quantizeRows(input: {
    weights: Uint8Array;
    type: FloatType;
    rows: number;
    columns: number;
    blocks: readonly RowBlock[];
    /**
     * One number above 0 per row, to which steps are in proportion instead of the root mean square
     * of the row; no step is then wider than 1.5 times that.
     */
    spreads?: Float32Array | undefined;
    threads: number;
  }): Promise<QuantizedTensor>;

  /**
   * What {@link quantizeRows} would count and lose for each of at most 64 step factors, all rows in
   * one block: with its own root mean square as `sharedRms`, or with 0 unless `shared`.
   */
  rateCurve(input: {
    weights: Uint8Array;
    type: FloatType;
    rows: number;
    columns: number;
    stepFactors: readonly number[];
    shared: boolean;
    /** As for {@link quantizeRows}; powers are then sums of each row's over its spread squared. */
    spreads?: Float32Array | undefined;
    threads: number;
  }): Promise<RateCurve>;

  /** How often each of the 256 byte values occurs. */
  countSymbols(input: { symbols: Uint8Array; threads: number }): Promise<Float64Array>;

  /**
   * Optimal Huffman code lengths under the limit of 12 bits for 256 counts, which may be the sum of
   * several histograms: one table for a whole model. A value that does not occur has length 0.
   * @throws Error with `code` `BadArgument`
   */
  huffmanCodeLengths(input: { histogram: Float64Array }): Uint8Array;

  /**
   * Canonical, length-limited Huffman over independent segments of `segmentSymbols` symbols, with
   * the optimal code unless `codeLengths` is given. Rejects with `BadCodeTable` when those given are
   * no prefix code, or have none for a symbol that occurs (`index` is that symbol).
   */
  encodeHuffman(input: {
    symbols: Uint8Array;
    segmentSymbols: number;
    threads: number;
    codeLengths?: Uint8Array;
  }): Promise<EncodedSymbols>;

  /**
   * Decodes segments in parallel into `output`. Segments are assigned to threads by a shuffle and
   * by their size in bytes (paper, section 2.3), without locks. Nothing outside `payload` is read
   * and nothing outside `output` is written, whatever the input.
   * @returns wall-clock seconds spent decoding.
   */
  decodeHuffman(input: DecodeInput & { codeLengths: Uint8Array }): Promise<number>;

  /**
   * The grouped prefix code in 64 interleaved lanes, over segments as {@link encodeHuffman}: with
   * the optimal code unless `code` is given, in its byte form.
   */
  encodeLanes(input: {
    symbols: Uint8Array;
    segmentSymbols: number;
    threads: number;
    code?: Uint8Array;
  }): Promise<LaneEncodedSymbols>;

  /**
   * Symbols of a matrix coded by what those of a similar matrix predict (libs/artifact/DELTA.md):
   * a few hundredths of a bit a weight when they hardly differ. About 10 ns a weight, one thread.
   */
  encodeResiduals(input: ResidualInput & { target: Uint8Array }): Promise<Uint8Array<ArrayBuffer>>;

  /**
   * Reads nothing outside `coded` and `base`, whatever they hold; rejects with `CorruptSegment` for
   * what no encoder wrote.
   * @returns the symbols of the target.
   */
  decodeResiduals(input: ResidualInput & { coded: Uint8Array }): Promise<Uint8Array<ArrayBuffer>>;

  /** As {@link decodeHuffman}. */
  decodeLanes(input: DecodeInput & { code: Uint8Array }): Promise<number>;

  /**
   * Zeroed memory to decode into: aligned, and in huge pages where the system has them, which makes
   * decoding a large tensor into fresh memory faster than into an ordinary new array.
   * @throws Error with `code` `BadArgument` or `OutOfMemory`
   */
  allocateOutput(input: { sizeBytes: number }): Uint8Array;

  /** Converts raw f16, bf16 or f32 bytes to float32. Rejects with `NonFiniteWeight`. */
  toFloat32(input: {
    weights: Uint8Array;
    type: FloatType;
    threads: number;
  }): Promise<Float32Array>;
}
