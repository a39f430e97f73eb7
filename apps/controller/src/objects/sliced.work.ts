import { setImmediate as nextTurn } from 'node:timers/promises';

/** Whatever else waits, requests of people above all, waits no longer than about this. */
const SLICE_MS = 10;

/** As `Array.from(items, map)`, but others have their turn whenever it has taken a while. */
export async function mapInSlices<T, R>(items: Iterable<T>, map: (item: T) => R): Promise<R[]> {
  const mapped: R[] = [];
  let sinceMs = performance.now();
  for (const item of items) {
    mapped.push(map(item));
    if (performance.now() - sinceMs < SLICE_MS) continue;
    await nextTurn();
    sinceMs = performance.now();
  }
  return mapped;
}
