import { fallingExponential, NEGLIGIBLE_FALL } from './falling.exponential.ts';

/** Bins of equal width over the falls that count; one holds few of even a large vocabulary. */
const BINS = 2048;
const BINS_PER_FALL = BINS / (NEGLIGIBLE_FALL + 1);

/**
 * The tokens that may be drawn, by their fall: how far the logit lies below the largest, divided by
 * the temperature; a token's weight is exp(-fall). Tokens that have fallen too far to be drawn at
 * all are left out.
 *
 * A cut at a rank or at a share of the weight, and a draw, are found without sorting: a histogram
 * tells the bin where it lies, and only tokens of that bin are sorted or summed. A vocabulary is
 * passed over once for the histogram and once to gather what is kept.
 */
export class TokenShortlist {
  readonly #tokens: Uint32Array;
  readonly #falls: Float64Array;
  readonly #sorted: Float64Array;
  readonly #histogram = new Float64Array(BINS);
  #source: ScaledLogits = { logits: new Float32Array(), peak: 0, scale: 1 };
  /** Tokens that have been gathered; undefined while all of the vocabulary is in. */
  #length: number | undefined;

  constructor(vocabularySize: number) {
    this.#tokens = new Uint32Array(vocabularySize);
    this.#falls = new Float64Array(vocabularySize);
    this.#sorted = new Float64Array(vocabularySize);
  }

  /** Starts anew. `peak` is the largest of the logits, all of which are finite. */
  begin(logits: Float32Array, { peak, temperature }: { peak: number; temperature: number }): void {
    // Finite even for the smallest temperature, so that no fall of 0 becomes NaN.
    this.#source = { logits, peak, scale: Math.min(1 / temperature, Number.MAX_VALUE) };
    this.#length = undefined;
  }

  /** Keeps the `count` likeliest, at least one; of equals those of lower id. */
  keepLikeliest(count: number): void {
    if (count >= this.#source.logits.length) return;
    this.#countBins();
    const { bin, before } = this.#binReaching(count);
    this.#gather({ from: 0, to: bin });
    const falls = this.#sortedFrom(bin);
    this.#cutAfter(falls, Math.min(falls.length, count - before));
  }

  /** Keeps the likeliest that together reach `share` of the weight, at least one. */
  keepNucleus(share: number): void {
    const target = share * this.#weighBins();
    const { bin, before } = this.#binReaching(target);
    if (this.#length === undefined) this.#gather({ from: 0, to: bin });
    const falls = this.#sortedFrom(bin);
    let reached = before;
    let kept = 0;
    while (kept < falls.length && reached < target) {
      reached += fallingExponential(falls[kept++] as number);
    }
    this.#cutAfter(falls, Math.max(1, kept));
  }

  /** Keeps those that have fallen by `most` at most. */
  keepFallenBy(most: number): void {
    if (this.#length === undefined) {
      this.#gather({ from: 0, to: binOf(Math.min(most, NEGLIGIBLE_FALL)) });
    }
    this.#keep({ limit: most, equals: Number.POSITIVE_INFINITY });
  }

  /**
   * @param random from 0 to below 1.
   * @returns the token there, when each has a part of that range as long as its share of the
   * weight. Parts lie by bin, and in a bin by id.
   */
  draw(random: number): number {
    const target = random * this.#weighBins();
    const { bin, before } = this.#binReaching(target);
    if (this.#length === undefined) this.#gather({ from: bin, to: bin });
    const length = this.#length ?? 0;
    let reached = before;
    let last = this.#tokens[0] as number;
    for (let i = 0; i < length; i++) {
      const fall = this.#falls[i] as number;
      if (binOf(fall) !== bin) continue;
      last = this.#tokens[i] as number;
      reached += fallingExponential(fall);
      if (reached > target) return last;
    }
    return last;
  }

  #countBins(): void {
    const histogram = this.#histogram.fill(0);
    const { logits, peak, scale } = this.#source;
    for (let i = 0; i < logits.length; i++) {
      const fall = (peak - (logits[i] as number)) * scale;
      if (fall > NEGLIGIBLE_FALL) continue;
      const bin = (fall * BINS_PER_FALL) | 0;
      histogram[bin] = (histogram[bin] as number) + 1;
    }
  }

  /** @returns the weight of all bins together. */
  #weighBins(): number {
    const histogram = this.#histogram.fill(0);
    if (this.#length === undefined) weighLogits(this.#source, histogram);
    else weighFalls(this.#falls.subarray(0, this.#length), histogram);
    let total = 0;
    for (let bin = 0; bin < BINS; bin++) total += histogram[bin] as number;
    return total;
  }

  /**
   * The bin where the histogram, summed up, reaches `target`: the last one that holds anything if
   * rounding leaves the target out of reach. `before` is the sum up to that bin.
   */
  #binReaching(target: number): { bin: number; before: number } {
    let found = 0;
    let before = 0;
    let sum = 0;
    for (let bin = 0; bin < BINS; bin++) {
      const mass = this.#histogram[bin] as number;
      if (mass === 0) continue;
      found = bin;
      before = sum;
      sum += mass;
      if (sum >= target && sum > 0) break;
    }
    return { bin: found, before };
  }

  #gather({ from, to }: { from: number; to: number }): void {
    const { logits, peak, scale } = this.#source;
    const tokens = this.#tokens;
    const falls = this.#falls;
    let length = 0;
    for (let i = 0; i < logits.length; i++) {
      const fall = (peak - (logits[i] as number)) * scale;
      if (fall > NEGLIGIBLE_FALL) continue;
      const bin = (fall * BINS_PER_FALL) | 0;
      if (bin < from || bin > to) continue;
      tokens[length] = i;
      falls[length] = fall;
      length++;
    }
    this.#length = length;
  }

  /** Falls of the gathered tokens of a bin, rising. */
  #sortedFrom(bin: number): Float64Array {
    const all = this.#length ?? 0;
    let length = 0;
    for (let i = 0; i < all; i++) {
      const fall = this.#falls[i] as number;
      if (binOf(fall) === bin) this.#sorted[length++] = fall;
    }
    return this.#sorted.subarray(0, length).sort();
  }

  /** Keeps all bins before that of `falls`, and of its tokens the first `count`, at least one. */
  #cutAfter(falls: Float64Array, count: number): void {
    const limit = falls[count - 1] as number;
    let equals = 0;
    while (equals < count && falls[count - 1 - equals] === limit) equals++;
    this.#keep({ limit, equals });
  }

  /** Keeps falls below `limit`, and the first so many that equal it. */
  #keep({ limit, equals }: { limit: number; equals: number }): void {
    const all = this.#length ?? 0;
    let length = 0;
    let equalsLeft = equals;
    for (let i = 0; i < all; i++) {
      const fall = this.#falls[i] as number;
      if (fall > limit || (fall === limit && equalsLeft-- <= 0)) continue;
      this.#tokens[length] = this.#tokens[i] as number;
      this.#falls[length] = fall;
      length++;
    }
    this.#length = length;
  }
}

interface ScaledLogits {
  readonly logits: Float32Array;
  readonly peak: number;
  /** One over the temperature. */
  readonly scale: number;
}

/** Adds each token's weight to its bin. */
function weighLogits({ logits, peak, scale }: ScaledLogits, histogram: Float64Array): void {
  for (let i = 0; i < logits.length; i++) {
    const fall = (peak - (logits[i] as number)) * scale;
    if (fall > NEGLIGIBLE_FALL) continue;
    const bin = (fall * BINS_PER_FALL) | 0;
    histogram[bin] = (histogram[bin] as number) + fallingExponential(fall);
  }
}

function weighFalls(falls: Float64Array, histogram: Float64Array): void {
  for (let i = 0; i < falls.length; i++) {
    const fall = falls[i] as number;
    const bin = (fall * BINS_PER_FALL) | 0;
    histogram[bin] = (histogram[bin] as number) + fallingExponential(fall);
  }
}

function binOf(fall: number): number {
  return (fall * BINS_PER_FALL) | 0;
}
