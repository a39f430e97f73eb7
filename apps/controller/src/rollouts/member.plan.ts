import {
  type Desired,
  type Device,
  hardwareClassOf,
  LIMITS,
  type Member,
  type Report,
  type Strategy,
  type Target,
} from '@entrofleet/protocol';
import { type MemberStanding, standingOf } from './member.standing.plan.ts';
import { penaltyText, penaltyUntil } from './penalty.plan.ts';
import { backoffMs } from './retry.plan.ts';
import { LEFT_BEHIND } from './threshold.plan.ts';
import { clockRunning, clockSeconds, clockStarted, clockStopped } from './update.clock.plan.ts';
import { actualUpdate } from './update.prediction.ts';
import { isHeldAt, stageOf, type UpdateStage } from './update.stage.plan.ts';

/** Reason of a member that the retry action wants started again. */
export const RETRYING = 'Retrying';
/** Reason of a member that has failed and is started again by itself. */
export const BACKING_OFF = 'BackingOff';
/** Reason of a member that may not be started because it keeps failing. */
export const PENALTY_BOX = 'PenaltyBox';

export interface MemberFacts {
  readonly rollout: string;
  readonly device: Device;
  readonly previous: Member | undefined;
  /** What it ran before an earlier revision of the same target. */
  readonly ranBefore: Member['previous'];
  /** When this rollout asked for the target, where a crash kept the start from being saved. */
  readonly unsavedStart: string | null;
  /** The older rollout that keeps the device from this one. */
  readonly owner: string | undefined;
  readonly target: Target;
  /** Why the device cannot take the target; asked of devices that are not started. */
  readonly misfit: () => { readonly reason: string; readonly message: string } | undefined;
  readonly strategy: Strategy;
  readonly now: string;
}

export interface MemberVerdict {
  readonly member: Member;
  readonly device: Device;
  readonly target: Target;
  /** What was asked of the device, when that is the target. */
  readonly asked: Desired | undefined;
  readonly stage: UpdateStage;
  /** The device may be started: not started yet, online, fit, ours. */
  readonly isCandidate: boolean;
  /** It was started before and is to be asked, or asked again, now. */
  readonly isDue: boolean;
  /** It works on the target, or runs it, without further asking. */
  readonly isAsked: boolean;
  /** It stands where its hold lets it go no further. */
  readonly isHeld: boolean;
  readonly isNewFailure: boolean;
  /** Its hardware class is rolled back: it takes no part in what else is decided. */
  readonly isReturning: boolean;
}

type Words = Partial<Member> & Pick<Member, 'state' | 'reason' | 'message'>;
type Signs = Partial<Pick<MemberVerdict, 'isCandidate' | 'isDue' | 'isNewFailure' | 'isHeld'>>;

/** Where one device stands, from what was asked of it and what it last said. */
export function judgeMember(facts: MemberFacts): MemberVerdict {
  const { device, owner, target } = facts;
  const { online } = device.status;
  const on = standingOf(device, target);
  const was = facts.previous ?? unknownMember(facts);
  const isAsked = on.asked !== undefined && !on.isElsewhere && !isToBeAskedAgain(was, on);
  const stage = stageOf(device, target.artifact.id);
  const verdict = (words: Words, signs: Signs = {}): MemberVerdict => ({
    member: {
      ...was,
      hardwareClass: classOf(device),
      ...words,
      message: words.message.slice(0, LIMITS.errorMessageLength),
    },
    device,
    target,
    asked: on.asked,
    stage,
    isAsked: isAsked && signs.isDue !== true,
    isCandidate: false,
    isDue: false,
    isHeld: false,
    isNewFailure: false,
    isReturning: false,
    ...signs,
  });
  if (owner !== undefined) {
    const message = `rollout "${owner}" is older and keeps this device`;
    return verdict({ state: 'Conflict', reason: 'KeptByOlderRollout', message, wave: null });
  }
  if (device.spec.quarantined) return verdict(pinned('Quarantined'));
  if (on.isActive) return verdict(active(facts, was), { isCandidate: online && was.wave === null });
  if (device.spec.pinned) return verdict(pinned('Pinned'));
  if (was.wave === null) return notStarted(facts, verdict);
  const failure = failureOf(facts, was, on);
  if (failure !== undefined) return verdict(...failure);
  if (!online) return verdict(away(facts, was));
  if (!isAsked) {
    const message = 'is asked again';
    return verdict({ state: 'Pending', reason: 'Waiting', message }, { isDue: true });
  }
  const isHeld = on.asked !== undefined && isHeldAt(device, on.asked);
  const member = working(facts, was, { ...on, isHeld });
  const overdue = isHeld ? undefined : overdueOf(facts, member);
  if (overdue !== undefined) return verdict(...failed(facts, member, overdue, on));
  return verdict(member, { isHeld });
}

/** A member before anything is known of it. */
export function unknownMember(of: {
  device: Device;
  target?: Target;
  ranBefore?: Member['previous'];
}): Member {
  return {
    device: of.device.metadata.name,
    wave: null,
    state: 'Pending',
    reason: 'Waiting',
    message: '',
    progressAt: null,
    variant: of.target?.variant ?? null,
    artifactId: of.target?.artifact.id ?? null,
    previous: of.ranBefore ?? null,
    hardwareClass: classOf(of.device),
    hold: 'None',
    attempts: 0,
    failedRevision: null,
    nextAttemptAt: null,
    startedAt: null,
    activatedAt: null,
    stoppedAt: null,
    stoppedSeconds: 0,
    predicted: null,
    actual: null,
  };
}

/** A failure before the member was started, by whichever revision or rollout, is asked for again. */
function isToBeAskedAgain(was: Member, on: MemberStanding): boolean {
  return on.failure !== undefined && was.wave === null;
}

function pinned(reason: 'Pinned' | 'Quarantined'): Words {
  const message =
    reason === 'Pinned'
      ? 'the device is pinned: no rollout changes what it runs'
      : 'the device is quarantined: no rollout changes it, no wave and no gate counts it';
  return { state: 'Pinned', reason, message, wave: null, nextAttemptAt: null };
}

function active(facts: MemberFacts, was: Member): Words {
  const { device, target, now } = facts;
  const { report, online } = device.status;
  const isNew = was.activatedAt === null || was.artifactId !== target.artifact.id;
  const cost = actualUpdate(report, target.artifact.id);
  const isUnsaved = was.wave === null && was.startedAt === null;
  const words = online
    ? { state: 'Active' as const, reason: 'Active', message: '' }
    : { state: 'Offline' as const, reason: 'Offline', message: `runs it; ${silence(device)}` };
  return {
    ...words,
    ...(isUnsaved && facts.unsavedStart !== null
      ? clockStarted(facts.unsavedStart)
      : clockRunning(was, now)),
    variant: target.variant,
    artifactId: target.artifact.id,
    nextAttemptAt: null,
    failedRevision: null,
    hold: 'None',
    activatedAt: isNew ? now : was.activatedAt,
    actual: isNew && was.startedAt !== null ? cost : was.actual,
  };
}

function notStarted(
  facts: MemberFacts,
  verdict: (words: Words, signs?: Signs) => MemberVerdict,
): MemberVerdict {
  const { device, target, now, previous } = facts;
  const what = { variant: target.variant, artifactId: target.artifact.id };
  if (!device.status.online) {
    const message = silence(device);
    return verdict({ ...what, state: 'Offline', reason: 'Offline', message });
  }
  const unfit = facts.misfit();
  if (unfit !== undefined) {
    return verdict({ ...what, state: 'Unfit', reason: unfit.reason, message: unfit.message });
  }
  const until = penaltyUntil(device, now);
  if (until !== undefined && previous?.reason !== RETRYING) {
    const message = penaltyText(device, until);
    const words = { state: 'Pending' as const, reason: PENALTY_BOX, message, nextAttemptAt: until };
    return verdict({ ...what, ...words });
  }
  const message = 'waits for its wave';
  const words = { state: 'Pending' as const, reason: 'Waiting', message, nextAttemptAt: null };
  return verdict({ ...what, ...words }, { isCandidate: true });
}

function away(facts: MemberFacts, was: Member): Words {
  const { device, now } = facts;
  const message = silence(device);
  const clock = clockStopped(was, device.status.lastSeen ?? now);
  return { state: 'Offline', reason: 'Offline', message, ...clock };
}

/** What the device says of its failure, or what was found of what it was asked last. */
function failureOf(
  facts: MemberFacts,
  was: Member,
  on: MemberStanding,
): [Words, Signs] | undefined {
  if (on.asked === undefined || on.isElsewhere) return undefined;
  const isCounted = was.failedRevision === on.asked.revision;
  if (on.failure !== undefined) return failed(facts, was, on.failure, on);
  // It stays failed until it is active or retried: a device that crawls is not well.
  if (isCounted) return failed(facts, was, { reason: was.reason, message: was.message }, on);
  return undefined;
}

function failed(
  facts: MemberFacts,
  was: Member,
  failure: { readonly reason: string; readonly message: string },
  on: MemberStanding,
): [Words, Signs] {
  const { device, now, strategy } = facts;
  const revision = on.asked?.revision ?? 0;
  const isNewFailure = was.failedRevision !== revision;
  const attempts = was.attempts + (isNewFailure ? 1 : 0);
  const isLeftBehind = was.state === 'Failed' && was.reason === LEFT_BEHIND;
  const { limit } = strategy.retries;
  const pauseMs = backoffMs(strategy.retries, {
    device: device.metadata.name,
    rollout: facts.rollout,
    attempts: Math.max(1, attempts),
  });
  const mayRetry = isNewFailure && attempts <= limit && !isLeftBehind;
  const next = mayRetry ? new Date(Date.parse(now) + pauseMs).toISOString() : null;
  const nextAttemptAt = isNewFailure ? next : was.nextAttemptAt;
  const clock = clockStopped(was, now);
  const signs = { isNewFailure };
  const after = { ...clock, attempts, failedRevision: revision, nextAttemptAt };
  if (nextAttemptAt === null) {
    const reason = isLeftBehind ? LEFT_BEHIND : failure.reason;
    return [{ ...after, state: 'Failed', reason, message: failure.message }, signs];
  }
  if (!device.status.online) {
    const message = `has failed; ${silence(device)}`;
    return [{ ...after, state: 'Offline', reason: 'Offline', message }, signs];
  }
  const isAsked = was.reason === RETRYING;
  const until = isAsked ? undefined : penaltyUntil(device, now);
  if (nextAttemptAt <= now && until !== undefined) {
    const message = penaltyText(device, until);
    const words = { state: 'Pending' as const, reason: PENALTY_BOX, message };
    return [{ ...after, ...words, nextAttemptAt: until }, signs];
  }
  const isDue = nextAttemptAt <= now;
  const reason = isAsked ? RETRYING : BACKING_OFF;
  const told = `attempt ${attempts} of ${limit + 1} failed, the next is at ${nextAttemptAt}`;
  const message = isNewFailure ? `${told}: ${failure.message}` : was.message;
  return [
    { ...after, state: 'Pending', reason, message },
    { ...signs, isDue },
  ];
}

/** Whatever the device says differently than before counts as progress. */
function working(
  facts: MemberFacts,
  was: Member,
  on: MemberStanding & { readonly isHeld: boolean },
): Member {
  const { now } = facts;
  const words = progressWords(on);
  const isSame =
    was.state === 'Updating' && was.reason === words.reason && was.message === words.message;
  // A crash may have come between asking and saving.
  const isKnown = was.state === 'Updating' || was.state === 'Offline';
  const clock = isKnown ? was : clockStarted(on.asked?.issuedAt ?? now);
  return {
    ...was,
    ...words,
    ...(on.isHeld ? clockStopped(clock, now) : clockRunning(clock, now)),
    state: 'Updating',
    nextAttemptAt: null,
    hold: on.asked?.hold ?? 'None',
    progressAt: isSame ? (was.progressAt ?? now) : now,
  };
}

function progressWords(on: MemberStanding & { readonly isHeld: boolean }): {
  reason: string;
  message: string;
} {
  const { report, asked } = on;
  if (report === undefined) {
    return { reason: 'Asked', message: on.isHeld ? 'held' : 'the device has not answered yet' };
  }
  const { phase, download }: Report = report;
  if (on.isHeld) {
    const message =
      asked?.hold === 'Download' ? 'held: fetches nothing' : 'held: does not activate';
    return { reason: phase, message };
  }
  if (phase !== 'Downloading' || download === null) return { reason: phase, message: '' };
  const message = `${download.chunksHeld} of ${download.chunksTotal} chunks`;
  return { reason: phase, message };
}

/** Time in which nothing is heard of the device is not held against it: it may be ours. */
function overdueOf(
  facts: MemberFacts,
  member: Member,
): { reason: string; message: string } | undefined {
  const { lastSeen } = facts.device.status;
  const { progressDeadlineSeconds, timeouts } = facts.strategy;
  if (lastSeen === null) return undefined;
  const where = member.message === '' ? member.reason : `${member.reason}, ${member.message}`;
  const stillMs = Date.parse(lastSeen) - Date.parse(member.progressAt ?? lastSeen);
  if (stillMs > progressDeadlineSeconds * 1000) {
    const message = `no progress for more than ${progressDeadlineSeconds} s (progressDeadlineSeconds): ${where}`;
    return { reason: 'ProgressDeadlineExceeded', message };
  }
  const { wholeSeconds } = timeouts;
  const seconds = clockSeconds(member, lastSeen);
  if (wholeSeconds === null || seconds <= wholeSeconds) return undefined;
  const message =
    `not active after ${Math.floor(seconds)} s online and not held; ` +
    `timeouts.wholeSeconds is ${wholeSeconds}: ${where}`;
  return { reason: 'UpdateTimedOut', message };
}

function silence(device: Device): string {
  return `offline, last heard of at ${device.status.lastSeen ?? 'no time'}`;
}

function classOf(device: Device): string {
  const { report } = device.status;
  return hardwareClassOf({
    labels: device.metadata.labels,
    capabilities: report?.capabilities,
  });
}
