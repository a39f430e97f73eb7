import { expect, it } from 'vitest';
import { exampleDevice, NOW } from '../../../../test/support/fleet.examples.ts';
import { penaltyAfter, penaltyUntil } from './penalty.plan.ts';

it('costs nothing at first, then five minutes, twice as many each time, a day at most', () => {
  const waits: number[] = [];
  let penalty = null;
  for (let revision = 1; revision <= 20; revision++) {
    penalty = penaltyAfter({ penalty, revision, now: NOW });
    waits.push((Date.parse(penalty.until) - Date.parse(NOW)) / 60_000);
  }
  expect(waits.slice(0, 6)).toEqual([0, 0, 5, 10, 20, 40]);
  expect(waits.at(-1)).toBe(24 * 60);
  expect(penalty).toMatchObject({ failures: 20, revision: 20 });
});

it('ends when its time is over', () => {
  const until = '2026-11-21T08:05:00.000Z';
  const device = exampleDevice('a', { penalty: { failures: 3, until } });
  expect(penaltyUntil(device, NOW)).toBe(until);
  expect(penaltyUntil(device, until)).toBeUndefined();
  expect(penaltyUntil(exampleDevice('b'), NOW)).toBeUndefined();
});
