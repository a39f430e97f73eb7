import type { Timeouts } from '@entrofleet/protocol';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { desiredOf, referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { StepTimeouts } from './step.timeouts.ts';
import { INITIAL_SITUATION, type Situation } from './update.states.ts';

const NO_LIMITS: Timeouts = {
  ...{ wholeSeconds: null, downloadSeconds: null, verifySeconds: null },
  ...{ decodeSeconds: null, testSeconds: null, activateSeconds: null },
};

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

function prepare(state: Situation['state'], limits: Partial<Timeouts>) {
  const timeouts = { ...NO_LIMITS, ...limits };
  const desired = desiredOf(targetOf(referenceOf('a')), { timeouts });
  const device = { situation: { ...INITIAL_SITUATION, state, desired }, online: true };
  const steps = new StepTimeouts({
    situation: () => device.situation,
    isOnline: () => device.online,
  });
  const cancel = new AbortController();
  /** A step that ends only when it is told to. */
  const endless = () =>
    steps
      .run(cancel.signal, (signal) => {
        return new Promise((_, reject) => {
          signal.addEventListener('abort', () => reject(signal.reason));
        });
      })
      .catch((error: Error & { reason?: string }) => error.reason ?? error.message);
  return { device, steps, cancel, endless };
}

it.each([
  ['Downloading', 'downloadSeconds', 'DownloadTimedOut'],
  ['Verifying', 'verifySeconds', 'VerifyTimedOut'],
  ['Decoding', 'decodeSeconds', 'DecodeTimedOut'],
  ['Testing', 'testSeconds', 'TestTimedOut'],
] as const)('%s ends after its time', async (state, limit, reason) => {
  const { endless } = prepare(state, { [limit]: 3 });
  const ending = endless();
  await vi.advanceTimersByTimeAsync(2700);
  expect(await Promise.race([ending, Promise.resolve('runs')])).toBe('runs');
  await vi.advanceTimersByTimeAsync(600);
  expect(await ending).toBe(reason);
});

it('time offline does not count for a download, but for other steps', async () => {
  for (const state of ['Downloading', 'Testing'] as const) {
    const { device, endless, cancel } = prepare(state, { downloadSeconds: 3, testSeconds: 3 });
    device.online = false;
    const ending = endless();
    await vi.advanceTimersByTimeAsync(3_600_000);
    const outcome = await Promise.race([ending, Promise.resolve('runs')]);
    expect(outcome).toBe(state === 'Testing' ? 'TestTimedOut' : 'runs');
    cancel.abort(new Error('over'));
  }
});

it('a step that was held goes on with what it has left, a new update with all of it', async () => {
  const { steps, endless, cancel } = prepare('Downloading', { downloadSeconds: 3 });
  const held = endless();
  await vi.advanceTimersByTimeAsync(2000);
  cancel.abort(new Error('held'));
  expect(await held).toBe('held');
  const again = new AbortController();
  const rest = steps.run(again.signal, (signal) => {
    return new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
  });
  const failing = expect(rest).rejects.toMatchObject({ reason: 'DownloadTimedOut' });
  await vi.advanceTimersByTimeAsync(1400);
  await failing;
  steps.reset();
  const whole = steps.run(again.signal, async () => {
    await vi.advanceTimersByTimeAsync(2000);
    return 'done';
  });
  expect(await whole).toBe('done');
});

it('gives the result of a step in time, and its failures as they are', async () => {
  const { steps, cancel } = prepare('Testing', { testSeconds: 3 });
  expect(await steps.run(cancel.signal, async () => 7)).toBe(7);
  const failing = steps.run(cancel.signal, () => Promise.reject(new Error('no')));
  await expect(failing).rejects.toThrow('no');
});
