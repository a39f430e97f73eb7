import {
  type Condition,
  type Member,
  type Rollout,
  type RolloutSpec,
  type RolloutStatus,
  selectorText,
  withCondition,
} from '@entrofleet/protocol';
import type { VariantsAcceptance } from './acceptance.plan.ts';
import type { RolloutProgress } from './rollout.types.ts';
import type { Stall } from './stall.plan.ts';

type Progressing = Pick<Condition, 'status' | 'reason' | 'message'>;
export interface Judged {
  readonly phase: RolloutStatus['phase'];
  readonly progressing: Progressing;
}

export interface ProgressFacts extends RolloutProgress {
  readonly spec: RolloutSpec;
  readonly acceptance: VariantsAcceptance;
  /** What does not go on, the most important first. */
  readonly stalls: readonly Stall[];
  /** Devices that are at work, or were just let go on. */
  readonly moving: number;
}

/** Phase and the reason for it, from what is settled about the members. */
export function judgeProgress(facts: ProgressFacts): Judged {
  const { spec, acceptance, status, stalls } = facts;
  const { counts } = status;
  if (status.abandoned !== null) return judgeGivenUp(facts, status.abandoned);
  if (acceptance.kind === 'Refused') return stands('Refused', acceptance);
  const pause = stalls.find((stall) => stall.isPause);
  if (spec.paused && pause !== undefined) return stands('Paused', pause);
  if (acceptance.kind !== 'Accepted') return stands('Pending', acceptance);
  if (pause !== undefined && (pause.stopsAll === true || facts.moving === 0)) {
    return stands('Paused', pause);
  }
  if (counts.selected === 0) {
    const message =
      `no device matches the selector ${selectorText(spec.selector)}; ` +
      'devices that will are picked up';
    return stands('Pending', { reason: 'NoDevices', message });
  }
  const wave = `wave ${status.currentWave + 1} of ${status.totalWaves}: ${summaryOf(counts)}`;
  const [stall] = stalls;
  if (facts.moving > 0) {
    const message = stall === undefined ? wave : `${wave}; next: ${stall.message}`;
    return { phase: 'Progressing', progressing: { status: 'True', reason: 'Waves', message } };
  }
  if (stall !== undefined) {
    const message = `${stall.message} (${wave})`;
    return stands('Progressing', { reason: stall.reason, message });
  }
  return judgeSettled(facts);
}

/** Nothing moves, and nothing of it by us. */
function judgeSettled({ status, members }: ProgressFacts): Judged {
  const { counts } = status;
  const summary = summaryOf(counts);
  const waiting = members.find((member) => member.state === 'Pending');
  if (waiting !== undefined) {
    const message = `${summary}; ${waiting.device}: ${waiting.message}`;
    return stands('Progressing', { reason: 'WaitingForWave', message });
  }
  if (counts.active > 0) return stands('Complete', { reason: 'Complete', message: summary });
  const reason = settledReason(counts);
  const first = members.find((m) => m.state === 'Unfit' || m.state === 'Failed');
  const example = first === undefined ? '' : `; ${first.device}: ${first.message}`;
  return stands('Pending', { reason, message: `${summary}${example}` });
}

function settledReason(counts: RolloutStatus['counts']): string {
  if (counts.unfit > 0 && counts.offline === 0) return 'NoDeviceFits';
  if (counts.conflict === counts.selected) return 'KeptByOlderRollout';
  return 'WaitingForDevices';
}

function judgeGivenUp(
  { status, members, moving }: ProgressFacts,
  abandoned: NonNullable<RolloutStatus['abandoned']>,
): Judged {
  const isAbort = abandoned.how === 'Abort';
  const waiting = members.filter((member) => member.reason === 'WaitsToGoBack').length;
  const away = members.filter((m) => m.state === 'Offline' && m.wave !== null).length;
  const summary =
    summaryOf(status.counts) +
    (waiting > 0 ? `; ${waiting} go back when others are (maxUnavailable)` : '') +
    (away > 0 ? `; ${away} that are offline follow when they are back` : '');
  const why = isAbort ? `aborted at ${abandoned.at}` : `rolled back: ${abandoned.message}`;
  if (moving + waiting > 0) {
    const message = `${why}; ${summary}`;
    const reason = isAbort ? 'Aborting' : 'RollingBack';
    const phase = isAbort ? 'Aborted' : 'RollingBack';
    return { phase, progressing: { status: 'True', reason, message } };
  }
  const message = `${why}; ${summary}. Change the spec, or retry, to start over`;
  const phase = isAbort ? 'Aborted' : 'RolledBack';
  return stands(phase, { reason: phase, message });
}

function stands(
  phase: RolloutStatus['phase'],
  { reason, message }: { readonly reason: string; readonly message: string },
): Judged {
  return { phase, progressing: { status: 'False', reason, message } };
}

function summaryOf(counts: RolloutStatus['counts']): string {
  const { selected, active, ...rest } = counts;
  const others = Object.entries(rest).flatMap(([state, n]) =>
    n === 0 ? [] : [`${n} ${state === 'rolledBack' ? 'rolled back' : state}`],
  );
  return [`${active} of ${selected} devices active`, ...others].join(', ');
}

/** Conditions Accepted, Progressing, Complete, and Conflicted where there was ever a conflict. */
export function withConditions(
  rollout: Rollout,
  of: {
    acceptance: VariantsAcceptance;
    judged: Judged;
    members: readonly Member[];
    now: string;
  },
): Condition[] {
  const { acceptance, judged, members, now } = of;
  const { phase, progressing } = judged;
  const isComplete = phase === 'Complete';
  const observedGeneration = rollout.metadata.generation;
  const accepted = {
    Accepted: 'True',
    Waiting: 'Unknown',
    Rejected: 'False',
    Refused: 'False',
  } as const;
  const conditions = [
    {
      type: 'Accepted',
      status: accepted[acceptance.kind],
      reason: acceptance.reason,
      message: acceptance.message,
    },
    { type: 'Progressing', ...progressing },
    {
      type: 'Complete',
      status: isComplete ? ('True' as const) : ('False' as const),
      reason: isComplete ? 'Complete' : progressing.reason,
      message: isComplete ? progressing.message : '',
    },
    ...conflictOf(rollout, members),
  ];
  return conditions.reduce(
    (all, condition) => withCondition(all, { ...condition, observedGeneration, now }),
    rollout.status.conditions,
  );
}

function conflictOf(rollout: Rollout, members: readonly Member[]) {
  const type = 'Conflicted';
  const kept = new Map<string, number>();
  for (const { state, message } of members) {
    if (state === 'Conflict') kept.set(message, (kept.get(message) ?? 0) + 1);
  }
  if (kept.size > 0) {
    const message = [...kept].map(([why, n]) => `${n} devices: ${why}`).join('; ');
    return [{ type, status: 'True' as const, reason: 'KeptByOlderRollout', message }];
  }
  if (!rollout.status.conditions.some((condition) => condition.type === type)) return [];
  return [{ type, status: 'False' as const, reason: 'NoConflict', message: '' }];
}
