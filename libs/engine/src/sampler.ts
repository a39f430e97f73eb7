import { EngineError } from './engine.error.ts';
import { LogitAdjustment } from './logit.adjustment.ts';
import { createRandomSource, type RandomSource } from './random.source.ts';
import { assertSamplingOptions, type SamplingOptions } from './sampling.options.ts';
import { TokenShortlist } from './token.shortlist.ts';

/**
 * Index of the largest logit; the lowest index of equals.
 * @throws EngineError `NonFiniteLogits`.
 */
export function argmax(logits: Float32Array): number {
  let best = 0;
  let peak = Number.NEGATIVE_INFINITY;
  for (let i = 0; i < logits.length; i++) {
    const logit = logits[i] as number;
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

export interface SamplerOptions extends SamplingOptions {
  readonly vocabularySize: number;
  /** Tokens the text continues; `repetitionPenalty` counts them in. */
  readonly prompt?: readonly number[] | undefined;
  /** Same seed, same draws. Default: 0. */
  readonly seed?: number | undefined;
}

/**
 * Draws the tokens of one text. The order is that of transformers: biases and penalties
 * ({@link LogitAdjustment}), temperature, top-k, top-p, min-p. Top-p is a share of what top-k has
 * kept, min-p a share of the likeliest token's probability; of equal logits the lower index comes
 * first. (llama.cpp filters first and applies the temperature last.) What is kept is drawn in
 * proportion to softmax(logits / temperature), computed in double precision. One random number is
 * taken for each token unless the temperature is 0.
 *
 * Work is linear in the vocabulary and allocates nothing after the first token.
 */
export class TokenSampler {
  readonly #options: SamplingOptions;
  readonly #adjustment: LogitAdjustment;
  readonly #random: RandomSource;
  readonly #shortlist: TokenShortlist;

  /** @throws EngineError `BadArgument`, `BadToken`. */
  constructor(options: SamplerOptions) {
    assertSamplingOptions(options, options.vocabularySize);
    this.#options = options;
    this.#adjustment = new LogitAdjustment(options, options.prompt ?? []);
    this.#random = createRandomSource(options.seed ?? 0);
    this.#shortlist = new TokenShortlist(options.vocabularySize);
  }

  /**
   * Draws the next token and remembers it as part of the text.
   * @param logits vocabularySize floats; they stay as they are.
   * @throws EngineError `NonFiniteLogits`.
   */
  draw(logits: Float32Array): number {
    const token = this.#drawFrom(this.#adjustment.apply(logits));
    this.#adjustment.add(token);
    return token;
  }

  #drawFrom(logits: Float32Array): number {
    const { temperature = 0, topK = 0, topP = 1, minP = 0 } = this.#options;
    const best = argmax(logits);
    if (temperature === 0) return best;
    const peak = logits[best] as number;
    const shortlist = this.#shortlist;
    shortlist.begin(logits, { peak, temperature });
    if (topK > 0) shortlist.keepLikeliest(topK);
    if (topP < 1) shortlist.keepNucleus(topP);
    if (minP > 0) shortlist.keepFallenBy(-Math.log(minP));
    return shortlist.draw(this.#random.next());
  }
}
