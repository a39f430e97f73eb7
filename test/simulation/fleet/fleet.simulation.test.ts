import { expect, it } from 'vitest';
import { runSeed } from './fleet.run.ts';

/** `make sim` runs 2000 of them. */
const SEEDS = 100;
const BATCH = 10;

for (let first = 1; first <= SEEDS; first += BATCH) {
  const last = first + BATCH - 1;
  it(`seeds ${first} to ${last}: every invariant holds and the fleet converges`, async () => {
    for (let seed = first; seed <= last; seed++) {
      const { violation } = await runSeed(seed);
      const replay = violation && `${violation.message}; replay: make sim SEED=${seed}`;
      expect(replay).toBe(undefined);
    }
  });
}

it('the same seed gives the same run, event for event', async () => {
  const [first, second] = [
    await runSeed(7, { isTraced: true }),
    await runSeed(7, { isTraced: true }),
  ];
  expect(first.trace.length).toBeGreaterThan(20);
  expect(second.trace).toEqual(first.trace);
});
