/** A matrix that native code holds, made by the addon's loading functions. */
export interface NativeMatrix {
  readonly rows: number;
  readonly columns: number;
  /** Bytes of main memory that it takes. */
  readonly residentBytes: number;
}

interface Shape {
  readonly rows: number;
  readonly columns: number;
}

/** Floats, row-major; the engine keeps the buffer alive, not a copy. */
export type FloatTensor = Shape &
  (
    | { readonly format: 'f32'; readonly data: Float32Array }
    /** The stored bits; converted exactly as they are used. */
    | { readonly format: 'f16'; readonly data: Uint16Array }
    | { readonly format: 'bf16'; readonly data: Uint16Array }
  );

/** Symbols of a quantized tensor. A weight is `step * (symbol - zeroPoint)`. */
export interface SymbolTensor extends Shape {
  /** `u8`: one symbol a byte, row-major. `u4`: nibble pairs over the whole tensor. */
  readonly format: 'u8' | 'u4';
  readonly symbols: Uint8Array;
  readonly zeroPoint: number;
  /** One step, or one per row. */
  readonly steps: Float32Array;
  /**
   * How createModel holds a matrix: `window` (the default) in as few bits as most symbols of a
   * group of rows need, with the others listed apart; `plain` in 8 or 4 bits.
   */
  readonly form?: 'window' | 'plain';
}

export interface NativeTensor extends Shape {
  readonly format: 'native';
  readonly matrix: NativeMatrix;
}

/** A tensor whose values JavaScript can see. */
export type PlainTensor = FloatTensor | SymbolTensor;

/** A weight matrix or vector as the engine takes it. A vector has one row or one column. */
export type ResidentTensor = PlainTensor | NativeTensor;

/** Llama-family geometry, already validated by libs/engine. */
export interface ModelGeometry {
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly contextLength: number;
  readonly normEpsilon: number;
  /**
   * Rotary inverse frequencies in radians per position, any scaling already applied: headSize / 2
   * entries, or fewer when only the first dimensions of a head are rotated.
   */
  readonly rotaryFrequencies: Float64Array;
  /**
   * Long-rope: `frequencies`, as many, are those of sessions whose context is longer than
   * `shortContextLength`, whatever is written into it.
   */
  readonly longRotary?: {
    readonly frequencies: Float64Array;
    readonly shortContextLength: number;
  };
  /** Multiplies every cosine and sine of the rotation (the attention factor of long-rope), or 1. */
  readonly rotaryScale: number;
  /** For each layer how many of the latest positions attention sees; 0: all. */
  readonly slidingWindows: Uint32Array;
  readonly tiedEmbeddings: boolean;
}

/**
 * Tensors by role. A missing optional bias is undefined. Layer tensors are arrays indexed by
 * layer.
 */
export interface ModelTensors {
  readonly embedding: ResidentTensor;
  readonly finalNorm: ResidentTensor;
  /** Absent when embeddings are tied. */
  readonly head?: ResidentTensor;
  readonly layers: readonly {
    readonly attentionNorm: ResidentTensor;
    readonly query: ResidentTensor;
    readonly key: ResidentTensor;
    readonly value: ResidentTensor;
    readonly output: ResidentTensor;
    readonly mlpNorm: ResidentTensor;
    readonly gate: ResidentTensor;
    readonly up: ResidentTensor;
    readonly down: ResidentTensor;
    /** RMS norms over each head (headSize values), before the rotation. */
    readonly queryNorm?: ResidentTensor;
    readonly keyNorm?: ResidentTensor;
    readonly queryBias?: ResidentTensor;
    readonly keyBias?: ResidentTensor;
    readonly valueBias?: ResidentTensor;
    readonly outputBias?: ResidentTensor;
    readonly gateBias?: ResidentTensor;
    readonly upBias?: ResidentTensor;
    readonly downBias?: ResidentTensor;
  }[];
}

/** How keys and values are held: float32, float16, or int8 with a scale per position and head. */
export type KeyValueFormat = 'f32' | 'f16' | 'int8';

export interface SessionOptions {
  /** Default: f16 when any matrix is quantized, else f32. */
  readonly keyValueFormat?: KeyValueFormat;
}

export interface ModelOptions {
  readonly threads: number;
  /** Binds each thread to a processor. Default: false. */
  readonly pinThreads?: boolean;
}

/**
 * A model in memory. One forward pass at a time; calls queue up in order. Calls on a closed model
 * fail with `code` `ModelClosed`.
 */
export interface NativeModel {
  /**
   * A new, empty sequence with its own KV cache.
   * @throws Error with `code` `ContextExceeded` (more than the geometry's), `BadArgument` or
   * `OutOfMemory`.
   */
  createSession(contextLength: number, options?: SessionOptions): NativeSession;
  /**
   * Appends one token to each of several distinct sessions of this model, in one pass over the
   * weights. Resolves to one row of logits per session; rejects as `forward` does.
   */
  step(sessions: readonly NativeSession[], tokens: Uint32Array): Promise<Float32Array>;
  /** Lets go of the weights once the running call is done; waiting calls are rejected. */
  close(): void;
  /** Bytes of weights held. */
  readonly weightBytes: number;
  /** What sessions get that do not ask for another. */
  readonly keyValueFormat: KeyValueFormat;
}

export interface NativeSession {
  /** Tokens in the KV cache. */
  readonly length: number;
  /**
   * Appends tokens and gives logits: of the last position (vocabularySize floats), or of all
   * (tokens x vocabularySize). Rejects with `ContextExceeded` or `BadToken`, leaving the cache as
   * it was.
   */
  forward(tokens: Uint32Array, want: 'last' | 'all'): Promise<Float32Array>;
  /**
   * Appends tokens and gives, without materialising all logits, the negative log-likelihood (nats)
   * of each token after the first: tokens.length - 1 values.
   */
  score(tokens: Uint32Array): Promise<Float64Array>;
  /**
   * Forgets everything after `length` tokens.
   * @throws Error with `code` `SessionBusy` while a call of this session is not settled.
   */
  truncate(length: number): void;
  /**
   * Calls of this session that wait or run reject with `Cancelled`, the running one after the layer
   * it is at. The cache stays as it was before them.
   */
  cancel(): void;
  /** Frees the KV cache, after the calls in flight. Later calls fail with `SessionClosed`. */
  close(): void;
}

export interface EngineBinding {
  /**
   * The model reads the tensors' buffers as long as it lives: they must not be transferred.
   * @throws Error with `code` `BadShape` (the message names the tensor by its role),
   * `BadArgument`, `OutOfMemory` or `ThreadsUnavailable`.
   */
  createModel(geometry: ModelGeometry, tensors: ModelTensors, options: ModelOptions): NativeModel;
}
