import { expect, it } from 'vitest';
import { RequestGate } from './request.gate.ts';

const NEVER = new AbortController().signal;

it('lets requests in by turn and counts who is there', async () => {
  const gate = new RequestGate({ concurrency: 2, queueLength: 2 });
  const order: number[] = [];
  const first = await gate.enter(NEVER);
  const second = await gate.enter(NEVER);
  const waiting = [3, 4].map((n) => gate.enter(NEVER).then((leave) => [n, leave] as const));
  for (const turn of waiting) void turn.then(([n]) => order.push(n));
  await expect(gate.enter(NEVER)).rejects.toMatchObject({ reason: 'QueueFull' });
  expect(gate.busy).toBe(4);
  first();
  first();
  await waiting[0];
  expect(order).toEqual([3]);
  second();
  const [, leave] = (await waiting[1]) ?? [];
  expect(order).toEqual([3, 4]);
  leave?.();
  expect(gate.busy).toBe(1);
});

it('gives the place of one who gave up to the next', async () => {
  const gate = new RequestGate({ concurrency: 1, queueLength: 1 });
  const leave = await gate.enter(NEVER);
  const leaving = new AbortController();
  const given = gate.enter(leaving.signal);
  leaving.abort(new Error('gone'));
  await expect(given).rejects.toThrow('gone');
  const next = gate.enter(NEVER);
  leave();
  (await next)();
  expect(gate.busy).toBe(0);
});
