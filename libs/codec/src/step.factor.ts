import { CodecError } from './codec.error.ts';

/** Step factors searched: from finer than 8-bit to nearly nothing left. */
const FACTOR_MIN = 1 / 128;
const FACTOR_MAX = 4;
const FACTORS_PER_PASS = 8;
const PASSES_MAX = 6;
const TOLERANCE_BITS = 0.002;

export interface StepFactorChoice {
  /** Step of a row over the rms of the row. */
  readonly stepFactor: number;
  readonly bitsPerWeight: number;
}

/**
 * Finds the step factor whose entropy over all tensors meets a target.
 *
 * Entropy falls as steps grow. Each pass over the checkpoint measures several factors at once and
 * keeps the bracket around the target, so that four passes reach a hundredth of a bit. The search
 * uses no time and no randomness: the same measurements give the same factor.
 *
 * @param search.measure gives the entropy, in bits per weight over all coded tensors, for each of
 * at most 8 ascending factors; it is one streaming pass over the checkpoint.
 * @returns the factor within {@link TOLERANCE_BITS} of the target, or the nearest that exists: a
 * grid of 255 levels cannot spend arbitrarily many bits.
 */
export async function chooseStepFactor(search: {
  readonly targetBitsPerWeight: number;
  readonly measure: (stepFactors: readonly number[]) => Promise<readonly number[]>;
}): Promise<StepFactorChoice> {
  const target = search.targetBitsPerWeight;
  if (!(target > 0 && target < 8)) {
    throw new CodecError('BadArgument', `a rate of ${target} bits per weight is out of range`);
  }
  let low = FACTOR_MIN;
  let high = FACTOR_MAX;
  let best: StepFactorChoice | undefined;
  for (let pass = 0; pass < PASSES_MAX; pass++) {
    const factors = geometricSteps({ low, high, count: FACTORS_PER_PASS });
    const rates = await search.measure(factors);
    const measured = factors.map((stepFactor, i) => ({
      stepFactor,
      bitsPerWeight: rates[i] ?? Number.NaN,
    }));
    const miss = (choice: StepFactorChoice) => Math.abs(choice.bitsPerWeight - target);
    for (const choice of measured) {
      if (best === undefined || miss(choice) < miss(best)) best = choice;
    }
    if (best !== undefined && miss(best) <= TOLERANCE_BITS) return best;
    const above = measured.findLast((choice) => choice.bitsPerWeight >= target);
    const below = measured.find((choice) => choice.bitsPerWeight < target);
    if (above === undefined || below === undefined) break;
    low = above.stepFactor;
    high = below.stepFactor;
  }
  if (best === undefined) throw new CodecError('BadArgument', 'no rate was measured');
  return best;
}

/** Rounded to floats, for the last bits of a power differ from one machine to the next. */
function geometricSteps(range: { low: number; high: number; count: number }): number[] {
  const ratio = range.high / range.low;
  return Array.from({ length: range.count }, (_, i) =>
    Math.fround(range.low * ratio ** (i / (range.count - 1))),
  );
}
