import { describe, expect, it } from 'vitest';
import { rowSpreads } from './token.importance.ts';

const tokens = {
  counts: Float64Array.of(60, 4, 0, 0),
  probabilities: Float64Array.of(50, 10, 4, 0),
  variances: Float64Array.of(5, 4, 1, 0),
};
const powers = Float64Array.of(1, 1, 1, 1);
const at = (values: Float32Array, i: number) => values[i] ?? Number.NaN;

describe('spreads of rows', () => {
  it('are the narrower the more a token is met', () => {
    for (const use of [
      { lookUp: true, head: false },
      { lookUp: false, head: true },
      { lookUp: true, head: true },
    ]) {
      const spreads = rowSpreads(tokens, { use, powers });
      expect(at(spreads, 0)).toBeLessThan(at(spreads, 1));
      expect(at(spreads, 1)).toBeLessThan(at(spreads, 2));
      expect(at(spreads, 2)).toBeLessThan(at(spreads, 3));
    }
  });

  it('leave a quarter of the importance to all tokens alike', () => {
    const spreads = rowSpreads(tokens, { use: { lookUp: false, head: true }, powers });
    // 0.75 * 5 / 10 + 0.25 / 4 against 0.25 / 4.
    expect((at(spreads, 3) / at(spreads, 0)) ** 2).toBeCloseTo(0.4375 / 0.0625, 5);
  });

  it('have the power of the rows', () => {
    const scaled = powers.map((power) => power * 9);
    const spreads = rowSpreads(tokens, { use: { lookUp: true, head: true }, powers: scaled });
    expect(spreads.reduce((sum, s) => sum + s * s, 0)).toBeCloseTo(36, 4);
  });

  it('stay usable when nothing was met and all rows are zeros', () => {
    const none = new Float64Array(3);
    const nothing = { counts: none, probabilities: none, variances: none };
    const spreads = rowSpreads(nothing, { use: { lookUp: true, head: true }, powers: none });
    expect(spreads.every((spread) => spread > 0 && Number.isFinite(spread))).toBe(true);
  });
});
