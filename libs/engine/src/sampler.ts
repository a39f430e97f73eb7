import { EngineError } from './engine.error.ts';
import type { RandomSource } from './random.source.ts';

export interface SamplingOptions {
  /** 0: always the likeliest token. */
  readonly temperature?: number | undefined;
  /** Only the likeliest tokens that together reach this probability; 1: all. */
  readonly topP?: number | undefined;
  /** Only so many likeliest tokens; 0: all. */
  readonly topK?: number | undefined;
}

/** @throws EngineError `BadArgument`, naming the option. */
export function assertSamplingOptions(options: SamplingOptions): void {
  const { temperature = 0, topP = 1, topK = 0 } = options;
  const refuse = (message: string) => new EngineError('BadArgument', message);
  if (!(temperature >= 0 && temperature <= 100)) throw refuse('temperature must be 0 to 100');
  if (!(topP > 0 && topP <= 1)) throw refuse('topP must be above 0 and at most 1');
  if (!Number.isInteger(topK) || topK < 0) throw refuse('topK must be an integer from 0');
}

/**
 * Index of the largest logit; the lowest index of equals.
 * @throws EngineError `NonFiniteLogits`.
 */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let peak = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i] ?? Number.NaN;
    if (!Number.isFinite(logit)) throw nonFinite(i);
    if (logit > peak) {
      peak = logit;
      best = i;
    }
  }
  return best;
}

function nonFinite(token: number): EngineError {
  return new EngineError(
    'NonFiniteLogits',
    `the logit of token ${token} is not finite: the weights are damaged or out of range`,
  );
}

/**
 * Draws one token. The tokens that topK and topP keep are drawn with probabilities
 * softmax(logits / temperature), which is computed in double precision; of equal logits the lower
 * index comes first. One number is taken from `random` unless temperature is 0.
 */
export function sampleToken(
  logits: Float32Array,
  options: SamplingOptions,
  random: RandomSource,
): number {
  const { temperature = 0, topP = 1, topK = 0 } = options;
  const best = argmax(logits);
  if (temperature === 0) return best;
  const peak = logits[best] ?? 0;
  const weights = new Float64Array(logits.length);
  for (let i = 0; i < logits.length; i++) {
    weights[i] = Math.exp(((logits[i] ?? 0) - peak) / temperature);
  }
  if (topP === 1 && (topK === 0 || topK >= logits.length)) return draw(weights, random);
  const kept = likeliest(weights, { topP, topK });
  return (
    kept[
      draw(
        Float64Array.from(kept, (token) => weights[token] ?? 0),
        random,
      )
    ] ?? best
  );
}

/** Tokens by falling weight, cut at topK tokens and at a share topP of their total weight. */
function likeliest(weights: Float64Array, cut: { topP: number; topK: number }): number[] {
  const most = cut.topK === 0 ? weights.length : Math.min(cut.topK, weights.length);
  const least = most < weights.length ? kthLargest(weights, most) : nucleusFloor(weights, cut.topP);
  const candidates: number[] = [];
  for (let i = 0; i < weights.length; i++) if ((weights[i] ?? 0) >= least) candidates.push(i);
  candidates.sort((a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b);
  const kept = candidates.slice(0, most);
  const total = sum(most < weights.length ? kept.map((token) => weights[token] ?? 0) : weights);
  let reached = 0;
  const end = kept.findIndex((token) => {
    reached += weights[token] ?? 0;
    return reached >= cut.topP * total;
  });
  return end < 0 ? kept : kept.slice(0, end + 1);
}

function kthLargest(weights: Float64Array, k: number): number {
  return weights.slice().sort()[weights.length - k] ?? 0;
}

/**
 * Tokens below this weight are never in the nucleus: with all lighter ones, n - 1 at most, they
 * would not make up the share 1 - topP that is left when a token but the likeliest (of weight 1)
 * is taken. It spares sorting a whole vocabulary.
 */
function nucleusFloor(weights: Float64Array, topP: number): number {
  const floor = ((1 - topP) * sum(weights)) / Math.max(1, weights.length - 1);
  return Math.min(1, floor * (1 - 1e-9));
}

function sum(values: ArrayLike<number>): number {
  let total = 0;
  for (let i = 0; i < values.length; i++) total += values[i] ?? 0;
  return total;
}

function draw(weights: Float64Array, random: RandomSource): number {
  let rest = random.next() * sum(weights);
  let last = 0;
  for (let i = 0; i < weights.length; i++) {
    const weight = weights[i] ?? 0;
    if (weight === 0) continue;
    last = i;
    rest -= weight;
    if (rest < 0) return i;
  }
  return last;
}
