import { EngineError } from './engine.error.ts';
import type { LanguageModel, ModelSession } from './language.model.ts';
import { argmax } from './sampler.ts';

export interface Throughput {
  readonly promptTokens: number;
  readonly generatedTokens: number;
  readonly prefillTokensPerSecond: number;
  readonly decodeTokensPerSecond: number;
  /** 95 % of the decoded tokens took no longer. */
  readonly p95TokenSeconds: number;
}

export interface ThroughputOptions {
  readonly promptTokens: readonly number[];
  /** Tokens to time decoding over. */
  readonly generateTokens: number;
  readonly signal?: AbortSignal | undefined;
  /** Monotonic clock in milliseconds. */
  readonly now?: () => number;
}

/**
 * Times reading a prompt and then decoding greedily, one token at a time, on a model that has
 * been used before (the first pass pages weights in). End-of-sequence does not end it.
 *
 * @throws EngineError `ContextExceeded`, `BadArgument`, `NonFiniteLogits`, `Cancelled`.
 */
export async function measureThroughput(
  model: LanguageModel,
  options: ThroughputOptions,
): Promise<Throughput> {
  const session = model.createSession(options.promptTokens.length + options.generateTokens);
  try {
    return await timeSession(session, options);
  } finally {
    session.close();
  }
}

async function timeSession(session: ModelSession, options: ThroughputOptions): Promise<Throughput> {
  const { promptTokens, generateTokens, signal } = options;
  if (generateTokens < 1) throw new EngineError('BadArgument', 'generateTokens must be at least 1');
  const now = options.now ?? (() => performance.now());
  const start = now();
  let logits = await session.append(promptTokens, { signal });
  const prefilled = now();
  const tokenMs: number[] = [];
  for (let i = 0; i < generateTokens; i++) {
    const begun = now();
    logits = await session.append([argmax(logits)], { signal });
    tokenMs.push(now() - begun);
  }
  const decoded = now();
  return {
    promptTokens: promptTokens.length,
    generatedTokens: generateTokens,
    prefillTokensPerSecond: perSecond(promptTokens.length, prefilled - start),
    decodeTokensPerSecond: perSecond(generateTokens, decoded - prefilled),
    p95TokenSeconds: percentile95(tokenMs) / 1000,
  };
}

/** The least of the values that 95 % of them are not greater than. */
function percentile95(values: number[]): number {
  values.sort((a, b) => a - b);
  return values[Math.ceil(0.95 * values.length) - 1] ?? 0;
}

/** The clock may be too coarse for a tiny model; a microsecond is the least that counts. */
function perSecond(count: number, elapsedMs: number): number {
  return (count * 1000) / Math.max(elapsedMs, 1e-3);
}
