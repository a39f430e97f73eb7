import type { KeyValueFormat, NativeModel, NativeSession } from '@entrofleet/native';
import type { Residency } from './coded.matrices.ts';
import { EngineError, fromNative, throwIfAborted } from './engine.error.ts';
import { ENGINE_LIMITS } from './limits.ts';
import { kvCacheBytes } from './memory.figures.ts';
import type { ModelConfig } from './model.config.ts';

export interface CallOptions {
  /** Heeded within about a layer's time; the session is then as it was before the call. */
  readonly signal?: AbortSignal | undefined;
}

/** One sequence of tokens with its KV cache. */
export class ModelSession {
  readonly native: NativeSession;
  readonly contextLength: number;

  constructor(native: NativeSession, contextLength: number) {
    this.native = native;
    this.contextLength = contextLength;
  }

  /** Tokens in the KV cache. */
  get length(): number {
    return this.native.length;
  }

  /** Tokens that still fit. */
  get room(): number {
    return this.contextLength - this.length;
  }

  /**
   * Appends at least one token, in blocks between which calls of other sessions have their turn.
   * When `signal` ends it, whole blocks stay.
   * @returns logits of the last position.
   * @throws EngineError `ContextExceeded`, `BadToken`, `Cancelled`, `ModelClosed`.
   */
  async append(tokens: readonly number[], options: CallOptions = {}): Promise<Float32Array> {
    if (tokens.length > this.room) throw contextExceeded(tokens.length, this);
    let logits: Float32Array | undefined;
    for (let start = 0; start < tokens.length; start += ENGINE_LIMITS.prefillTokens) {
      const block = tokens.slice(start, start + ENGINE_LIMITS.prefillTokens);
      logits = await this.#call(options, () => this.native.forward(toTokenArray(block), 'last'));
    }
    if (logits === undefined) throw new EngineError('BadArgument', 'append() needs a token');
    return logits;
  }

  /**
   * Appends tokens and gives the logits of every position, tokens.length x vocabularySize. For
   * short texts: {@link score} needs no such memory.
   */
  allLogits(tokens: readonly number[], options: CallOptions = {}): Promise<Float32Array> {
    return this.#call(options, () => this.native.forward(toTokenArray(tokens), 'all'));
  }

  /**
   * Appends tokens and gives the negative log-likelihood (nats) of each after the first, from
   * those before it.
   */
  score(tokens: readonly number[], options: CallOptions = {}): Promise<Float64Array> {
    return this.#call(options, () => this.native.score(toTokenArray(tokens)));
  }

  /** Forgets everything after `length` tokens. No call of this session may be running. */
  truncate(length: number): void {
    try {
      this.native.truncate(length);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Frees the KV cache once calls in flight are done. */
  close(): void {
    this.native.close();
  }

  async #call<Result>({ signal }: CallOptions, work: () => Promise<Result>): Promise<Result> {
    throwIfAborted(signal);
    const cancel = () => this.native.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    try {
      return await work();
    } catch (error) {
      const failure = fromNative(error);
      if (failure.reason === 'Cancelled') throwIfAborted(signal);
      throw failure;
    } finally {
      signal?.removeEventListener('abort', cancel);
    }
  }
}

/** A model in memory, ready to run. Calls of all its sessions queue up in order. */
export class LanguageModel {
  readonly config: ModelConfig;
  readonly threads: number;
  /** How sessions hold keys and values. */
  readonly keyValueFormat: KeyValueFormat;
  /** How coded matrices are held; null when the source had none. */
  readonly residency: Residency | null;
  readonly #native: NativeModel;
  readonly #release: (() => void) | undefined;

  constructor(
    native: NativeModel,
    options: {
      readonly config: ModelConfig;
      readonly threads: number;
      /** Default: f16 where matrices are quantized, f32 where all are float. */
      readonly keyValueFormat?: KeyValueFormat | undefined;
      readonly residency?: Residency | null;
      /** Whatever else keeps the weights; done without at {@link close}. */
      readonly release?: () => void;
    },
  ) {
    this.#native = native;
    this.config = options.config;
    this.threads = options.threads;
    this.keyValueFormat = options.keyValueFormat ?? native.keyValueFormat;
    this.residency = options.residency ?? null;
    this.#release = options.release;
  }

  /** Bytes of weights held. */
  get weightBytes(): number {
    return this.#native.weightBytes;
  }

  /**
   * A new, empty sequence whose KV cache has room for `contextLength` tokens.
   * @throws EngineError `ContextExceeded` past the model's context, `OutOfMemory`.
   */
  createSession(contextLength = this.config.contextLength): ModelSession {
    const { keyValueFormat } = this;
    try {
      const session = this.#native.createSession(contextLength, { keyValueFormat });
      return new ModelSession(session, contextLength);
    } catch (error) {
      throw fromNative(error);
    }
  }

  /**
   * Appends one token to each of several sessions in one pass over the weights.
   * @returns one row of logits per session.
   */
  async step(
    sessions: readonly ModelSession[],
    tokens: readonly number[],
  ): Promise<Float32Array[]> {
    const natives = sessions.map((session) => session.native);
    const size = this.config.vocabularySize;
    try {
      const logits = await this.#native.step(natives, toTokenArray(tokens));
      return sessions.map((_, i) => logits.subarray(i * size, (i + 1) * size));
    } catch (error) {
      throw fromNative(error);
    }
  }

  /** Bytes of one session's KV cache. */
  kvCacheBytes(contextLength = this.config.contextLength): number {
    return kvCacheBytes(this.config, { contextLength, format: this.keyValueFormat });
  }

  /** Lets go of the weights once the running call is done; waiting calls fail `ModelClosed`. */
  close(): void {
    this.#native.close();
    this.#release?.();
  }
}

function toTokenArray(tokens: readonly number[]): Uint32Array {
  const bad = tokens.find((token) => !Number.isInteger(token) || token < 0 || token > 0xffffffff);
  if (bad !== undefined) throw new EngineError('BadToken', `${bad} is no token id`);
  return Uint32Array.from(tokens);
}

function contextExceeded(tokens: number, session: ModelSession): EngineError {
  return new EngineError(
    'ContextExceeded',
    `${tokens} tokens do not fit a context of ${session.contextLength} ` +
      `that holds ${session.length}; shorten the text`,
  );
}
