import { EngineError } from './engine.error.ts';
import type { FinishReason, GeneratedPiece } from './generate.ts';
import type { LanguageModel } from './language.model.ts';
import { createRandomSource, type RandomSource } from './random.source.ts';
import { assertSamplingOptions, type SamplingOptions, sampleToken } from './sampler.ts';
import { StopMatcher } from './stop.matcher.ts';
import type { TextStream } from './text.stream.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface SequenceOptions extends SamplingOptions {
  readonly prompt: readonly number[];
  /** Tokens to generate at most; the context may end earlier. */
  readonly maxTokens: number;
  readonly seed?: number | undefined;
  /** Strings that end the text; they are not part of it. */
  readonly stop?: readonly string[] | undefined;
}

/** What a sequence needs to know of its model. */
export interface SequenceModel {
  readonly tokenizer: Tokenizer;
  readonly endTokens: ReadonlySet<number>;
  readonly vocabularySize: number;
  /** Prompt and completion together. */
  readonly contextLength: number;
}

/** @param use.contextLength default and most: the model's context. */
export function sequenceModel(use: {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  readonly contextLength?: number | undefined;
}): SequenceModel {
  const { tokenizer } = use;
  const { config } = use.model;
  const endTokens = new Set(config.eosTokenIds);
  if (tokenizer.eosTokenId !== null) endTokens.add(tokenizer.eosTokenId);
  const contextLength = Math.min(use.contextLength ?? config.contextLength, config.contextLength);
  return { tokenizer, endTokens, vocabularySize: config.vocabularySize, contextLength };
}

/**
 * One text in the making: from the logits of its last position it draws the next token, and tells
 * when it is at its end. It does not know where logits come from, so a text is the same whether
 * it is generated alone or together with others.
 */
export class GenerationSequence {
  /** The prompt and what has been drawn since. */
  readonly tokens: number[];
  readonly promptLength: number;
  readonly #options: SequenceOptions;
  readonly #model: SequenceModel;
  readonly #random: RandomSource;
  readonly #stream: TextStream;
  readonly #stops: StopMatcher;
  #finished = false;

  /** @throws EngineError `BadArgument`, `ContextExceeded`, `BadToken`. */
  constructor(model: SequenceModel, options: SequenceOptions) {
    assertSamplingOptions(options);
    assertPrompt(model, options);
    this.tokens = [...options.prompt];
    this.promptLength = options.prompt.length;
    this.#options = options;
    this.#model = model;
    this.#random = createRandomSource(options.seed ?? 0);
    this.#stream = model.tokenizer.stream(options.prompt);
    this.#stops = new StopMatcher(options.stop ?? []);
  }

  /** No token is wanted any more. */
  get finished(): boolean {
    return this.#finished;
  }

  /** Tokens that may still be drawn. */
  get remaining(): number {
    const { maxTokens } = this.#options;
    const room = this.#model.contextLength + 1 - this.tokens.length;
    return this.#finished
      ? 0
      : Math.min(maxTokens - (this.tokens.length - this.promptLength), room);
  }

  /**
   * Draws the next token.
   * @param logits of the last of {@link tokens}.
   * @returns the token's piece, the last piece, or both.
   * @throws EngineError `NonFiniteLogits`.
   */
  take(logits: Float32Array): GeneratedPiece[] {
    if (this.remaining <= 0) return [this.#end('length')];
    const tokenId = sampleToken(logits, this.#options, this.#random);
    if (this.#model.endTokens.has(tokenId)) return [this.#end('stop')];
    this.tokens.push(tokenId);
    const { text, stopped } = this.#stops.push(this.#stream.push(tokenId));
    const piece: GeneratedPiece = { text, tokenId, finishReason: null };
    if (stopped) {
      this.#finished = true;
      return [piece, { text: '', tokenId: null, finishReason: 'stop' }];
    }
    return this.remaining > 0 ? [piece] : [piece, this.#end('length')];
  }

  #end(reason: FinishReason): GeneratedPiece {
    this.#finished = true;
    const { text, stopped } = this.#stops.push(this.#stream.flush());
    if (stopped) return { text, tokenId: null, finishReason: 'stop' };
    return { text: text + this.#stops.flush(), tokenId: null, finishReason: reason };
  }
}

function assertPrompt(model: SequenceModel, options: SequenceOptions): void {
  const { prompt, maxTokens } = options;
  if (!Number.isInteger(maxTokens) || maxTokens < 0) {
    throw new EngineError('BadArgument', 'maxTokens must be an integer from 0');
  }
  const { contextLength, vocabularySize } = model;
  if (prompt.length === 0 || prompt.length > contextLength) {
    throw new EngineError(
      prompt.length === 0 ? 'BadArgument' : 'ContextExceeded',
      `the prompt has ${prompt.length} tokens; the model takes 1 to ${contextLength}`,
    );
  }
  const bad = prompt.find((id) => !Number.isInteger(id) || id < 0 || id >= vocabularySize);
  if (bad !== undefined) {
    const message = `${bad} is no token id of a vocabulary of ${vocabularySize}`;
    throw new EngineError('BadToken', message);
  }
}
