import { afterEach, beforeEach, expect, it } from 'vitest';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import { RedisKeyQueue } from '../../apps/controller/src/adapters/redis.queue.ts';
import { type FaultyLink, faultyLink } from '../support/faulty.link.ts';
import { type RedisService, startRedis } from '../support/services.ts';

/** Longer than BullMQ's own wait for a job, or every quiet moment would count as a silence. */
const SILENCE_MS = 7000;
const SOON = { timeout: 30_000, interval: 20 };

let redis: RedisService;
let link: FaultyLink;
let queue: RedisKeyQueue;
let handled: string[];

beforeEach(async () => {
  redis = await startRedis();
  link = await faultyLink({ toPort: redis.port });
  const url = `redis://127.0.0.1:${link.port}`;
  queue = new RedisKeyQueue({
    url,
    prefix: 'faults',
    log: new Log('error'),
    silenceMs: SILENCE_MS,
  });
  handled = [];
  queue.consume('work', async (key) => {
    handled.push(key);
  });
  queue.enqueue('work', 'first');
  await expect.poll(() => handled, SOON).toEqual(['first']);
});
afterEach(async () => {
  await queue.close();
  await link.close();
});

it('connections whose other end has vanished are given up, and no key is lost', async () => {
  // given that every connection leads nowhere, and nobody says so
  expect(link.abandon()).toBeGreaterThan(1);
  // when a key is enqueued
  queue.enqueue('work', 'second');
  // then it is handled over new connections, once, and so are later ones
  await expect.poll(() => handled, SOON).toEqual(['first', 'second']);
  queue.enqueue('work', 'third');
  await expect.poll(() => handled, SOON).toEqual(['first', 'second', 'third']);
}, 60_000);

it('a quiet queue keeps its connections', async () => {
  const before = link.accepted;
  await new Promise((resolve) => setTimeout(resolve, SILENCE_MS + 2000));
  expect(link.accepted).toBe(before);
  queue.enqueue('work', 'second');
  await expect.poll(() => handled, { timeout: 1500, interval: 20 }).toEqual(['first', 'second']);
}, 60_000);
