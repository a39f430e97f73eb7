import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { KeyList } from '../../../../test/fixtures/key.list.ts';
import { exampleDevice, exampleRollout } from '../../../../test/support/fleet.examples.ts';
import { SystemClock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { RolloutStore } from './rollout.store.ts';
import { RolloutWakeups } from './rollout.wakeups.ts';

let database: Database;
let queue: KeyList;
let wakeups: RolloutWakeups;

beforeEach(async () => {
  database = await Database.inMemory(new Log('error'));
  const store = new RolloutStore(database, new SystemClock());
  const { metadata, spec, status } = exampleRollout();
  await store.create({ name: metadata.name, labels: {}, spec, status });
  queue = new KeyList();
  wakeups = new RolloutWakeups(store, queue, new SystemClock());
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
});
afterEach(async () => {
  wakeups.onModuleDestroy();
  vi.useRealTimers();
  await database.close();
});

it('wakes the rollouts that a device concerns', async () => {
  await wakeups.wake([{ ...exampleDevice('a'), metadata: { labels: { site: 'moon' } } }]);
  expect(queue.keys).toEqual([]);
  await wakeups.wake([exampleDevice('a')]);
  expect(queue.keys).toEqual(['rollout']);
});

it('gives one look for all news within a rest, and waits no more than a second', async () => {
  wakeups.rest('rollout', 60_000);
  for (let i = 0; i < 5; i++) await wakeups.wake([exampleDevice('a')]);
  vi.advanceTimersByTime(999);
  expect(queue.keys).toEqual([]);
  vi.advanceTimersByTime(1);
  expect(queue.keys).toEqual(['rollout']);
  vi.advanceTimersByTime(10_000);
  expect(queue.keys).toEqual(['rollout']);
});

it('rests four times as long as a look took, and not for a person', async () => {
  wakeups.rest('rollout', 10);
  wakeups.wakeOne('rollout');
  expect(queue.keys).toEqual(['rollout']);
  await wakeups.wake([exampleDevice('a')]);
  vi.advanceTimersByTime(39);
  expect(queue.keys).toHaveLength(1);
  vi.advanceTimersByTime(1);
  expect(queue.keys).toHaveLength(2);
});
