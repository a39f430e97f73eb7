import type { LeaseRecord, SeenLease } from './kube.client.ts';

/**
 * Leader election by one Lease, after the algorithm of client-go's `leaderelection`: who is written
 * in the Lease may act for `durationMs` after each renewal, and everybody else measures by their
 * own monotonic clock for how long they have seen no renewal. So clocks need not agree, only run
 * about equally fast. The API server refuses a write when the Lease has changed since it was read,
 * so of two that take it at once one gets it.
 *
 * The holder counts from before it sent its last renewal that was confirmed, and stops a margin
 * early; others count from after they saw that renewal. So their times do not overlap.
 */
export interface LeaseTiming {
  readonly durationMs: number;
  /** From one renewal to the next. */
  readonly renewMs: number;
  /** Between two looks at another's Lease, and after a failure. */
  readonly retryMs: number;
  /** The holder stops so much before others may begin. */
  readonly marginMs: number;
  /** Of each read and write; several fit into the time that the holder has left. */
  readonly deadlineMs: number;
}

/** What one replica knows. Times are of its own monotonic clock. */
export interface LeaseView {
  readonly identity: string;
  /** As last read or written; `undefined`: there was none, or nobody has looked. */
  readonly lease: SeenLease | undefined;
  /** When the Lease was first seen to say what it says now; `undefined`: nobody has looked. */
  readonly sinceMs: number | undefined;
  /** For how long since then it stands for its holder, where that is another. */
  readonly patienceMs: number;
  /** When our last confirmed renewal was sent; `undefined`: we do not hold the Lease. */
  readonly renewedMs: number | undefined;
  /** `renewTime` of our writes that may have arrived and were not followed by another's. */
  readonly ownTimes: readonly string[];
  /** When the Lease may be written, as it is known. */
  readonly writeAtMs: number;
  /** When it is to be looked at, if it is not written before. */
  readonly lookAtMs: number;
}

export type LeaseStep =
  | { readonly kind: 'Wait'; readonly untilMs: number }
  | { readonly kind: 'Read' }
  | { readonly kind: 'Write'; readonly seen: SeenLease | undefined; readonly record: LeaseRecord };

const NEVER = Number.POSITIVE_INFINITY;
/** More writes than that are not on their way at the same time. */
const OWN_TIMES = 16;

export function leaseTiming(durationMs: number): LeaseTiming {
  return {
    durationMs,
    renewMs: durationMs / 3,
    retryMs: durationMs / 10,
    marginMs: durationMs / 5,
    deadlineMs: durationMs / 5,
  };
}

export function newLeaseView(identity: string): LeaseView {
  return {
    identity,
    lease: undefined,
    sinceMs: undefined,
    patienceMs: 0,
    renewedMs: undefined,
    ownTimes: [],
    writeAtMs: NEVER,
    lookAtMs: 0,
  };
}

/** Until when this replica may act; `undefined`: it may not. */
export function mayActUntilMs(view: LeaseView, timing: LeaseTiming): number | undefined {
  if (view.renewedMs === undefined) return undefined;
  return view.renewedMs + timing.durationMs - timing.marginMs;
}

/** @param now `wallTime` is what a renewal says: of no two writes of this process the same. */
export function nextLeaseStep(
  view: LeaseView,
  now: { readonly nowMs: number; readonly wallTime: string; readonly timing: LeaseTiming },
): LeaseStep {
  const { lease, identity, writeAtMs, lookAtMs } = view;
  if (now.nowMs < writeAtMs) {
    if (now.nowMs >= lookAtMs) return { kind: 'Read' };
    return { kind: 'Wait', untilMs: Math.min(writeAtMs, lookAtMs) };
  }
  const isRenewal = lease !== undefined && isOwn(view, lease);
  const record = {
    holderIdentity: identity,
    leaseDurationSeconds: Math.ceil(now.timing.durationMs / 1000),
    acquireTime: isRenewal ? lease.acquireTime : now.wallTime,
    renewTime: now.wallTime,
    leaseTransitions: isRenewal ? lease.leaseTransitions : (lease?.leaseTransitions ?? -1) + 1,
  };
  return { kind: 'Write', seen: lease, record };
}

/** What gives the Lease back, for another to take at once; `undefined`: it is not ours. */
export function releaseStep(
  view: LeaseView,
  wallTime: string,
): Extract<LeaseStep, { kind: 'Write' }> | undefined {
  const { lease } = view;
  if (lease === undefined || !isOwn(view, lease)) return undefined;
  const record = {
    holderIdentity: '',
    // The API server takes no less.
    leaseDurationSeconds: 1,
    acquireTime: wallTime,
    renewTime: wallTime,
    leaseTransitions: lease.leaseTransitions,
  };
  return { kind: 'Write', seen: lease, record };
}

export function afterRead(
  view: LeaseView,
  lease: SeenLease | undefined,
  now: { readonly nowMs: number; readonly timing: LeaseTiming },
): LeaseView {
  const { nowMs, timing } = now;
  const isKnown = view.sinceMs !== undefined && saysTheSame(view.lease, lease);
  const sinceMs = isKnown && view.sinceMs !== undefined ? view.sinceMs : nowMs;
  const patienceMs = isKnown ? view.patienceMs : patience(view, lease, timing);
  const seen = { ...view, lease, sinceMs, patienceMs, writeAtMs: sinceMs + patienceMs };
  if (lease !== undefined && isOwn(view, lease)) return { ...seen, lookAtMs: NEVER };
  // Others wait until we have stopped, but a Lease can also be edited or restored from a backup.
  return { ...seen, renewedMs: undefined, ownTimes: [], lookAtMs: nowMs + timing.retryMs };
}

/** To be remembered before the write is sent: it may arrive though nobody says so. */
export function beforeWrite(view: LeaseView, record: LeaseRecord): LeaseView {
  return { ...view, ownTimes: [...view.ownTimes, record.renewTime].slice(-OWN_TIMES) };
}

/** @param lease as the API server confirmed it; now it is ours. */
export function afterWrite(
  view: LeaseView,
  lease: SeenLease,
  now: { readonly sentMs: number; readonly timing: LeaseTiming },
): LeaseView {
  const { sentMs, timing } = now;
  return {
    ...view,
    lease,
    sinceMs: sentMs,
    patienceMs: 0,
    renewedMs: sentMs,
    ownTimes: [lease.renewTime],
    writeAtMs: sentMs + timing.renewMs,
    lookAtMs: NEVER,
  };
}

/** A read or write failed, or nobody knows. A conflict only means that there is news. */
export function afterFailure(
  view: LeaseView,
  now: {
    readonly sentMs: number;
    readonly nowMs: number;
    readonly isConflict: boolean;
    readonly timing: LeaseTiming;
  },
): LeaseView {
  const { sentMs, nowMs, isConflict, timing } = now;
  const lookAtMs = isConflict ? nowMs : Math.max(nowMs, sentMs + timing.retryMs);
  return { ...view, writeAtMs: NEVER, lookAtMs };
}

/** From when the Lease was first seen so, how long it stands for a holder that is not us. */
function patience(view: LeaseView, lease: SeenLease | undefined, timing: LeaseTiming): number {
  // One that vanished under its holder counts for as long as it would have.
  const last = lease ?? view.lease;
  if (last === undefined || last.holderIdentity === '' || isOwn(view, last)) return 0;
  return Math.max(timing.durationMs, last.leaseDurationSeconds * 1000);
}

/**
 * Whether this very process wrote it: an older renewal of ours is one that was followed by another's
 * and came back with a backup.
 */
function isOwn(view: LeaseView, lease: SeenLease): boolean {
  return lease.holderIdentity === view.identity && view.ownTimes.includes(lease.renewTime);
}

function saysTheSame(a: SeenLease | undefined, b: SeenLease | undefined): boolean {
  if (a === undefined || b === undefined) return a === b;
  return (
    a.holderIdentity === b.holderIdentity &&
    a.renewTime === b.renewTime &&
    a.leaseTransitions === b.leaseTransitions &&
    a.leaseDurationSeconds === b.leaseDurationSeconds
  );
}
