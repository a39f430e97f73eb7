import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { ProgressThrottle } from './progress.throttle.ts';

describe('ProgressThrottle', () => {
  beforeEach(() => {
    vi.useFakeTimers();
  });
  afterEach(() => {
    vi.useRealTimers();
  });

  it('passes the first value at once, then the latest of each interval', async () => {
    const passed: number[] = [];
    const throttle = new ProgressThrottle<number>({
      intervalMs: 500,
      pass: async (value) => {
        passed.push(value);
      },
    });
    for (const value of [1, 2, 3]) throttle.set(value);
    await vi.advanceTimersByTimeAsync(499);
    expect(passed).toEqual([1]);
    await vi.advanceTimersByTimeAsync(1);
    expect(passed).toEqual([1, 3]);
    await vi.advanceTimersByTimeAsync(2000);
    throttle.set(4);
    await vi.advanceTimersByTimeAsync(0);
    expect(passed).toEqual([1, 3, 4]);
    await throttle.close();
  });

  it('waits for a running call on close and passes nothing afterwards', async () => {
    const finish = Promise.withResolvers<void>();
    const passed: number[] = [];
    const throttle = new ProgressThrottle<number>({
      intervalMs: 500,
      pass: async (value) => {
        await finish.promise;
        passed.push(value);
      },
    });
    throttle.set(1);
    throttle.set(2);
    const closed = throttle.close();
    throttle.set(3);
    finish.resolve();
    await closed;
    expect(passed).toEqual([1]);
  });
});
