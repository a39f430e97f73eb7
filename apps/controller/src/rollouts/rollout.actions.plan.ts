import type { Member } from '@entrofleet/protocol';
import { overridden, rejudged } from './gate.plan.ts';
import { PENALTY_BOX, RETRYING } from './member.plan.ts';
import type { RolloutProgress } from './rollout.types.ts';
import { LEFT_BEHIND } from './threshold.plan.ts';

const PAUSED_BY_GATE: ReadonlySet<string> = new Set(['GateFailed', 'GateInconclusive']);

/**
 * The resume action: nothing waits any longer for those that have failed, nor for a gate when it is
 * a gate that the rollout says it is paused by; one that nobody was told of is not overridden.
 */
export function resumed(progress: RolloutProgress, now: string): RolloutProgress {
  const members = progress.members.map((member) =>
    member.state === 'Failed' ? { ...member, reason: LEFT_BEHIND } : member,
  );
  const { status } = progress;
  const progressing = status.conditions.find(({ type }) => type === 'Progressing');
  const isAtGate = PAUSED_BY_GATE.has(progressing?.reason ?? '');
  const gates = isAtGate ? overridden(status.gates, now) : status.gates;
  return { status: { ...status, gates }, members };
}

/**
 * The retry action: those that have failed are started again, in the wave they were in, whatever
 * their penalty, and failed gates are judged again. One that was given up starts over.
 */
export function retried(progress: RolloutProgress, now: string): RolloutProgress {
  const { status, members } = progress;
  if (status.abandoned !== null) return startedOver(progress, now);
  const gates = rejudged(status.gates);
  if (!members.some(isToRetry)) return { status: { ...status, gates }, members };
  const again = members.map((member) => (isToRetry(member) ? retrying(member, now) : member));
  return { status: { ...status, gates, attempt: status.attempt + 1 }, members: again };
}

/** The approve action: waves up to this one, counted from 0, may open. */
export function approved({ status, members }: RolloutProgress, wave: number): RolloutProgress {
  return { status: { ...status, approvedWave: Math.max(status.approvedWave, wave) }, members };
}

/** The abort action: what has not begun to activate goes back; see abandon.plan.ts. */
export function aborted(
  { status, members }: RolloutProgress,
  { now, generation }: { now: string; generation: number },
): RolloutProgress {
  if (status.abandoned !== null) return { status, members };
  const words = { how: 'Abort' as const, reason: 'Aborted', message: 'aborted' };
  const abandoned = { ...words, at: now, generation };
  return { status: { ...status, abandoned }, members };
}

function startedOver({ status, members }: RolloutProgress, now: string): RolloutProgress {
  const fresh = { abandoned: null, gates: [], approvedWave: 0, currentWave: 0, startedAt: now };
  const again = members.map((member) =>
    member.state === 'Active' ? member : { ...retrying(member, now), wave: null },
  );
  return { status: { ...status, ...fresh, attempt: status.attempt + 1 }, members: again };
}

function isToRetry({ state, reason }: Member): boolean {
  return state === 'Failed' || (state === 'Pending' && reason === PENALTY_BOX);
}

function retrying(member: Member, now: string): Member {
  const words = { state: 'Pending' as const, reason: RETRYING, message: 'is started again' };
  return { ...member, ...words, attempts: 0, nextAttemptAt: now };
}
