/** A deterministic stream of numbers in [0, 1), the same on every machine. */
export interface RandomSource {
  next(): number;
}

/**
 * sfc32 (PractRand), seeded through splitmix32 from a seed of up to 53 bits. Not for secrets.
 */
export function createRandomSource(seed: number): RandomSource {
  const mix = splitmix32(Math.floor(seed / 2 ** 32) ^ 0x9e3779b9, seed);
  let a = mix();
  let b = mix();
  let c = mix();
  let counter = 1;
  const next32 = (): number => {
    const result = (((a + b) | 0) + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = (((c << 21) | (c >>> 11)) + result) | 0;
    return result >>> 0;
  };
  for (let i = 0; i < 12; i++) next32();
  return { next: () => ((next32() >>> 5) * 2 ** 26 + (next32() >>> 6)) / 2 ** 53 };
}

function splitmix32(high: number, low: number): () => number {
  let state = (high ^ low) | 0;
  return () => {
    state = (state + 0x9e3779b9) | 0;
    let mixed = state ^ (state >>> 16);
    mixed = Math.imul(mixed, 0x21f0aaad);
    mixed ^= mixed >>> 15;
    mixed = Math.imul(mixed, 0x735a2d97);
    return mixed ^ (mixed >>> 15);
  };
}
