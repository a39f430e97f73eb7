/**
 * Share of importance that is spread evenly over the vocabulary: calibration text says little of
 * what else will be read and written.
 */
const EVEN_SHARE = 0.25;

/** How often each token of the vocabulary is met, in any unit. */
export interface TokenStatistics {
  /** Occurrences in the calibration tokens. */
  readonly counts: Float64Array;
  /** Sums of the probabilities that the model gives each token. */
  readonly probabilities: Float64Array;
  /** Sums of p (1 - p): what squared noise in a token's logit costs (second order). */
  readonly variances: Float64Array;
}

/** What rows of a matrix over the vocabulary are used for. */
export interface RowUse {
  readonly lookUp: boolean;
  readonly head: boolean;
}

/**
 * Spreads of the rows of an embedding or head, see RowSteps: in proportion to one over the square
 * root of what a squared error in the row costs, so that errors cost equally much everywhere.
 *
 * Look-up: by how often the token is met, as counted and as the model predicts, half each; the
 * prediction knows tokens that the calibration text happens to lack. Head: by p (1 - p). Each use
 * counts relative to its own power, so that both matter equally in a tied embedding.
 *
 * @param powers sum of squares of each row.
 */
export function rowSpreads(
  tokens: TokenStatistics,
  { use, powers }: { readonly use: RowUse; readonly powers: Float64Array },
): Float32Array {
  const costs = new Float64Array(powers.length);
  if (use.lookUp) {
    const counted = shares(tokens.counts);
    const predicted = shares(tokens.probabilities);
    const met = counted.map((share, i) => (share + (predicted[i] ?? 0)) / 2);
    addRelative(costs, mixedWithEven(met), powers);
  }
  if (use.head) addRelative(costs, mixedWithEven(shares(tokens.variances)), powers);
  const mean = costs.reduce((sum, cost) => sum + 1 / cost, 0) / costs.length;
  const meanPower = powers.reduce((sum, power) => sum + power, 0) / powers.length;
  const scale = meanPower > 0 ? meanPower / mean : 1 / mean;
  return Float32Array.from(costs, (cost) => Math.sqrt(scale / cost));
}

function shares(values: Float64Array): Float64Array {
  const total = values.reduce((sum, value) => sum + value, 0);
  return values.map((value) => (total > 0 ? value / total : 1 / values.length));
}

function mixedWithEven(values: Float64Array): Float64Array {
  return values.map((share) => (1 - EVEN_SHARE) * share + EVEN_SHARE / values.length);
}

/** Adds weights, scaled so that the weighted power of all rows is 1. */
function addRelative(costs: Float64Array, weights: Float64Array, powers: Float64Array): void {
  let power = 0;
  for (const [i, weight] of weights.entries()) power += weight * (powers[i] ?? 0);
  for (const [i, weight] of weights.entries()) {
    costs[i] = (costs[i] ?? 0) + weight / (power > 0 ? power : 1);
  }
}
