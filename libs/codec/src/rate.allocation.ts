/**
 * Step factors that a rate curve is measured at: half octaves from finer than 8 bits to nearly
 * nothing left.
 */
export const CURVE_FACTORS: readonly number[] = Array.from({ length: 19 }, (_, i) => {
  const octave = 2 ** (Math.floor(i / 2) - 7);
  return i % 2 === 0 ? octave : octave * Math.SQRT2;
});
const LAST = CURVE_FACTORS.length - 1;

/** What rows that share a step factor cost and lose at each of {@link CURVE_FACTORS}. */
export interface RateCurve {
  /** Weights that the curve stands for. */
  readonly weights: number;
  /** What noise as strong as the signal would cost here, in any unit common to all curves. */
  readonly sensitivity: number;
  /** Entropy per weight. */
  readonly bits: readonly number[];
  /** Squared error over squared weights. */
  readonly noise: readonly number[];
}

/** Figures of a choice of factors, over all curves. */
export interface Allocated {
  readonly bitsPerWeight: number;
  /** Mean of the relative noise, weighted by sensitivity. */
  readonly noise: number;
}

/**
 * Chooses a place on every curve where one more bit would buy equally much (Shoham and Gersho
 * 1988): the coarsest such choice that is fine enough.
 *
 * Made of basic IEEE operations, so that every machine gets the same factors.
 *
 * @returns a step factor for each curve.
 */
export function allocateFactors(
  curves: readonly RateCurve[],
  isFineEnough: (allocated: Allocated) => boolean,
): number[] {
  const slopes = curves.map(slopesOf);
  const placesAt = (slope: number) => slopes.map((of) => placeOf(of, slope));
  let fine = 2 ** -100;
  let coarse = 2 ** 100;
  // A square root halves the logarithm of the bracket each time: 2^(200 / 2^60).
  for (let i = 0; i < 60; i++) {
    const middle = Math.sqrt(fine) * Math.sqrt(coarse);
    if (isFineEnough(predicted(curves, placesAt(middle)))) fine = middle;
    else coarse = middle;
  }
  return placesAt(fine).map((place) => Math.fround(interpolated(CURVE_FACTORS, place)));
}

/** Loss per bit between each factor and the next, made to grow. */
function slopesOf({ weights, sensitivity, bits, noise }: RateCurve): number[] {
  const slopes: number[] = [];
  let last = Number.MIN_VALUE;
  for (let i = 0; i < LAST; i++) {
    const lost = sensitivity * ((noise[i + 1] ?? 0) - (noise[i] ?? 0));
    const saved = weights * ((bits[i] ?? 0) - (bits[i + 1] ?? 0));
    // Where a coarser step saves nothing, or costs nothing, only the direction counts.
    const slope = lost <= 0 ? 0 : saved <= 0 ? 2 ** 100 : lost / saved;
    last = Math.max(last, slope);
    slopes.push(last);
  }
  return slopes;
}

/** Where on a curve the slope is reached; slope i belongs to the middle of factors i and i + 1. */
function placeOf(slopes: readonly number[], slope: number): number {
  const above = slopes.findIndex((s) => s > slope);
  if (above === 0) return 0.5 * (slope / (slopes[0] ?? slope));
  if (above === -1) return LAST;
  const low = slopes[above - 1] ?? slope;
  const high = slopes[above] ?? slope;
  return above - 0.5 + (slope - low) / (high - low);
}

function interpolated(values: readonly number[], place: number): number {
  const below = Math.min(Math.floor(place), LAST - 1);
  const low = values[below] ?? 0;
  return low + (place - below) * ((values[below + 1] ?? low) - low);
}

function predicted(curves: readonly RateCurve[], places: readonly number[]): Allocated {
  return meanOf(
    curves.map(({ weights, sensitivity, bits, noise }, i) => ({
      weights,
      sensitivity,
      bits: interpolated(bits, places[i] ?? 0),
      noise: interpolated(noise, places[i] ?? 0),
    })),
  );
}

/** Means over parts: of bits by weights, of noise by sensitivity. */
export function meanOf(
  parts: readonly { weights: number; sensitivity: number; bits: number; noise: number }[],
): Allocated {
  const sums = { weights: 0, sensitivity: 0, bits: 0, noise: 0 };
  for (const part of parts) {
    sums.weights += part.weights;
    sums.sensitivity += part.sensitivity;
    sums.bits += part.weights * part.bits;
    sums.noise += part.sensitivity * part.noise;
  }
  return { bitsPerWeight: sums.bits / sums.weights, noise: sums.noise / sums.sensitivity };
}
