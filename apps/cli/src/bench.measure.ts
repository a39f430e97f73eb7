import { argmax, type LanguageModel, type ModelSession } from '@entrofleet/engine';
import type { DecodeFigures, FirstTokenFigures, PrefillFigures } from './bench.text.ts';
import { CliError } from './cli.error.ts';

const PREFILL_TOKENS = [128, 512];
const DECODE_TOKENS = 128;
const DECODE_PROMPT_TOKENS = 8;
/** A prime beyond any small vocabulary spreads the prompt over the embedding. */
const TOKEN_STRIDE = 7919;

export interface BenchOptions {
  /** How often prefill and decode are timed; 0 for the first token only. */
  readonly repetitions: number;
  readonly signal: AbortSignal;
}

/**
 * Prefill of 128 tokens on a model that has not run yet, and the choice of the next one.
 * @throws CliError when the model's context is too short to time anything.
 */
export async function timeFirstToken(
  model: LanguageModel,
  signal: AbortSignal,
): Promise<FirstTokenFigures> {
  const { contextLength } = model.config;
  if (contextLength <= DECODE_PROMPT_TOKENS) {
    throw new CliError('BadInput', `a context of ${contextLength} tokens is too short to time`);
  }
  const tokens = Math.min(PREFILL_TOKENS[0] ?? 1, contextLength);
  return withSession(model, tokens, async (session) => {
    const startMs = performance.now();
    argmax(await session.append(promptOf(model, tokens), { signal }));
    const endMs = performance.now();
    // The clock of `performance` begins with the process.
    return { promptTokens: tokens, prefillMs: endMs - startMs, sinceStartMs: endMs };
  });
}

/** Each length once per repetition, in turns. Lengths beyond the model's context are left out. */
export async function timePrefills(
  model: LanguageModel,
  { repetitions, signal }: BenchOptions,
): Promise<PrefillFigures[]> {
  const lengths = PREFILL_TOKENS.filter((count) => count <= model.config.contextLength);
  const figures = lengths.map((tokens) => ({ tokens, tokensPerSecond: [] as number[] }));
  for (let i = 0; i < repetitions; i++) {
    for (const { tokens, tokensPerSecond } of figures) {
      tokensPerSecond.push(await timePrefill(model, tokens, signal));
    }
  }
  return figures;
}

function timePrefill(model: LanguageModel, tokens: number, signal: AbortSignal): Promise<number> {
  return withSession(model, tokens, async (session) => {
    await session.append(promptOf(model, Math.min(tokens, DECODE_PROMPT_TOKENS)), { signal });
    session.truncate(0);
    const startMs = performance.now();
    await session.append(promptOf(model, tokens), { signal });
    return (tokens * 1000) / (performance.now() - startMs);
  });
}

/** Greedy decoding of 128 tokens, or what fits the context, after a prompt of 8. */
export async function timeDecode(
  model: LanguageModel,
  { repetitions, signal }: BenchOptions,
): Promise<DecodeFigures> {
  const room = model.config.contextLength - DECODE_PROMPT_TOKENS;
  const tokens = Math.min(DECODE_TOKENS, room);
  const repetitionsMs: number[][] = [];
  for (let i = 0; i < repetitions; i++) {
    const timesMs = await withSession(model, DECODE_PROMPT_TOKENS + tokens, (session) =>
      decodeTimesMs(session, { prompt: promptOf(model, DECODE_PROMPT_TOKENS), tokens, signal }),
    );
    repetitionsMs.push(timesMs);
  }
  return { tokens, repetitionsMs };
}

async function decodeTimesMs(
  session: ModelSession,
  of: { prompt: readonly number[]; tokens: number; signal: AbortSignal },
): Promise<number[]> {
  const { signal } = of;
  let logits = await session.append(of.prompt, { signal });
  const timesMs: number[] = [];
  for (let i = 0; i < of.tokens; i++) {
    const startMs = performance.now();
    logits = await session.append([argmax(logits)], { signal });
    timesMs.push(performance.now() - startMs);
  }
  return timesMs;
}

async function withSession<T>(
  model: LanguageModel,
  contextLength: number,
  use: (session: ModelSession) => Promise<T>,
): Promise<T> {
  const session = model.createSession(contextLength);
  try {
    return await use(session);
  } finally {
    session.close();
  }
}

function promptOf(model: LanguageModel, length: number): number[] {
  return Array.from({ length }, (_, i) => (i * TOKEN_STRIDE) % model.config.vocabularySize);
}

/**
 * Bytes of weights that a token takes through the processor: all of them, but of the embedding one
 * row where the head is a matrix of its own. Matrices are taken to have as many bits each.
 */
export function bytesPerToken(model: LanguageModel): number {
  const { config, weightBytes } = model;
  if (config.tiedEmbeddings) return weightBytes;
  const shared = config.vocabularySize * config.hiddenSize;
  const { hiddenSize, heads, keyValueHeads, headSize, intermediateSize } = config;
  const attention = 2 * hiddenSize * headSize * (heads + keyValueHeads);
  const layers = config.layers * (attention + 3 * hiddenSize * intermediateSize);
  return weightBytes * (1 - shared / (2 * shared + layers));
}
