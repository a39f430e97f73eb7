import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import { RedisKeyQueue } from '../../apps/controller/src/adapters/redis.queue.ts';
import { Stalled, Waiting } from '../../apps/controller/src/errors.ts';
import { type RedisService, startRedis } from '../support/services.ts';

const SOON = { timeout: 20_000, interval: 20 };

describe('RedisKeyQueue', () => {
  let redis: RedisService;
  let queue: RedisKeyQueue;
  let count = 0;

  beforeAll(async () => {
    redis = await startRedis();
  });
  afterAll(() => redis.stop());
  beforeEach(() => {
    const prefix = `test${count++}`;
    queue = new RedisKeyQueue({ url: redis.url, prefix, log: new Log('error') });
  });
  afterEach(() => queue.close());

  /** Handles keys one after the other, each only when told to go on. */
  function steppedConsumer() {
    const started: string[] = [];
    let goOn: () => void = () => undefined;
    queue.consume('work', async (key) => {
      started.push(key);
      await new Promise<void>((resolve) => {
        goOn = resolve;
      });
    });
    return { started, goOn: () => goOn() };
  }

  it('takes a waiting key only once', async () => {
    for (let i = 0; i < 5; i++) {
      queue.enqueue('work', 'a');
      queue.enqueue('work', 'b');
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    // Keys are added one after the other, so once this one arrives the others are in Redis.
    let added = false;
    queue.consume('marker', async () => {
      added = true;
    });
    queue.enqueue('marker', 'last');
    await expect.poll(() => added, SOON).toBe(true);
    const keys: string[] = [];
    queue.consume('work', async (key) => {
      keys.push(key);
    });
    await expect.poll(() => keys, SOON).toEqual(['a', 'b']);
    queue.enqueue('work', 'c');
    await expect.poll(() => keys, SOON).toEqual(['a', 'b', 'c']);
  });

  it('handles a key once more that was enqueued while it was handled', async () => {
    const consumer = steppedConsumer();
    queue.enqueue('work', 'a');
    await expect.poll(() => consumer.started, SOON).toEqual(['a']);
    for (let i = 0; i < 3; i++) queue.enqueue('work', 'a');
    await new Promise((resolve) => setTimeout(resolve, 100));
    consumer.goOn();
    await expect.poll(() => consumer.started, SOON).toEqual(['a', 'a']);
    consumer.goOn();
    queue.enqueue('work', 'end');
    await expect.poll(() => consumer.started, SOON).toEqual(['a', 'a', 'end']);
    consumer.goOn();
  });

  it('gives a key back when it is released, and another takes it as if it were new', async () => {
    const begun: string[] = [];
    queue.consume('work', async (key, signal) => {
      begun.push(`first ${key}`);
      await new Promise((_, reject) => {
        signal.addEventListener('abort', () => reject(new Error('interrupted')));
      });
    });
    queue.enqueue('work', 'a');
    await expect.poll(() => begun, SOON).toEqual(['first a']);
    await queue.release();
    expect(await queue.counts('work')).toMatchObject({ waiting: 1, active: 0, delayed: 0 });
    // It can still be told of keys, yet takes none.
    queue.enqueue('work', 'b');
    await expect.poll(() => queue.counts('work'), SOON).toMatchObject({ waiting: 2 });
    const url = redis.url;
    const other = new RedisKeyQueue({ url, prefix: `test${count - 1}`, log: new Log('error') });
    other.consume('work', async (key) => {
      begun.push(`second ${key}`);
    });
    await expect.poll(() => begun, SOON).toEqual(['first a', 'second a', 'second b']);
    await other.close();
  });

  it('never handles a key twice at the same time, also after a flush', async () => {
    let running = 0;
    let most = 0;
    let done = 0;
    queue.consume(
      'work',
      async () => {
        running++;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 300));
        running--;
        done++;
      },
      { concurrency: 3 },
    );
    queue.enqueue('work', 'a');
    await expect.poll(() => running, SOON).toBe(1);
    await redis.flush();
    queue.enqueue('work', 'a');
    await expect.poll(() => done, SOON).toBe(2);
    expect(most).toBe(1);
  });

  it('tries again after a failure, at once when asked to, but not after Stalled or Waiting', async () => {
    const seen: string[] = [];
    queue.consume('work', async (key) => {
      seen.push(key);
      if (key === 'stalled') throw new Stalled('Bad', 'never works');
      if (key === 'waiting') throw new Waiting('NotYet', 'later');
      if (seen.filter((k) => k === key).length < 3) throw new Error('not this time');
    });
    for (const key of ['stalled', 'waiting', 'flaky']) queue.enqueue('work', key);
    await expect.poll(() => seen.filter((k) => k === 'flaky').length, SOON).toBe(1);
    queue.enqueue('work', 'flaky', { now: true });
    await expect.poll(() => seen.filter((k) => k === 'flaky').length, SOON).toBe(3);
    expect(seen.filter((key) => key !== 'flaky')).toEqual(['stalled', 'waiting']);
    queue.enqueue('work', 'stalled');
    await expect.poll(() => seen.filter((k) => k === 'stalled').length, SOON).toBe(2);
  });

  it('comes back to a key when the keys that it waits for are handled', async () => {
    const done: string[] = [];
    queue.consume(
      'work',
      async (key) => {
        if (key === 'whole' && done.length < 3) return ['whole/0', 'whole/1', 'whole/2'];
        await new Promise((resolve) => setTimeout(resolve, 50));
        done.push(key);
        return undefined;
      },
      { concurrency: 2 },
    );
    queue.enqueue('work', 'whole');
    await expect.poll(() => done.length, SOON).toBe(4);
    expect(done.slice(0, 3).toSorted()).toEqual(['whole/0', 'whole/1', 'whole/2']);
    expect(done[3]).toBe('whole');
  });

  it('comes back to a key also when one that it waits for fails for good', async () => {
    const seen: string[] = [];
    queue.consume('work', async (key) => {
      seen.push(key);
      if (key === 'bad') throw new Stalled('Bad', 'never works');
      return key === 'whole' && !seen.includes('good') ? ['bad', 'good'] : undefined;
    });
    queue.enqueue('work', 'whole');
    await expect.poll(() => seen, SOON).toEqual(['whole', 'bad', 'good', 'whole']);
  });

  it('takes a key that waits for others only once, however often it is enqueued', async () => {
    const seen: string[] = [];
    let goOn: () => void = () => undefined;
    const partDone = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    queue.consume(
      'work',
      async (key) => {
        seen.push(key);
        if (key === 'part') await partDone;
        return key === 'whole' && seen.length === 1 ? ['part'] : undefined;
      },
      { concurrency: 2 },
    );
    queue.enqueue('work', 'whole');
    await expect.poll(() => seen, SOON).toEqual(['whole', 'part']);
    for (let i = 0; i < 3; i++) queue.enqueue('work', 'whole');
    queue.enqueue('work', 'marker');
    await expect.poll(() => seen, SOON).toEqual(['whole', 'part', 'marker']);
    goOn();
    await expect.poll(() => seen, SOON).toEqual(['whole', 'part', 'marker', 'whole']);
  });

  it('makes a new key wait for what still runs for one that was lost in a flush', async () => {
    const seen: string[] = [];
    let goOn: () => void = () => undefined;
    const partDone = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    let isPartMade = false;
    queue.consume(
      'work',
      async (key) => {
        seen.push(key);
        if (key === 'whole') return isPartMade ? undefined : ['part'];
        if (isPartMade) return undefined;
        await partDone;
        isPartMade = true;
        return undefined;
      },
      { concurrency: 3 },
    );
    queue.enqueue('work', 'whole');
    await expect.poll(() => seen, SOON).toEqual(['whole', 'part']);
    await redis.flush();
    queue.enqueue('work', 'whole');
    await expect.poll(() => seen, SOON).toEqual(['whole', 'part', 'whole']);
    goOn();
    await expect.poll(() => seen, SOON).toEqual(['whole', 'part', 'whole', 'part', 'whole']);
  });

  it('keeps keys while Redis is away', async () => {
    const keys: string[] = [];
    queue.consume('work', async (key) => {
      keys.push(key);
    });
    await expect.poll(() => queue.ping().then(() => true), SOON).toBe(true);
    await redis.kill9();
    await expect(queue.ping()).rejects.toThrow();
    queue.enqueue('work', 'a');
    await redis.restart();
    await expect.poll(() => keys, SOON).toEqual(['a']);
  });

  it('aborts its handlers on close', async () => {
    let aborted = false;
    let started = false;
    queue.consume('work', async (_, signal) => {
      started = true;
      await new Promise((_resolve, reject) => {
        signal.addEventListener('abort', () => {
          aborted = true;
          reject(new Error('aborted'));
        });
      });
    });
    queue.enqueue('work', 'a');
    await expect.poll(() => started, SOON).toBe(true);
    await queue.close();
    expect(aborted).toBe(true);
  });
});
