import { EngineError, throwIfAborted } from './engine.error.ts';
import type { LanguageModel, ModelSession } from './language.model.ts';
import { TokenSampler } from './sampler.ts';
import type { SamplingOptions } from './sampling.options.ts';
import { StopMatcher } from './stop.matcher.ts';
import { type LogprobEntry, TOP_LOGPROBS_MOST, tokenLogprobs } from './token.logprobs.ts';
import type { Tokenizer } from './tokenizer.ts';

export interface GenerateOptions extends SamplingOptions {
  readonly model: LanguageModel;
  readonly tokenizer: Tokenizer;
  /** A text, or its tokens including begin-of-sequence. */
  readonly prompt: string | readonly number[];
  /** Tokens to generate at most; the model's context may end earlier. */
  readonly maxTokens: number;
  /** Prompt and completion together; default and most: the model's context. */
  readonly contextLength?: number | undefined;
  /** Same seed, same text on the same instruction set. */
  readonly seed?: number | undefined;
  /** Strings that end the text; they are not part of it. */
  readonly stop?: readonly string[] | undefined;
  /** Tokens that end the text, besides those of config.json and the tokenizer. */
  readonly endTokenIds?: readonly number[] | undefined;
  /** Log-probabilities of every token, with so many likeliest alternatives (0 to 20). */
  readonly logprobs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/** `stop`: end-of-sequence token or stop string; `length`: maxTokens or the context is full. */
export type FinishReason = 'stop' | 'length';

/** One step of a generated text. The last piece, and only it, has a finish reason. */
export interface GeneratedPiece {
  /** Text that became certain in this step; may be empty. */
  readonly text: string;
  /** null in the last piece. */
  readonly tokenId: number | null;
  /** Of `tokenId`, when `logprobs` were asked for. */
  readonly logprob?: LogprobEntry;
  readonly finishReason: FinishReason | null;
}

/**
 * Continues a prompt token by token. Leaving the loop early frees the KV cache.
 *
 * @throws EngineError `BadArgument`, `ContextExceeded` (the prompt leaves no room), `BadToken`,
 * `NonFiniteLogits`, `Cancelled`, `ModelClosed`.
 */
export async function* generate(options: GenerateOptions): AsyncGenerator<GeneratedPiece> {
  const { model, tokenizer, maxTokens } = options;
  assertCounts(options);
  const prompt =
    typeof options.prompt === 'string' ? tokenizer.encode(options.prompt) : options.prompt;
  const contextLength = Math.min(
    options.contextLength ?? model.config.contextLength,
    model.config.contextLength,
  );
  if (prompt.length === 0 || prompt.length > contextLength) {
    throw new EngineError(
      prompt.length === 0 ? 'BadArgument' : 'ContextExceeded',
      `the prompt has ${prompt.length} tokens; the model takes 1 to ${contextLength}`,
    );
  }
  const { vocabularySize } = model.config;
  const sampler = new TokenSampler({ ...options, vocabularySize, prompt });
  const session = model.createSession(Math.min(contextLength, prompt.length + maxTokens));
  try {
    yield* continued({ session, sampler, prompt }, options);
  } finally {
    session.close();
  }
}

function assertCounts({ maxTokens, logprobs = 0 }: GenerateOptions): void {
  if (!Number.isInteger(maxTokens) || maxTokens < 0) {
    throw new EngineError('BadArgument', 'maxTokens must be an integer from 0');
  }
  if (!Number.isInteger(logprobs) || logprobs < 0 || logprobs > TOP_LOGPROBS_MOST) {
    throw new EngineError('BadArgument', `logprobs must be from 0 to ${TOP_LOGPROBS_MOST}`);
  }
}

interface Continuation {
  readonly session: ModelSession;
  readonly sampler: TokenSampler;
  readonly prompt: readonly number[];
}

async function* continued(
  { session, sampler, prompt }: Continuation,
  options: GenerateOptions,
): AsyncGenerator<GeneratedPiece> {
  const { model, tokenizer, maxTokens, signal, logprobs: count } = options;
  const stream = tokenizer.stream(prompt);
  const stops = new StopMatcher(options.stop ?? []);
  const ends = new Set([...model.config.eosTokenIds, ...(options.endTokenIds ?? [])]);
  if (tokenizer.eosTokenId !== null) ends.add(tokenizer.eosTokenId);

  let finishReason: FinishReason = 'length';
  let logits = await session.append(prompt, { signal });
  for (let generated = 0; generated < maxTokens; generated++) {
    throwIfAborted(signal);
    const tokenId = sampler.draw(logits);
    if (ends.has(tokenId)) {
      finishReason = 'stop';
      break;
    }
    const { text, stopped } = stops.push(stream.push(tokenId));
    const scored =
      count === undefined ? {} : { logprob: tokenLogprobs(logits, { tokenId, count }) };
    yield { text, tokenId, ...scored, finishReason: null };
    if (stopped) {
      yield { text: '', tokenId: null, finishReason: 'stop' };
      return;
    }
    if (generated + 1 === maxTokens || session.room === 0) break;
    logits = await session.append([tokenId], { signal });
  }
  const last = stops.push(stream.flush());
  const text = last.stopped ? last.text : last.text + stops.flush();
  yield { text, tokenId: null, finishReason: last.stopped ? 'stop' : finishReason };
}

export interface Completion {
  readonly text: string;
  readonly tokenIds: readonly number[];
  readonly finishReason: FinishReason;
}

/** {@link generate} to the end. */
export async function complete(options: GenerateOptions): Promise<Completion> {
  let text = '';
  const tokenIds: number[] = [];
  let finishReason: FinishReason = 'length';
  for await (const piece of generate(options)) {
    text += piece.text;
    if (piece.tokenId !== null) tokenIds.push(piece.tokenId);
    finishReason = piece.finishReason ?? finishReason;
  }
  return { text, tokenIds, finishReason };
}
