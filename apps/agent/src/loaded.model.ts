import {
  ArrivingReader,
  type ArtifactReader,
  type ChunkArrivals,
  openArtifact,
  type PackingProgress,
} from '@entrofleet/artifact';
import {
  type BatchRequest,
  type BatchStatistics,
  type ChatMessage,
  type ChatTemplate,
  type GeneratedPiece,
  GenerationBatch,
  type LanguageModel,
  loadModel,
  type ModelText,
  parseModelConfig,
  readModelText,
  type Tokenizer,
} from '@entrofleet/engine';
import type { Target } from '@entrofleet/protocol';
import { AgentError, failureOf } from './errors.ts';
import type { ServedModel, ServingFigures, TokenText } from './serve/served.model.ts';
import { describeToken } from './token.text.ts';

export interface LoadFigures extends Omit<ServingFigures, 'weightBytes'> {
  /** null when no tensor is entropy coded. */
  readonly entropyDecodeGigabytesPerSecond: number | null;
}

/** How much a model may take to answer requests. */
export interface ServingLimits {
  /** Texts decoded together. */
  readonly sequences: number;
  /** Memory for KV caches; null: what the rollout has planned for this model. */
  readonly keyValueBytes: number | null;
}

/** A model decoded from its artifact, with what its loading has measured. */
export class LoadedModel implements ServedModel {
  target: Target;
  readonly language: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly loadFigures: LoadFigures;
  readonly #chatTemplate: ChatTemplate | AgentError;
  readonly #batch: GenerationBatch;
  readonly #onServed: LoadTarget['onServed'];

  constructor(use: {
    target: Target;
    language: LanguageModel;
    tokenizer: Tokenizer;
    /** Or why there is none. */
    chatTemplate: ChatTemplate | AgentError;
    figures: LoadFigures;
    limits: ServingLimits;
    onServed: LoadTarget['onServed'];
  }) {
    const { target, language: model, tokenizer, limits } = use;
    this.target = target;
    this.language = model;
    this.tokenizer = tokenizer;
    this.#onServed = use.onServed;
    this.loadFigures = use.figures;
    this.#chatTemplate = use.chatTemplate;
    this.#batch = new GenerationBatch({
      ...{ model, tokenizer, contextLength: this.contextLength },
      sequences: limits.sequences,
      keyValueBytes: limits.keyValueBytes ?? target.kvCacheBytes,
    });
  }

  get contextLength(): number {
    return Math.min(this.target.contextLength, this.language.config.contextLength);
  }

  get figures(): ServingFigures {
    return { ...this.loadFigures, weightBytes: this.language.weightBytes };
  }

  get statistics(): BatchStatistics {
    return this.#batch.statistics;
  }

  encode(text: string): number[] {
    return this.tokenizer.encode(text);
  }

  encodeChat(messages: readonly ChatMessage[]): number[] {
    const template = this.#chatTemplate;
    if (template instanceof AgentError) throw template;
    const text = template.render(messages, { addGenerationPrompt: true });
    return this.tokenizer.encode(text, { special: false });
  }

  decode(tokens: readonly number[]): string {
    return this.tokenizer.decode(tokens);
  }

  describeToken(token: number): TokenText {
    return describeToken(this.tokenizer, token);
  }

  /** A request that is given up by whoever asked tells nothing about the model. */
  async *generate(request: BatchRequest): AsyncGenerator<GeneratedPiece> {
    try {
      yield* this.#batch.generate(request);
    } catch (error) {
      this.#onServed?.(this, error);
      throw error;
    }
    this.#onServed?.(this, null);
  }

  close(): void {
    this.#batch.close();
    this.language.close();
  }
}

export interface LoadTarget {
  readonly target: Target;
  readonly path: string;
  readonly threads: number;
  readonly limits: ServingLimits;
  /** For the model with its KV caches; undefined: no limit. */
  readonly budgetBytes: number | undefined;
  readonly signal: AbortSignal;
  /** Told of each request that has ended, with its error or null. */
  readonly onServed?: ((model: LoadedModel, error: unknown) => void) | undefined;
  /** Of a file that is still being filled; without it, all of it is there. */
  readonly arriving?: {
    readonly arrivals: ChunkArrivals;
    readonly onPacked: (progress: PackingProgress) => void;
  };
}

/**
 * Decodes an artifact in parallel into a model that can run, while its tokenizer is read. Every
 * chunk read is verified, although the step before has just verified all of them: the page cache
 * may have been dropped since, and hashing hides behind reading and decoding.
 *
 * Of a file that is still being filled, each tensor is read once it has come, and all matrices are
 * held as windows: what does not fit so is better placed when the rest is known to be here.
 * @throws ArtifactError, EngineError, or AgentError `HashMismatch` when the file holds another
 *   artifact.
 */
export async function loadArtifact(use: LoadTarget): Promise<LoadedModel> {
  const { target, path, threads, limits, budgetBytes } = use;
  const startMs = performance.now();
  const opened = await openArtifact(path);
  const failed = new AbortController();
  const signal = AbortSignal.any([use.signal, failed.signal]);
  try {
    if (opened.ref.id !== target.artifact.id) {
      throw new AgentError('HashMismatch', `${path} holds artifact ${opened.ref.id}`);
    }
    const reader = readerOf(opened, { ...use, signal });
    const source = {
      config: reader.config,
      tensorNames: reader.tensorNames,
      readResident: (name: string, { signal }: { signal?: AbortSignal | undefined } = {}) =>
        reader.readResident(name, { threads, signal }),
      coded: reader,
    };
    const texts = readModelText(reader, parseModelConfig(reader.config));
    // Should the weights fail first, what this waits for is cancelled, and nobody waits for it.
    texts.catch(() => undefined);
    const language = await loadModel(source, {
      ...{ threads, signal, form: use.arriving === undefined ? 'auto' : 'window' },
      memoryBudgetBytes: budgetBytes,
      keyValueBytes: limits.keyValueBytes ?? target.kvCacheBytes,
    });
    const text = await texts.catch((error: unknown) => {
      language.close();
      throw error;
    });
    const waitedSeconds = reader instanceof ArrivingReader ? reader.waitedSeconds : 0;
    const loadSeconds = (performance.now() - startMs) / 1000 - waitedSeconds;
    const { decodedBytes, decodeSeconds } = reader.decodeStatistics;
    const rate = decodeSeconds > 0 ? decodedBytes / decodeSeconds / 1e9 : null;
    const loadedAt = Math.floor(Date.now() / 1000);
    const figures = { loadedAt, loadSeconds, entropyDecodeGigabytesPerSecond: rate };
    const { tokenizer } = text;
    const chatTemplate = chatTemplateOf(text);
    const { onServed } = use;
    return new LoadedModel({
      ...{ target, language, tokenizer, chatTemplate, figures, limits, onServed },
    });
  } catch (error) {
    failed.abort(error);
    throw error;
  } finally {
    await opened.close();
  }
}

function readerOf(
  opened: ArtifactReader,
  { arriving, signal }: LoadTarget,
): ArtifactReader | ArrivingReader {
  return arriving === undefined ? opened : new ArrivingReader(opened, { ...arriving, signal });
}

/** A model whose template is missing or broken still completes texts. */
function chatTemplateOf(text: ModelText): ChatTemplate | AgentError {
  try {
    const template = text.chatTemplate();
    if (template !== undefined) return template;
    const message = 'this model has no chat template; ask /v1/completions instead';
    return new AgentError('NoChatTemplate', message);
  } catch (cause) {
    const { reason, message } = failureOf(cause);
    return new AgentError(reason, `${message}; ask /v1/completions instead`, { cause });
  }
}
