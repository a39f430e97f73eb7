import { describe, expect, it } from 'vitest';
import type { SeenLease } from './kube.client.ts';
import {
  afterFailure,
  afterRead,
  afterWrite,
  beforeWrite,
  type LeaseStep,
  type LeaseView,
  leaseTiming,
  mayActUntilMs,
  newLeaseView,
  nextLeaseStep,
  releaseStep,
} from './lease.plan.ts';

const timing = leaseTiming(15_000);
const step = (view: LeaseView, nowMs: number) =>
  nextLeaseStep(view, { nowMs, wallTime: `t${nowMs}`, timing });

function lease(holderIdentity: string, renewTime: string, more: Partial<SeenLease> = {}) {
  return {
    holderIdentity,
    renewTime,
    acquireTime: 'before',
    leaseDurationSeconds: 15,
    leaseTransitions: 3,
    resourceVersion: '1',
    ...more,
  };
}

function written(of: LeaseStep, resourceVersion = '2'): SeenLease {
  if (of.kind !== 'Write') throw new Error(`${of.kind} instead of a write`);
  return { ...of.record, resourceVersion };
}

/** A view of who took a free lease at `sentMs`. */
function holder(sentMs: number): LeaseView {
  const seen = afterRead(newLeaseView('me'), undefined, { nowMs: sentMs, timing });
  const answer = written(step(seen, sentMs));
  return afterWrite(beforeWrite(seen, answer), answer, { sentMs, timing });
}

describe('the plan of a lease', () => {
  it('looks first, and takes what is free', () => {
    expect(step(newLeaseView('me'), 5)).toEqual({ kind: 'Read' });
    const none = afterRead(newLeaseView('me'), undefined, { nowMs: 10, timing });
    const record = { holderIdentity: 'me', leaseDurationSeconds: 15, leaseTransitions: 0 };
    expect(step(none, 10)).toMatchObject({ kind: 'Write', seen: undefined, record });
    const given = lease('', 'x');
    const free = afterRead(newLeaseView('me'), given, { nowMs: 10, timing });
    const next = { kind: 'Write', seen: given, record: { ...record, leaseTransitions: 4 } };
    expect(step(free, 10)).toMatchObject(next);
  });

  it('acts from before its renewal was sent, a margin less than the lease', () => {
    const view = holder(1000);
    expect(mayActUntilMs(view, timing)).toBe(1000 + 12_000);
    expect(step(view, 5999)).toEqual({ kind: 'Wait', untilMs: 6000 });
    const renewal = step(view, 6000);
    expect(renewal).toMatchObject({ record: { leaseTransitions: 0, acquireTime: 't1000' } });
    const renewed = afterWrite(beforeWrite(view, written(renewal)), written(renewal), {
      sentMs: 6000,
      timing,
    });
    expect(mayActUntilMs(renewed, timing)).toBe(18_000);
  });

  it('does not act longer for a renewal that nobody confirmed, and looks what became of it', () => {
    const before = holder(1000);
    const attempt = written(step(before, 6000));
    const unsure = afterFailure(beforeWrite(before, attempt), {
      sentMs: 6000,
      nowMs: 9000,
      isConflict: false,
      timing,
    });
    expect(mayActUntilMs(unsure, timing)).toBe(13_000);
    expect(step(unsure, 9000)).toEqual({ kind: 'Read' });
    const arrived = afterRead(unsure, attempt, { nowMs: 9100, timing });
    expect(mayActUntilMs(arrived, timing)).toBe(13_000);
    expect(step(arrived, 9100)).toMatchObject({ kind: 'Write', seen: attempt });
  });

  it("waits by its own clock since it saw another's renewal, looking again and again", () => {
    const first = afterRead(newLeaseView('me'), lease('you', 'a'), { nowMs: 0, timing });
    expect(step(first, 0)).toEqual({ kind: 'Wait', untilMs: 1500 });
    expect(step(first, 1500)).toEqual({ kind: 'Read' });
    const renewed = afterRead(first, lease('you', 'b'), { nowMs: 4500, timing });
    const same = afterRead(renewed, lease('you', 'b'), { nowMs: 19_000, timing });
    expect(step(same, 19_000)).toEqual({ kind: 'Wait', untilMs: 19_500 });
    expect(step(same, 19_500)).toMatchObject({ kind: 'Write', record: { leaseTransitions: 4 } });
  });

  it('waits as long as the holder asks for', () => {
    const long = lease('you', 'a', { leaseDurationSeconds: 60 });
    const view = afterRead(newLeaseView('me'), long, { nowMs: 0, timing });
    expect(step({ ...view, lookAtMs: 99_000 }, 59_999)).toMatchObject({ kind: 'Wait' });
    expect(step(view, 60_000)).toMatchObject({ kind: 'Write' });
  });

  it('stops at once when another holds the lease', () => {
    const lost = afterRead(holder(1000), lease('you', 'a'), { nowMs: 2000, timing });
    expect(mayActUntilMs(lost, timing)).toBeUndefined();
    expect(step(lost, 2000)).toMatchObject({ kind: 'Wait' });
  });

  it('goes on when the lease was only touched', () => {
    const view = holder(1000);
    const touched = { ...(view.lease ?? lease('', '')), resourceVersion: '77' };
    const conflict = { sentMs: 6000, nowMs: 6010, isConflict: true, timing };
    const doubtful = afterFailure(view, conflict);
    expect(step(doubtful, 6010)).toEqual({ kind: 'Read' });
    const next = step(afterRead(doubtful, touched, { nowMs: 6020, timing }), 6020);
    expect(next).toMatchObject({ kind: 'Write', seen: { resourceVersion: '77' } });
  });

  it('does not take for its own what came back with a backup, or was written by a namesake', () => {
    const mine = holder(1000);
    const old = mine.lease ?? lease('', '');
    const lost = afterRead(mine, lease('you', 'a'), { nowMs: 30_000, timing });
    const restored = afterRead(lost, old, { nowMs: 31_000, timing });
    expect(step(restored, 32_000)).toMatchObject({ kind: 'Wait' });
    const namesake = afterRead(newLeaseView('me'), old, { nowMs: 0, timing });
    expect(step(namesake, 0)).toMatchObject({ kind: 'Wait' });
  });

  it("waits for another's lease that vanished as if it were there", () => {
    const held = afterRead(newLeaseView('me'), lease('you', 'a'), { nowMs: 0, timing });
    const gone = afterRead(held, undefined, { nowMs: 2000, timing });
    const still = afterRead(gone, undefined, { nowMs: 4000, timing });
    expect(step(still, 16_999)).toEqual({ kind: 'Read' });
    expect(step(still, 17_000)).toMatchObject({ kind: 'Write', seen: undefined });
  });

  it('gives back what is its own only', () => {
    const view = holder(1000);
    expect(releaseStep(view, 'end')).toMatchObject({
      seen: view.lease,
      record: { holderIdentity: '', leaseDurationSeconds: 1, leaseTransitions: 0 },
    });
    const other = afterRead(view, lease('you', 'a'), { nowMs: 2000, timing });
    expect(releaseStep(other, 'end')).toBeUndefined();
  });
});
