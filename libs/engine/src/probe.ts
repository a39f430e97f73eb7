import { EngineError } from './engine.error.ts';
import type { LanguageModel } from './language.model.ts';
import { argmax } from './sampler.ts';
import { measureThroughput, type Throughput } from './throughput.ts';

/** Logits that a prompt must give, within a tolerance; the shape of protocol's probeSchema. */
export interface Fingerprint {
  readonly tokenIds: number[];
  readonly logits: number[];
  /** Of all logits of the position. */
  readonly standardDeviation: number;
  /** In units of `standardDeviation`. */
  readonly tolerance: number;
}

export interface Probe {
  readonly promptTokens: number[];
  readonly generateTokens: number;
  readonly fingerprint: Fingerprint;
}

export interface ProbeResult extends Throughput {
  /** Largest difference from the expected logits, in expected standard deviations. */
  readonly deviation: number;
  /** `deviation` is within the probe's tolerance. */
  readonly matches: boolean;
}

/**
 * Bound on the deviation of one artifact between machines. Where all matrices are quantized, logits
 * have the same bits on every instruction set and for every number of threads. Float matrices differ
 * in the order of float32 sums only: on stories15M between portable, AVX2 and AVX-512 code by at
 * most 2e-6 standard deviations. A model of both kinds rounds what its float part gives to 15 bits,
 * which was seen to make 3e-3 of 1e-6. One wrong tensor (each replaced in turn by the same one of
 * the next layer, or scaled by 1.05) gives 0.17 or more, with the default prompt 0.4 or more.
 * Quantized weights need no wider bound, since the expected logits are taken from the encoded
 * variant itself and not from its source. Machines must hold keys and values in one format: another
 * one differs by up to 2e-2.
 */
export const FINGERPRINT_TOLERANCE = 1e-2;
const FINGERPRINT_LOGITS = 32;
const DEFAULT_PROMPT_TOKENS = 64;
const DEFAULT_GENERATE_TOKENS = 32;

/**
 * Token ids to probe any model with when there is no text: begin-of-sequence, then ids spread over
 * the vocabulary by the golden ratio (Knuth's multiplicative hashing). At most half the context.
 */
export function defaultProbePrompt(model: LanguageModel): number[] {
  const { bosTokenId, vocabularySize, contextLength } = model.config;
  const length = Math.max(1, Math.min(DEFAULT_PROMPT_TOKENS, Math.floor(contextLength / 2)));
  const ids = Array.from({ length }, (_, i) => {
    const hash = Math.imul(i + 1, 0x9e3779b1) >>> 0;
    return Math.floor((hash / 2 ** 32) * vocabularySize);
  });
  return bosTokenId === null ? ids : [bosTokenId, ...ids.slice(0, length - 1)];
}

/**
 * Records what this model answers to a prompt (at most the context less one; the default prompt
 * when none is given), for other machines to compare with.
 *
 * @throws EngineError `ContextExceeded`, `BadToken`, `NonFiniteLogits`.
 */
export async function createProbe(
  model: LanguageModel,
  promptTokens: readonly number[] = defaultProbePrompt(model),
  options: { generateTokens?: number } = {},
): Promise<Probe> {
  const { contextLength } = model.config;
  const room = contextLength - promptTokens.length;
  if (room < 1) {
    throw new EngineError(
      'ContextExceeded',
      `a probe prompt of ${promptTokens.length} tokens leaves no room to generate in a context ` +
        `of ${contextLength}`,
    );
  }
  const logits = await lastLogits(model, promptTokens);
  argmax(logits);
  const tokenIds = Array.from(logits.keys())
    .sort((a, b) => (logits[b] ?? 0) - (logits[a] ?? 0) || a - b)
    .slice(0, FINGERPRINT_LOGITS);
  return {
    promptTokens: [...promptTokens],
    generateTokens: Math.min(options.generateTokens ?? DEFAULT_GENERATE_TOKENS, room),
    fingerprint: {
      tokenIds,
      logits: tokenIds.map((id) => logits[id] ?? 0),
      standardDeviation: standardDeviation(logits),
      tolerance: FINGERPRINT_TOLERANCE,
    },
  };
}

/**
 * Compares this model's answer with a probe's fingerprint and measures throughput.
 *
 * @throws EngineError `ContextExceeded`, `BadToken`, `NonFiniteLogits`, `Cancelled`.
 */
export async function runProbe(
  model: LanguageModel,
  probe: Probe,
  options: { signal?: AbortSignal | undefined; now?: () => number } = {},
): Promise<ProbeResult> {
  const logits = await lastLogits(model, probe.promptTokens, options.signal);
  argmax(logits);
  const deviation = fingerprintDeviation(logits, probe.fingerprint);
  const throughput = await measureThroughput(model, {
    ...options,
    promptTokens: probe.promptTokens,
    generateTokens: probe.generateTokens,
  });
  return { ...throughput, deviation, matches: deviation <= probe.fingerprint.tolerance };
}

/** Largest difference from a fingerprint's logits, in its standard deviations. */
export function fingerprintDeviation(logits: Float32Array, expected: Fingerprint): number {
  let largest = 0;
  for (const [i, tokenId] of expected.tokenIds.entries()) {
    const difference = Math.abs((logits[tokenId] ?? Number.NaN) - (expected.logits[i] ?? 0));
    if (Number.isNaN(difference)) {
      throw new EngineError('BadToken', `the probe names token ${tokenId}, which does not exist`);
    }
    largest = Math.max(largest, difference);
  }
  return largest / expected.standardDeviation;
}

async function lastLogits(
  model: LanguageModel,
  promptTokens: readonly number[],
  signal?: AbortSignal,
): Promise<Float32Array> {
  const session = model.createSession(promptTokens.length);
  try {
    return await session.append(promptTokens, { signal });
  } finally {
    session.close();
  }
}

/** Logits that are all equal have deviation 1, so that differences are then absolute. */
function standardDeviation(values: Float32Array): number {
  let sum = 0;
  for (const value of values) sum += value;
  const mean = sum / values.length;
  let squares = 0;
  for (const value of values) squares += (value - mean) ** 2;
  return Math.sqrt(squares / values.length) || 1;
}
