import { describe, expect, it } from 'vitest';
import {
  afterOutcome,
  NEW_WATCH,
  nextWatchStep,
  type WatchOutcome,
  type WatchState,
} from './watch.plan.ts';

const timing = {
  resyncMs: 300_000,
  firstBackoffMs: 500,
  lastBackoffMs: 30_000,
  failuresToList: 5,
};
const listed: WatchOutcome = { kind: 'Listed', resourceVersion: '100' };
const broken = (heard = false, version = '100'): WatchOutcome => ({
  kind: 'Failed',
  resourceVersion: version,
  heard,
  lastedMs: 10,
});

function after(outcomes: readonly WatchOutcome[], from: WatchState = NEW_WATCH): WatchState {
  return outcomes.reduce((state, o) => afterOutcome(state, o, { nowMs: 0, timing }), from);
}
const step = (state: WatchState, nowMs = 0, jitter = 1) =>
  nextWatchStep(state, { nowMs, timing, jitter });

describe('the plan of a watch', () => {
  it('begins with a list and goes on from its version until the next is due', () => {
    expect(step(NEW_WATCH)).toEqual({ kind: 'List', delayMs: 0 });
    const state = after([listed]);
    expect(step(state, 1000)).toEqual({
      kind: 'Watch',
      delayMs: 0,
      resourceVersion: '100',
      lifeMs: 299_000,
    });
    expect(step(state, 300_000)).toEqual({ kind: 'List', delayMs: 0 });
  });

  it.each(['Ended', 'Silent'] as const)('%s: watches on from what was heard, at once', (kind) => {
    const end = { kind, resourceVersion: '107', heard: true, lastedMs: 60_000 };
    const next = step(after([listed, end]), 60_000);
    expect(next).toMatchObject({ kind: 'Watch', delayMs: 0, resourceVersion: '107' });
    const idle = step(after([listed, { ...end, heard: false }]), 60_000);
    expect(idle).toMatchObject({ kind: 'Watch', delayMs: 0 });
  });

  it('waits longer after each failure, to a bound, with jitter', () => {
    const delays = Array.from({ length: 9 }, (_, i) => {
      const state = after([listed, ...new Array<WatchOutcome>(i + 1).fill(broken())]);
      return [step(state, 0, 0).delayMs, step(state, 0, 1).delayMs];
    });
    expect(delays[0]).toEqual([250, 500]);
    expect(delays[3]).toEqual([2000, 4000]);
    expect(delays[8]).toEqual([15_000, 30_000]);
  });

  it('watches on after a failure, and lists when they do not end', () => {
    const some = after([listed, ...new Array<WatchOutcome>(4).fill(broken())]);
    expect(step(some)).toMatchObject({ kind: 'Watch', resourceVersion: '100' });
    const many = after([broken()], some);
    expect(step(many)).toMatchObject({ kind: 'List' });
    const relisted = after([listed], many);
    expect(step(relisted)).toMatchObject({ kind: 'Watch', delayMs: 0 });
    expect(step(after([broken()], relisted)).delayMs).toBeGreaterThan(10_000);
    expect(step(after([broken(true, '9')], relisted))).toMatchObject({
      kind: 'Watch',
      delayMs: 500,
      resourceVersion: '9',
    });
  });

  it('lists when history is gone, and does not do so at full speed for ever', () => {
    const lost: WatchOutcome = { kind: 'Lost', heard: false };
    expect(step(after([listed, lost]))).toEqual({ kind: 'List', delayMs: 500 });
    const again = after([listed, lost, listed, lost, listed, lost, listed, lost]);
    expect(step(again)).toEqual({ kind: 'List', delayMs: 4000 });
  });

  it('takes a server for a failing one that ends every watch at once without a word', () => {
    const end = { kind: 'Ended', resourceVersion: '100', heard: false, lastedMs: 3 } as const;
    expect(step(after([listed, end, end])).delayMs).toBe(1000);
  });

  it('waits longer between lists that fail', () => {
    const failed: WatchOutcome = { kind: 'ListFailed' };
    expect(step(after([failed]))).toEqual({ kind: 'List', delayMs: 500 });
    expect(step(after([failed, failed, failed]))).toEqual({ kind: 'List', delayMs: 2000 });
  });
});
