import { EngineError } from './engine.error.ts';
import type { LanguageModel } from './language.model.ts';
import { TokenSampler } from './sampler.ts';
import { assertSamplingOptions, type SamplingOptions } from './sampling.options.ts';
import { StopMatcher } from './stop.matcher.ts';
import type { TextStream } from './text.stream.ts';
import {
  type LogprobEntry,
  TOP_LOGPROBS_MOST,
  type TokenLogprob,
  tokenLogprobs,
} from './token.logprobs.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface SequenceOptions extends SamplingOptions {
  /** Tokens including begin-of-sequence. */
  readonly prompt: readonly number[];
  /** Tokens to generate at most; the context may end earlier. */
  readonly maxTokens: number;
  /** Same seed, same text on the same instruction set. */
  readonly seed?: number | undefined;
  /** Strings that end the text; they are not part of it. */
  readonly stop?: readonly string[] | undefined;
  /** Tokens that end the text, besides those that the model's files name. */
  readonly endTokenIds?: readonly number[] | undefined;
  /** Log-probabilities of every token, with so many likeliest alternatives (0 to 20). */
  readonly logprobs?: number | undefined;
  /** The prompt's tokens get log-probabilities too; needs `logprobs`. */
  readonly scorePrompt?: boolean | undefined;
}

/** `stop`: end-of-sequence token or stop string; `length`: maxTokens or the context is full. */
export type FinishReason = 'stop' | 'length';

/** A token of a prompt; nothing comes before the first, so it has no log-probability. */
export interface PromptScore {
  readonly tokenId: number;
  readonly logprob: number | null;
  readonly top: readonly TokenLogprob[];
}

/** One step of a generated text. The last piece, and only it, has a finish reason. */
export interface GeneratedPiece {
  /** Text that became certain in this step; may be empty. */
  readonly text: string;
  /** null in the last piece, and in one that has the prompt's scores. */
  readonly tokenId: number | null;
  /** Of `tokenId`, when `logprobs` were asked for. */
  readonly logprob?: LogprobEntry;
  /** Of the whole prompt, in the first piece, when `scorePrompt` was asked for. */
  readonly promptScores?: readonly PromptScore[];
  readonly finishReason: FinishReason | null;
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
  const endTokens = new Set([...config.eosTokenIds, ...tokenizer.endTokenIds]);
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
  readonly #stream: TextStream;
  readonly #stops: StopMatcher;
  readonly #endTokens: ReadonlySet<number>;
  readonly #promptScores: PromptScore[] = [];
  /** Made for the first draw: it holds memory in proportion to the vocabulary. */
  #sampler: TokenSampler | null = null;
  #finished = false;

  /** @throws EngineError `BadArgument`, `ContextExceeded`, `BadToken`. */
  constructor(model: SequenceModel, options: SequenceOptions) {
    assertSamplingOptions(options, model.vocabularySize);
    assertCounts(options);
    assertPrompt(model, options.prompt);
    this.tokens = [...options.prompt];
    this.promptLength = options.prompt.length;
    this.#options = options;
    this.#model = model;
    this.#endTokens = new Set([...model.endTokens, ...(options.endTokenIds ?? [])]);
    if (options.scorePrompt === true && options.logprobs !== undefined) {
      this.#promptScores.push({ tokenId: options.prompt[0] ?? 0, logprob: null, top: [] });
    }
    this.#stream = model.tokenizer.stream(options.prompt);
    this.#stops = new StopMatcher(options.stop ?? []);
  }

  /** No token is wanted any more. */
  get finished(): boolean {
    return this.#finished;
  }

  /** What it may come to at most. */
  get contextLength(): number {
    const { contextLength } = this.#model;
    return Math.min(contextLength, this.promptLength + this.#options.maxTokens);
  }

  /** Tokens that may still be drawn. */
  get remaining(): number {
    const { maxTokens } = this.#options;
    const room = this.#model.contextLength + 1 - this.tokens.length;
    return this.#finished
      ? 0
      : Math.min(maxTokens - (this.tokens.length - this.promptLength), room);
  }

  /** Logits of the prompt's positions are wanted, see {@link scorePrompt}. */
  get wantsScores(): boolean {
    return this.#promptScores.length > 0 && this.#promptScores.length < this.promptLength;
  }

  /**
   * Scores tokens of the prompt with the logits of the positions before them.
   * @param use.start position of the first row; rows known already may come again.
   */
  scorePrompt(use: { readonly start: number; readonly rows: readonly Float32Array[] }): void {
    const count = this.#options.logprobs ?? 0;
    use.rows.forEach((logits, row) => {
      const next = use.start + row + 1;
      const tokenId = this.tokens[next];
      if (!this.wantsScores || next !== this.#promptScores.length || tokenId === undefined) return;
      this.#promptScores.push(tokenLogprobs(logits, { tokenId, count }));
    });
  }

  /**
   * Draws the next token.
   * @param logits of the last of {@link tokens}.
   * @returns the token's piece, the last piece, or both; before the first the prompt's scores.
   * @throws EngineError `NonFiniteLogits`.
   */
  take(logits: Float32Array): GeneratedPiece[] {
    const promptScores = this.#promptScores.splice(0);
    const pieces = this.#draw(logits);
    if (promptScores.length === 0) return pieces;
    return [{ text: '', tokenId: null, promptScores, finishReason: null }, ...pieces];
  }

  #draw(logits: Float32Array): GeneratedPiece[] {
    if (this.remaining <= 0) return [this.#end('length')];
    const { logprobs: count } = this.#options;
    this.#sampler ??= this.#createSampler();
    const tokenId = this.#sampler.draw(logits);
    if (this.#endTokens.has(tokenId)) return [this.#end('stop')];
    this.tokens.push(tokenId);
    const { text, stopped } = this.#stops.push(this.#stream.push(tokenId));
    const logprob =
      count === undefined ? {} : { logprob: tokenLogprobs(logits, { tokenId, count }) };
    const piece: GeneratedPiece = { text, tokenId, ...logprob, finishReason: null };
    if (stopped) {
      this.#finished = true;
      return [piece, { text: '', tokenId: null, finishReason: 'stop' }];
    }
    return this.remaining > 0 ? [piece] : [piece, this.#end('length')];
  }

  #createSampler(): TokenSampler {
    const { vocabularySize } = this.#model;
    return new TokenSampler({ ...this.#options, vocabularySize });
  }

  #end(reason: FinishReason): GeneratedPiece {
    this.#finished = true;
    const { text, stopped } = this.#stops.push(this.#stream.flush());
    if (stopped) return { text, tokenId: null, finishReason: 'stop' };
    return { text: text + this.#stops.flush(), tokenId: null, finishReason: reason };
  }
}

function assertCounts({ maxTokens, logprobs = 0 }: SequenceOptions): void {
  if (!Number.isInteger(maxTokens) || maxTokens < 0) {
    throw new EngineError('BadArgument', 'maxTokens must be an integer from 0');
  }
  if (!Number.isInteger(logprobs) || logprobs < 0 || logprobs > TOP_LOGPROBS_MOST) {
    throw new EngineError('BadArgument', `logprobs must be from 0 to ${TOP_LOGPROBS_MOST}`);
  }
}

function assertPrompt(model: SequenceModel, prompt: readonly number[]): void {
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
