import { expect, it } from 'vitest';
import { mapInSlices } from './sliced.work.ts';

function busyFor(ms: number): void {
  const endMs = performance.now() + ms;
  while (performance.now() < endMs);
}

it('maps in order, and lets others have their turn in between', async () => {
  let turns = 0;
  let isDone = false;
  const count = (): void => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const mapped = await mapInSlices([3, 1, 2, 5], (item) => {
    busyFor(15);
    return item * 2;
  });
  isDone = true;
  expect(mapped).toEqual([6, 2, 4, 10]);
  expect(turns).toBeGreaterThanOrEqual(3);
});

it('takes no turn for a little work', async () => {
  let turns = 0;
  setImmediate(() => turns++);
  expect(await mapInSlices(new Set([1, 2]), String)).toEqual(['1', '2']);
  expect(turns).toBe(0);
});
