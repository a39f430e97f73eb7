import { fallingExponential, NEGLIGIBLE_FALL } from './falling.exponential.ts';

export interface TokenLogprob {
  readonly tokenId: number;
  /** Natural logarithm of the model's probability. */
  readonly logprob: number;
}

/** A token of a text, with the likeliest tokens of its position, the likeliest first. */
export interface LogprobEntry extends TokenLogprob {
  readonly top: readonly TokenLogprob[];
}

/** Most alternatives that may be asked for, as in OpenAI's API. */
export const TOP_LOGPROBS_MOST = 20;

/**
 * Log-probabilities the model itself gives, before biases, penalties, temperature and filters (as
 * vLLM and llama.cpp report them).
 * @param logits all finite.
 * @param count of alternatives, 0 to 20; of equal ones the lower token comes first.
 */
export function tokenLogprobs(
  logits: Float32Array,
  { tokenId, count }: { tokenId: number; count: number },
): LogprobEntry {
  const top = likeliestTokens(logits, Math.max(1, count));
  const peak = logits[top[0] ?? 0] ?? 0;
  let total = 0;
  for (let i = 0; i < logits.length; i++) {
    const fall = peak - (logits[i] as number);
    if (fall <= NEGLIGIBLE_FALL) total += fallingExponential(fall);
  }
  const normalizer = peak + Math.log(total);
  const entry = (token: number) => ({
    tokenId: token,
    logprob: (logits[token] ?? Number.NaN) - normalizer,
  });
  return { ...entry(tokenId), top: top.slice(0, count).map(entry) };
}

/** Indices of the `count` largest logits, largest first: one pass, and an insertion for each find. */
function likeliestTokens(logits: Float32Array, count: number): number[] {
  const found: number[] = [];
  let least = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i] as number;
    if (logit <= least && found.length === count) continue;
    let at = found.length;
    while (at > 0 && logit > (logits[found[at - 1] ?? 0] ?? 0)) at--;
    found.splice(at, 0, i);
    if (found.length > count) found.pop();
    if (found.length === count) least = logits[found[count - 1] ?? 0] ?? least;
  }
  return found;
}
