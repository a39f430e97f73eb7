import { retriesSchema } from '@entrofleet/protocol';
import fc from 'fast-check';
import { expect, it } from 'vitest';
import { backoffMs, randomOf } from './retry.plan.ts';

const retries = retriesSchema.parse({ limit: 5, backoffSeconds: 30, backoffMaxSeconds: 100 });
const of = (attempts: number, device = 'a') => ({ device, rollout: 'r', attempts });

it('doubles the pause up to the longest, less a random share', () => {
  const plain = { ...retries, jitter: 0 };
  const pauses = [1, 2, 3, 9].map((n) => backoffMs(plain, of(n)));
  expect(pauses).toEqual([30_000, 60_000, 100_000, 100_000]);
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 1, max: 20 }), (device, attempts) => {
      const full = backoffMs(plain, of(attempts));
      const pause = backoffMs(retries, of(attempts, device));
      expect(pause).toBeGreaterThanOrEqual(full * 0.8 - 1);
      expect(pause).toBeLessThanOrEqual(full);
      expect(backoffMs(retries, of(attempts, device))).toBe(pause);
    }),
  );
});

it('spreads devices evenly', () => {
  const values = Array.from({ length: 10_000 }, (_, i) => randomOf(`r/device-${i}/1`));
  const tenths = Array.from({ length: 10 }, (_, tenth) =>
    values.filter((value) => Math.floor(value * 10) === tenth),
  );
  for (const { length } of tenths) expect(Math.abs(length - 1000)).toBeLessThan(150);
});
