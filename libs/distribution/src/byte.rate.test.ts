import { expect, it } from 'vitest';
import { ByteRate } from './byte.rate.ts';

it('spreads bytes over time and allows one burst of a second', () => {
  const rate = new ByteRate(1000);
  expect(rate.waitMs(0)).toBe(0);
  rate.spend(3000);
  const waitMs = rate.waitMs(0);
  expect(waitMs).toBeGreaterThan(2000);
  expect(rate.waitMs(waitMs)).toBe(0);
});

it('never waits without a limit', () => {
  const rate = new ByteRate(0);
  rate.spend(1e12);
  expect(rate.waitMs(0)).toBe(0);
});
