import { expect, it } from 'vitest';
import { createRandomSource } from './random.source.ts';

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
