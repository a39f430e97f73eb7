import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { allocateFactors, CURVE_FACTORS, meanOf, type RateCurve } from './rate.allocation.ts';

/** High-resolution theory: noise is the step's square over 12; `spread` shifts the entropy. */
function ideal(weights: number, sensitivity: number, spread = 1): RateCurve {
  return {
    weights,
    sensitivity,
    bits: CURVE_FACTORS.map((factor) => 7.2 - Math.log2((factor * 128) / spread)),
    noise: CURVE_FACTORS.map((factor) => factor ** 2 / 12),
  };
}

const bitsAt = (curve: RateCurve, factor: number) =>
  (curve.bits[0] ?? 0) - Math.log2(factor / (CURVE_FACTORS[0] ?? 1));

const rateOf = (curves: readonly RateCurve[], factors: readonly number[]) =>
  meanOf(
    curves.map((curve, i) => ({
      ...curve,
      bits: bitsAt(curve, factors[i] ?? 0),
      noise: (factors[i] ?? 0) ** 2 / 12,
    })),
  );

describe('the allocation of rate', () => {
  it('measures half octaves from 1/128 to 4', () => {
    expect(CURVE_FACTORS.length).toBe(19);
    for (const [i, factor] of CURVE_FACTORS.entries()) {
      expect(factor).toBeCloseTo(2 ** (i / 2 - 7), 12);
    }
  });

  it('gives each curve noise in proportion to its weights over its sensitivity', () => {
    const curves = [ideal(1000, 1), ideal(4000, 1), ideal(1000, 4), ideal(1000, 1, 3)];
    const factors = allocateFactors(curves, ({ bitsPerWeight }) => bitsPerWeight >= 4);
    const [first = 0, large = 0, sensitive = 0, wide = 0] = factors;
    expect(large / first).toBeCloseTo(2, 1);
    expect(first / sensitive).toBeCloseTo(2, 1);
    // What the entropy starts from changes no slope.
    expect(wide).toBeCloseTo(first, 9);
    expect(rateOf(curves, factors).bitsPerWeight).toBeCloseTo(4, 1);
  });

  it('meets a bound on the noise instead', () => {
    const curves = [ideal(1000, 1), ideal(9000, 2)];
    const factors = allocateFactors(curves, ({ noise }) => noise <= 0.01);
    expect(rateOf(curves, factors).noise / 0.01).toBeCloseTo(1, 1);
  });

  it('costs no more than any other choice of the same rate', () => {
    const curve = fc
      .tuple(fc.integer({ min: 10, max: 10_000 }), fc.double({ min: 0.1, max: 10, noNaN: true }))
      .map(([weights, sensitivity]) => ideal(weights, sensitivity));
    const rate = fc.double({ min: 3, max: 5, noNaN: true });
    fc.assert(
      fc.property(fc.array(curve, { minLength: 2, maxLength: 6 }), rate, (curves, wanted) => {
        const factors = allocateFactors(curves, ({ bitsPerWeight }) => bitsPerWeight >= wanted);
        const inside = factors.every((f) => f > 2 ** -6.5 && f < 2 ** 1.5);
        fc.pre(inside);
        const chosen = rateOf(curves, factors);
        // The same factor for all, at the same rate.
        const equal = 2 ** ((curves[0]?.bits[0] ?? 0) - chosen.bitsPerWeight - 7);
        const alternative = rateOf(
          curves,
          curves.map(() => equal),
        );
        expect(chosen.noise).toBeLessThanOrEqual(alternative.noise * 1.01);
      }),
    );
  });

  it('ends at the finest or coarsest grid when the target is beyond them', () => {
    const curves = [ideal(1000, 1), ideal(1000, 3)];
    expect(allocateFactors(curves, () => true)).toEqual([4, 4]);
    expect(allocateFactors(curves, () => false)).toEqual([2 ** -7, 2 ** -7]);
  });

  it('does not move where a coarser step saves nothing', () => {
    const flat = { ...ideal(10, 1), bits: CURVE_FACTORS.map(() => 2) };
    const zeros = { ...flat, noise: CURVE_FACTORS.map(() => 0) };
    const curves = [flat, zeros, ideal(1000, 1)];
    const factors = allocateFactors(curves, ({ bitsPerWeight }) => bitsPerWeight >= 4);
    expect(factors[0]).toBeLessThan(0.012);
    expect(factors.every(Number.isFinite)).toBe(true);
  });
});
