import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { createRandomSource } from './random.source.ts';
import { argmax, assertSamplingOptions, type SamplingOptions, sampleToken } from './sampler.ts';

const logits = Float32Array.from([1, 3, 2, 3, -5]);

function counts(options: SamplingOptions, draws = 4000): number[] {
  const random = createRandomSource(11);
  const result = Array.from(logits, () => 0);
  for (let i = 0; i < draws; i++) {
    const token = sampleToken(logits, options, random);
    result[token] = (result[token] ?? 0) + 1;
  }
  return result.map((count) => count / draws);
}

function softmax(temperature: number, kept: readonly number[]): number[] {
  const weights = Array.from(logits, (logit, i) =>
    kept.includes(i) ? Math.exp(logit / temperature) : 0,
  );
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

describe('sampleToken', () => {
  it('takes the first of the likeliest at temperature 0', () => {
    expect(counts({ temperature: 0 })).toEqual([0, 1, 0, 0, 0]);
    expect(argmax(logits)).toBe(1);
  });

  it.each([
    [{ temperature: 1 }, softmax(1, [0, 1, 2, 3, 4])],
    [{ temperature: 2 }, softmax(2, [0, 1, 2, 3, 4])],
    [{ temperature: 1, topK: 3 }, softmax(1, [1, 2, 3])],
    [{ temperature: 1, topK: 99 }, softmax(1, [0, 1, 2, 3, 4])],
    [{ temperature: 1, topP: 0.3 }, softmax(1, [1])],
    [{ temperature: 1, topP: 0.7 }, softmax(1, [1, 3])],
    [{ temperature: 1, topP: 0.9 }, softmax(1, [1, 2, 3])],
    [{ temperature: 1, topK: 1, topP: 0.9 }, softmax(1, [1])],
  ])('draws from the distribution that %j asks for', (options, expected) => {
    for (const [i, share] of counts(options).entries()) {
      expect(Math.abs(share - (expected[i] ?? 0))).toBeLessThan(0.03);
      if (expected[i] === 0) expect(share).toBe(0);
    }
  });

  it('never leaves the nucleus', () => {
    // Steps of 2^-10: logits closer than a double's precision have no order after exp.
    const anyLogits = fc
      .array(fc.integer({ min: -20 * 1024, max: 20 * 1024 }), { minLength: 1, maxLength: 40 })
      .map((list) => Float32Array.from(list, (value) => value / 1024));
    const topP = fc.double({ min: 0.01, max: 1, noNaN: true });
    fc.assert(
      fc.property(anyLogits, topP, fc.nat(41), fc.integer(), (values, share, topK, seed) => {
        const token = sampleToken(
          values,
          { temperature: 1, topP: share, topK },
          createRandomSource(seed),
        );
        const weights = Array.from(values, (value) => Math.exp(value));
        const order = [...weights.keys()].sort(
          (a, b) => (weights[b] ?? 0) - (weights[a] ?? 0) || a - b,
        );
        const kept = topK === 0 ? order : order.slice(0, topK);
        const sum = (list: number[]) => list.reduce((total, i) => total + (weights[i] ?? 0), 0);
        const rank = kept.indexOf(token);
        expect(rank).toBeGreaterThanOrEqual(0);
        expect(sum(kept.slice(0, rank))).toBeLessThanOrEqual(share * sum(kept) * (1 + 1e-9));
      }),
    );
  });

  it.each([Number.NaN, Number.POSITIVE_INFINITY])('refuses a logit of %d', (bad) => {
    const broken = Float32Array.of(0, bad);
    const sample = () => sampleToken(broken, { temperature: 1 }, createRandomSource(1));
    expect(sample).toThrow(expect.objectContaining({ reason: 'NonFiniteLogits' }));
  });
});

it.each([
  { temperature: -1 },
  { temperature: Number.NaN },
  { topP: 0 },
  { topP: 1.1 },
  { topK: -1 },
  { topK: 1.5 },
])('assertSamplingOptions refuses %j', (options) => {
  expect(() => assertSamplingOptions(options)).toThrow(
    expect.objectContaining({ reason: 'BadArgument' }),
  );
});

describe('createRandomSource', () => {
  it('gives the same numbers for a seed and others for another', () => {
    const take = (seed: number) => {
      const random = createRandomSource(seed);
      return [random.next(), random.next(), random.next()];
    };
    expect(take(5)).toEqual(take(5));
    expect(new Set([5, 6, 5 + 2 ** 32, 0].flatMap(take)).size).toBe(12);
  });

  it('is uniform', () => {
    const random = createRandomSource(1);
    const bins = new Array<number>(10).fill(0);
    for (let i = 0; i < 10_000; i++) {
      const value = random.next();
      expect(value >= 0 && value < 1).toBe(true);
      const bin = Math.floor(value * 10);
      bins[bin] = (bins[bin] ?? 0) + 1;
    }
    for (const bin of bins) expect(Math.abs(bin - 1000)).toBeLessThan(150);
  });
});
