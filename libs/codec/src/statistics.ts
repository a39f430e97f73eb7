const TWO_OVER_LN2 = 2.8853900817779268;
/** With |s| <= 0.172 the terms beyond s^21 are below 2^-53. */
const LAST_EXPONENT = 21;

/**
 * Order-0 entropy of counts, in bits a symbol; 0 for no symbols.
 *
 * Made of basic IEEE operations, as kernels/codec_entropy.cc of @entrofleet/native is, so that
 * both give the same bits on every machine: Math.log2 need not, and a rate search decides by them.
 */
export function entropyBits(counts: Float64Array): number {
  let total = 0;
  let sum = 0;
  let symbols = 0;
  for (const count of counts) {
    if (count === 0) continue;
    symbols++;
    total += count;
    sum += count * log2Of(count);
  }
  if (symbols < 2) return 0;
  return Math.max(0, log2Of(total) - sum / total);
}

/** log2 of a number from 1 up: log2(2^e m) = e + 2 / ln 2 * atanh((m - 1) / (m + 1)). */
function log2Of(value: number): number {
  let mantissa = value;
  let exponent = 0;
  while (mantissa > Math.SQRT2) {
    mantissa *= 0.5;
    exponent++;
  }
  const s = (mantissa - 1) / (mantissa + 1);
  const square = s * s;
  let series = 0;
  for (let k = LAST_EXPONENT; k >= 1; k -= 2) series = series * square + 1 / k;
  return exponent + TWO_OVER_LN2 * s * series;
}

/** Signal to quantization-noise ratio in decibels; null when there is no noise at all. */
export function sqnrDb(power: { readonly signal: number; readonly noise: number }): number | null {
  if (power.noise === 0) return null;
  return power.signal === 0 ? 0 : 10 * Math.log10(power.signal / power.noise);
}
