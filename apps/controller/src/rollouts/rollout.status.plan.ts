import {
  type Condition,
  type Member,
  type Rollout,
  type RolloutSpec,
  type RolloutStatus,
  selectorText,
  withCondition,
} from '@entrofleet/protocol';
import type { Acceptance } from './acceptance.plan.ts';
import { LEFT_BEHIND, RETRYING } from './member.plan.ts';
import type { RolloutProgress } from './rollout.types.ts';
import { splitWaves } from './rollout.waves.ts';

/** What a rollout starts with. */
export function initialStatus(): RolloutStatus {
  return {
    observedGeneration: 0,
    phase: 'Pending',
    revision: 0,
    specDigest: '',
    artifactId: null,
    attempt: 0,
    currentWave: 0,
    totalWaves: 0,
    counts: countsOf([], 0),
    conditions: [],
  };
}

/** The resume action: later waves no longer wait for those that have failed. */
export function resumed({ status, members }: RolloutProgress): RolloutProgress {
  const left = members.map((member) =>
    member.state === 'Failed' ? { ...member, reason: LEFT_BEHIND } : member,
  );
  return { status, members: left };
}

/** The retry action: those that have failed are started again, in the wave they were in. */
export function retried(progress: RolloutProgress): RolloutProgress {
  const { status, members } = progress;
  if (!members.some((member) => member.state === 'Failed')) return progress;
  const again = members.map((member) =>
    member.state === 'Failed'
      ? { ...member, state: 'Pending' as const, reason: RETRYING, message: 'is started again' }
      : member,
  );
  return { status: { ...status, attempt: status.attempt + 1 }, members: again };
}

/** Failed members that hold back everything until somebody resumes or retries. */
export function blockingFailures(members: readonly Member[]): Member[] {
  return members.filter((member) => member.state === 'Failed' && member.reason !== LEFT_BEHIND);
}

export function countsOf(members: readonly Member[], selected: number): RolloutStatus['counts'] {
  const count = (state: Member['state']) => members.filter((m) => m.state === state).length;
  return {
    selected,
    active: count('Active'),
    updating: count('Updating'),
    failed: count('Failed'),
    offline: count('Offline'),
    pending: count('Pending'),
    unfit: count('Unfit'),
    conflict: count('Conflict'),
  };
}

/** Waves that the rollout will have taken when every device has been started. */
export function totalWaves(
  members: readonly Member[],
  spec: RolloutSpec,
  currentWave: number,
): number {
  const names = members.filter((m) => m.state !== 'Conflict').map((m) => m.device);
  const planned = splitWaves(names, spec.strategy.waves).length;
  const started = members.some((m) => m.wave !== null) ? currentWave + 1 : 0;
  return Math.max(planned, started);
}

type Progressing = Pick<Condition, 'status' | 'reason' | 'message'>;

/** Phase and the reason for it, from what is settled about the members. */
export function judgeProgress(
  spec: RolloutSpec,
  acceptance: Acceptance,
  progress: RolloutProgress,
): { phase: RolloutStatus['phase']; progressing: Progressing } {
  const { status, members } = progress;
  const { counts } = status;
  const no = (reason: string, message: string): Progressing => ({
    status: 'False',
    reason,
    message,
  });
  if (acceptance.kind === 'Refused') {
    return { phase: 'Refused', progressing: no(acceptance.reason, acceptance.message) };
  }
  if (spec.paused) {
    const message = 'spec.paused is set; resume the rollout to go on';
    return { phase: 'Paused', progressing: no('Paused', message) };
  }
  if (acceptance.kind !== 'Accepted') {
    return { phase: 'Pending', progressing: no(acceptance.reason, acceptance.message) };
  }
  const [failure, ...more] = blockingFailures(members);
  if (failure !== undefined) {
    const others = more.length === 0 ? '' : ` (and ${more.length} more)`;
    const message =
      `device "${failure.device}" failed${others}: ${failure.message}. ` +
      'Retry the rollout, or resume it to leave the failed behind';
    return { phase: 'Paused', progressing: no('MemberFailed', message) };
  }
  if (counts.selected === 0) {
    const message =
      `no device matches the selector ${selectorText(spec.selector)}; ` +
      'devices that will are picked up';
    return { phase: 'Pending', progressing: no('NoDevices', message) };
  }
  const summary = summaryOf(counts);
  if (counts.updating > 0 || counts.pending > 0) {
    const message = `wave ${status.currentWave + 1} of ${status.totalWaves}: ${summary}`;
    return { phase: 'Progressing', progressing: { status: 'True', reason: 'Waves', message } };
  }
  if (counts.active > 0) {
    return { phase: 'Complete', progressing: no('Complete', summary) };
  }
  const reason = counts.unfit > 0 && counts.offline === 0 ? 'NoDeviceFits' : 'WaitingForDevices';
  const first = members.find((m) => m.state === 'Unfit' || m.state === 'Failed');
  const example = first === undefined ? '' : `; ${first.device}: ${first.message}`;
  return { phase: 'Pending', progressing: no(reason, `${summary}${example}`) };
}

function summaryOf(counts: RolloutStatus['counts']): string {
  const { selected, active, ...rest } = counts;
  const others = Object.entries(rest).flatMap(([state, n]) => (n === 0 ? [] : [`${n} ${state}`]));
  return [`${active} of ${selected} devices active`, ...others].join(', ');
}

/** Conditions Accepted, Progressing and Complete. */
export function withConditions(
  rollout: Rollout,
  judged: { acceptance: Acceptance; progressing: Progressing; isComplete: boolean; now: string },
): Condition[] {
  const { acceptance, progressing, isComplete, now } = judged;
  const observedGeneration = rollout.metadata.generation;
  const accepted = {
    Accepted: 'True',
    Waiting: 'Unknown',
    Rejected: 'False',
    Refused: 'False',
  } as const;
  const first = withCondition(rollout.status.conditions, {
    type: 'Accepted',
    status: accepted[acceptance.kind],
    reason: acceptance.reason,
    message: acceptance.message,
    observedGeneration,
    now,
  });
  const second = withCondition(first, {
    type: 'Progressing',
    ...progressing,
    observedGeneration,
    now,
  });
  return withCondition(second, {
    type: 'Complete',
    status: isComplete ? 'True' : 'False',
    reason: isComplete ? 'Complete' : progressing.reason,
    message: isComplete ? progressing.message : '',
    observedGeneration,
    now,
  });
}
