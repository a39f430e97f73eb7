import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { SyncQueue } from './sync.queue.ts';

describe('SyncQueue', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  function queueOf(
    work: (key: string) => Promise<number | undefined>,
    errors: number[] = [],
  ): SyncQueue {
    const onError = (_key: string, _error: unknown, retryMs: number) => errors.push(retryMs);
    return new SyncQueue({ concurrency: 2, work, onError });
  }

  it('works on a key once, and again when it is added meanwhile, never twice at a time', async () => {
    const done: string[] = [];
    const ends: (() => void)[] = [];
    let running = 0;
    let most = 0;
    const queue = queueOf(async (key) => {
      most = Math.max(most, ++running);
      await new Promise<void>((resolve) => ends.push(resolve));
      running--;
      done.push(key);
      return undefined;
    });
    queue.add('a');
    for (let i = 0; i < 5; i++) queue.add('a');
    expect(ends).toHaveLength(1);
    ends.shift()?.();
    await vi.advanceTimersByTimeAsync(0);
    ends.shift()?.();
    await vi.advanceTimersByTimeAsync(0);
    expect(done).toEqual(['a', 'a']);
    for (const key of ['b', 'c', 'd']) queue.add(key);
    expect(ends).toHaveLength(2);
    while (done.length < 5) {
      ends.shift()?.();
      await vi.advanceTimersByTimeAsync(0);
    }
    expect(done.slice(2).toSorted()).toEqual(['b', 'c', 'd']);
    expect(most).toBe(2);
  });

  it('tries again what fails, later every time, and from the start after a success', async () => {
    const errors: number[] = [];
    let failures = 3;
    const queue = queueOf(async () => {
      if (failures-- > 0) throw new Error('not now');
      return undefined;
    }, errors);
    queue.add('a');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(errors).toEqual([500, 1000, 2000]);
    failures = 1;
    queue.add('a');
    await vi.advanceTimersByTimeAsync(10_000);
    expect(errors).toEqual([500, 1000, 2000, 500]);
  });

  it('looks again when the work says so, or earlier when it is added', async () => {
    const atMs: number[] = [];
    const startMs = Date.now();
    const queue = queueOf(async () => {
      atMs.push(Date.now() - startMs);
      return atMs.length === 1 ? 5000 : undefined;
    });
    queue.add('a');
    await vi.advanceTimersByTimeAsync(1000);
    queue.addLater('a', 1000);
    queue.addLater('a', 3000);
    await vi.advanceTimersByTimeAsync(60_000);
    expect(atMs).toEqual([0, 2000]);
  });

  it('does nothing after it is closed', async () => {
    const done: string[] = [];
    const queue = queueOf(async (key) => {
      done.push(key);
      return 10;
    });
    queue.add('a');
    await queue.close();
    queue.add('b');
    await vi.advanceTimersByTimeAsync(60_000);
    expect(done).toEqual(['a']);
  });
});
