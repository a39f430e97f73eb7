/**
 * A weight matrix or vector as the engine holds it; it keeps the buffers alive, not a copy. A
 * vector has one row or one column. A weight is `step * (symbol - zeroPoint)`.
 */
export type ResidentTensor =
  | {
      readonly format: 'f32';
      readonly rows: number;
      readonly columns: number;
      readonly data: Float32Array;
    }
  | {
      /** `u8`: one symbol a byte, row-major. `u4`: nibble pairs over the whole tensor. */
      readonly format: 'u8' | 'u4';
      readonly rows: number;
      readonly columns: number;
      readonly symbols: Uint8Array;
      readonly zeroPoint: number;
      /** One step, or one per row. */
      readonly steps: Float32Array;
    };

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
  /** Attention sees only this many latest positions; 0: all. */
  readonly slidingWindow: number;
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
    readonly queryBias?: ResidentTensor;
    readonly keyBias?: ResidentTensor;
    readonly valueBias?: ResidentTensor;
    readonly outputBias?: ResidentTensor;
    readonly gateBias?: ResidentTensor;
    readonly upBias?: ResidentTensor;
    readonly downBias?: ResidentTensor;
  }[];
}

/**
 * A model in memory. One forward pass at a time; calls queue up in order. Calls on a closed model
 * fail with `code` `ModelClosed`.
 */
export interface NativeModel {
  /**
   * A new, empty sequence with its own KV cache.
   * @throws Error with `code` `ContextExceeded` (more than the geometry's) or `OutOfMemory`.
   */
  createSession(contextLength: number): NativeSession;
  /**
   * Appends one token to each of several distinct sessions of this model, in one pass over the
   * weights. Resolves to one row of logits per session; rejects as `forward` does.
   */
  step(sessions: readonly NativeSession[], tokens: Uint32Array): Promise<Float32Array>;
  /** Lets go of the weights once the running call is done; waiting calls are rejected. */
  close(): void;
  /** Bytes of weights held. */
  readonly weightBytes: number;
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
  /** Frees the KV cache, after the calls in flight. Later calls fail with `SessionClosed`. */
  close(): void;
}

export interface EngineBinding {
  /**
   * The model reads the tensors' buffers as long as it lives: they must not be transferred.
   * @throws Error with `code` `BadShape` (the message names the tensor by its role),
   * `BadArgument`, `OutOfMemory` or `ThreadsUnavailable`.
   */
  createModel(
    geometry: ModelGeometry,
    tensors: ModelTensors,
    options: { threads: number },
  ): NativeModel;
}
