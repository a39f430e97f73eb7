import type { SamplingOptions } from './sampling.options.ts';

/**
 * Logits after biases and penalties, in this order (as llama.cpp and vLLM do it):
 *
 * 1. `logitBias` is added.
 * 2. Tokens of the prompt and of the text so far: a positive logit is divided by
 *    `repetitionPenalty`, a negative one multiplied with it (CTRL, arXiv 1909.05858).
 * 3. Tokens of the text so far, the prompt left out: `frequencyPenalty` times their count and
 *    `presencePenalty` are taken away (OpenAI's API reference).
 */
export class LogitAdjustment {
  readonly #options: SamplingOptions;
  /** Of every token of the prompt and the text: how often it stands in the text. */
  readonly #counts = new Map<number, number>();
  readonly #isNeeded: boolean;
  #adjusted = new Float32Array();

  constructor(options: SamplingOptions, prompt: readonly number[]) {
    this.#options = options;
    const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = options;
    const isCounting = repetitionPenalty !== 1 || frequencyPenalty !== 0 || presencePenalty !== 0;
    if (isCounting) for (const token of prompt) this.#counts.set(token, 0);
    this.#isNeeded = isCounting || (options.logitBias?.size ?? 0) > 0;
  }

  /** Counts a token of the text. */
  add(token: number): void {
    if (this.#isNeeded) this.#counts.set(token, (this.#counts.get(token) ?? 0) + 1);
  }

  /** @returns the logits themselves when nothing changes, else a copy that the next call reuses. */
  apply(logits: Float32Array): Float32Array {
    if (!this.#isNeeded) return logits;
    if (this.#adjusted.length !== logits.length) this.#adjusted = new Float32Array(logits.length);
    const result = this.#adjusted;
    result.set(logits);
    const { repetitionPenalty = 1, frequencyPenalty = 0, presencePenalty = 0 } = this.#options;
    for (const [token, bias] of this.#options.logitBias ?? []) {
      result[token] = (result[token] ?? 0) + bias;
    }
    for (const [token, count] of this.#counts) {
      const logit = result[token] ?? 0;
      const repeated = logit > 0 ? logit / repetitionPenalty : logit * repetitionPenalty;
      result[token] = repeated - count * frequencyPenalty - (count > 0 ? presencePenalty : 0);
    }
    return result;
  }
}
