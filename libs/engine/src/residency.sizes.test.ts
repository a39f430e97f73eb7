import { describe, expect, it } from 'vitest';
import { plainMatrixBytes, windowMatrixBytes } from './residency.sizes.ts';

/** Normal levels around the middle, as quantized weights have them. */
function bell(levels: number, deviation: number): Float64Array {
  const middle = levels / 2;
  const heights = Float64Array.from({ length: levels }, (_, level) =>
    Math.exp(-(((level - middle) / deviation) ** 2) / 2),
  );
  const sum = heights.reduce((total, height) => total + height, 0);
  return heights.map((height) => height / sum);
}

function pairs(levels: Float64Array): Float64Array {
  return Float64Array.from({ length: 256 }, (_, symbol) => {
    return (levels[symbol & 15] ?? 0) * (levels[symbol >> 4] ?? 0);
  });
}

const bitsPerWeight = (bytes: number, shape: { rows: number; columns: number }) =>
  (8 * bytes) / (shape.rows * shape.columns);

describe('windowMatrixBytes', () => {
  const shape = { rows: 4096, columns: 4096 };

  it.each([
    [30, 7.1, 8.1],
    [11, 6, 6.5],
    [2, 3.5, 4.3],
  ])('8 bits of deviation %d take %d to %d bits', (deviation, least, most) => {
    const bytes = windowMatrixBytes({ ...shape, bits: 8 }, bell(256, deviation));
    expect(bitsPerWeight(bytes, shape)).toBeGreaterThan(least);
    expect(bitsPerWeight(bytes, shape)).toBeLessThan(most);
  });

  it('sees through pairs of 4 bits', () => {
    const bytes = windowMatrixBytes({ ...shape, bits: 4 }, pairs(bell(16, 0.5)));
    expect(bitsPerWeight(bytes, shape)).toBeGreaterThan(2);
    expect(bitsPerWeight(bytes, shape)).toBeLessThan(2.4);
  });

  it('never exceeds the plain form, which spread out levels need', () => {
    const even = new Float64Array(256).fill(1 / 256);
    const wide = { ...shape, bits: 8 } as const;
    expect(windowMatrixBytes(wide, even)).toBe(plainMatrixBytes(wide));
  });

  it('counts the padding of small matrices', () => {
    expect(plainMatrixBytes({ rows: 1, columns: 1, bits: 8 })).toBeGreaterThanOrEqual(16 * 32);
  });
});
