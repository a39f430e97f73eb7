/** Order-0 entropy of counts, in bits a symbol; 0 for no symbols. */
export function entropyBits(counts: Float64Array): number {
  const total = counts.reduce((sum, count) => sum + count, 0);
  let bits = 0;
  for (const count of counts) {
    if (count > 0) bits -= (count / total) * Math.log2(count / total);
  }
  return bits;
}

/** Signal to quantization-noise ratio in decibels; null when there is no noise at all. */
export function sqnrDb(power: { readonly signal: number; readonly noise: number }): number | null {
  if (power.noise === 0) return null;
  return power.signal === 0 ? 0 : 10 * Math.log10(power.signal / power.noise);
}
