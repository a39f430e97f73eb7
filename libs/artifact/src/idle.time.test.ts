import { expect, it } from 'vitest';
import { IdleTime } from './idle.time.ts';

it('counts what is waited for, except beside work', async () => {
  let nowMs = 0;
  const idle = new IdleTime(() => nowMs);
  const wait = Promise.withResolvers<void>();
  const work = Promise.withResolvers<void>();
  nowMs = 1000;
  const waiting = idle.waiting(wait.promise);
  nowMs = 3000;
  const working = idle.working(work.promise);
  nowMs = 7000;
  work.resolve();
  await working;
  nowMs = 8000;
  expect(idle.seconds).toBe(3);
  wait.resolve();
  await waiting;
  nowMs = 20_000;
  expect(idle.seconds).toBe(3);
});

it('passes results and failures on', async () => {
  const idle = new IdleTime();
  expect(await idle.waiting(Promise.resolve(7))).toBe(7);
  await expect(idle.working(Promise.reject(new Error('no')))).rejects.toThrow('no');
});
