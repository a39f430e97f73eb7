import {
  type Desired,
  type Device,
  LIMITS,
  type Member,
  type Report,
  type Target,
} from '@entrofleet/protocol';
import { misfit } from './fitness.plan.ts';

/** Reason of a failed member that later waves do not wait for; set by the resume action. */
export const LEFT_BEHIND = 'LeftBehind';
/** Reason of a member that the retry action wants started again. */
export const RETRYING = 'Retrying';
const DEADLINE = 'ProgressDeadlineExceeded';

export interface MemberFacts {
  readonly device: Device;
  readonly previous: Member | undefined;
  /** The older rollout that keeps the device from this one. */
  readonly owner: string | undefined;
  readonly target: Target;
  readonly attempt: number;
  readonly progressDeadlineMs: number;
  readonly footprints: ReadonlyMap<string, number>;
  readonly now: string;
}

export interface MemberVerdict {
  readonly member: Member;
  readonly online: boolean;
  /** The device may be started: not started yet, online, fit, ours. */
  readonly isCandidate: boolean;
  /** The device works on the target, or runs it, without further asking. */
  readonly isAsked: boolean;
}

/** Where one device stands, from what was asked of it and what it last said. */
export function judgeMember(facts: MemberFacts): MemberVerdict {
  const { device, previous, owner } = facts;
  const online = device.status.online;
  const wave = previous?.wave ?? null;
  const on = standing(facts);
  const verdict = (
    state: Member['state'],
    words: { reason: string; message: string; progressAt?: string | null },
    isCandidate = false,
  ): MemberVerdict => ({
    member: {
      device: device.metadata.name,
      wave: state === 'Conflict' ? null : wave,
      state,
      reason: words.reason,
      message: words.message.slice(0, LIMITS.errorMessageLength),
      progressAt:
        words.progressAt === undefined ? (previous?.progressAt ?? null) : words.progressAt,
    },
    online,
    isCandidate,
    isAsked: on.isAsked,
  });

  if (owner !== undefined) {
    const message = `rollout "${owner}" is older and keeps this device`;
    return verdict('Conflict', { reason: 'KeptByOlderRollout', message });
  }
  if (on.isActive) {
    if (online) return verdict('Active', { reason: 'Active', message: '' }, wave === null);
    return verdict('Offline', { reason: 'Offline', message: `runs it; ${silence(device)}` });
  }
  const failure = wave === null ? undefined : failureOf(facts, on);
  if (failure !== undefined) return verdict('Failed', failure);
  if (!online) return verdict('Offline', { reason: 'Offline', message: silence(device) });
  if (wave === null) {
    const unfit = misfit(device, facts.target, facts.footprints);
    if (unfit !== undefined) return verdict('Unfit', unfit);
    return verdict('Pending', { reason: 'Waiting', message: 'waits for its wave' }, true);
  }
  const progress = progressOf(facts, on);
  if (isOverdue(facts, progress.progressAt)) return verdict('Failed', overdue(facts, progress));
  return verdict('Updating', progress);
}

interface Standing {
  /** The last report, when it speaks of what is asked now. */
  readonly report: Report | undefined;
  readonly isAsked: boolean;
  readonly isActive: boolean;
  readonly hasFailed: boolean;
}

function standing(facts: MemberFacts): Standing {
  const { target, attempt, previous } = facts;
  const { desired, report } = facts.device.status;
  const asked = desired !== null && isSameTarget(desired.target, target) ? desired : undefined;
  if (asked === undefined) return { report: undefined, isAsked: false, ...NEITHER };
  const id = target.artifact.id;
  const fresh = report !== null && report.observedRevision >= asked.revision ? report : undefined;
  // A device that has seen a higher revision than ours, for something else, follows somebody else.
  if (fresh !== undefined && fresh.target?.artifactId !== id) {
    return { report: undefined, isAsked: fresh.observedRevision === asked.revision, ...NEITHER };
  }
  const isActive = fresh?.phase === 'Active' && fresh.active?.artifactId === id;
  const hasFailed = fresh?.phase === 'Failed';
  return {
    report: fresh,
    isActive,
    hasFailed,
    isAsked: isActive || !wantsRetry({ asked, attempt, previous, hasFailed }),
  };
}

const NEITHER = { isActive: false, hasFailed: false } as const;

/** A failure of an earlier revision of the rollout, or one to retry, is asked for again. */
function wantsRetry(of: {
  asked: Desired;
  attempt: number;
  previous: Member | undefined;
  hasFailed: boolean;
}): boolean {
  if (of.previous === undefined || of.previous.wave === null) return of.hasFailed;
  const isRetry = of.asked.attempt < of.attempt;
  return isRetry && (of.hasFailed || of.previous.reason === RETRYING);
}

function failureOf(
  facts: MemberFacts,
  on: Standing,
): { reason: string; message: string } | undefined {
  const { previous } = facts;
  if (!on.isAsked) return undefined;
  const isLeftBehind = previous?.state === 'Failed' && previous.reason === LEFT_BEHIND;
  if (on.hasFailed) {
    const error = on.report?.error;
    const message =
      error == null ? 'the device says it failed, not why' : `${error.reason}: ${error.message}`;
    return { reason: isLeftBehind ? LEFT_BEHIND : (error?.reason ?? 'Failed'), message };
  }
  // Overdue stays failed until it is active or retried: a device that crawls is not well.
  if (previous?.state !== 'Failed') return undefined;
  if (previous.reason !== DEADLINE && !isLeftBehind) return undefined;
  return { reason: previous.reason, message: previous.message };
}

interface Progress {
  readonly reason: string;
  readonly message: string;
  readonly progressAt: string;
}

/** Whatever the device says differently than before counts as progress. */
function progressOf(facts: MemberFacts, on: Standing): Progress {
  const words = progressWords(on.isAsked ? on.report : undefined);
  const { previous } = facts;
  const isSame =
    previous?.state === 'Updating' &&
    previous.reason === words.reason &&
    previous.message === words.message;
  const progressAt = isSame && on.isAsked ? (previous.progressAt ?? facts.now) : facts.now;
  return { ...words, progressAt };
}

function progressWords(report: Report | undefined): { reason: string; message: string } {
  if (report === undefined) return { reason: 'Asked', message: 'the device has not answered yet' };
  const { phase, download } = report;
  if (phase !== 'Downloading' || download === null) return { reason: phase, message: '' };
  const message = `${download.chunksHeld} of ${download.chunksTotal} chunks`;
  return { reason: phase, message };
}

/** Time in which nothing is heard of the device is not held against it: it may be ours. */
function isOverdue(facts: MemberFacts, progressAt: string): boolean {
  const { lastSeen } = facts.device.status;
  if (lastSeen === null) return false;
  return Date.parse(lastSeen) - Date.parse(progressAt) > facts.progressDeadlineMs;
}

function overdue(facts: MemberFacts, progress: Progress) {
  const seconds = facts.progressDeadlineMs / 1000;
  const where =
    progress.message === '' ? progress.reason : `${progress.reason}, ${progress.message}`;
  return {
    reason: DEADLINE,
    message: `no progress for more than ${seconds} s (progressDeadlineSeconds): ${where}`,
  };
}

function silence(device: Device): string {
  return `offline, last heard of at ${device.status.lastSeen ?? 'no time'}`;
}

/** The same work for a device; what is derived from the artifact needs no comparison. */
export function isSameTarget(a: Target | null, b: Target): boolean {
  return (
    a !== null &&
    a.artifact.id === b.artifact.id &&
    a.model === b.model &&
    a.variant === b.variant &&
    a.contextLength === b.contextLength &&
    a.samplePrompt === b.samplePrompt
  );
}
