import type { GateResult, RolloutStatus, Strategy } from '@entrofleet/protocol';
import { type GateMember, judgeGates } from './gate.plan.ts';
import type { MemberVerdict } from './member.plan.ts';
import { earliest, type Stall } from './stall.plan.ts';

/** What the gates say of the waves so far. */
export interface EvidenceVerdict {
  readonly results: readonly GateResult[];
  /** Hardware classes of which no device may be started. */
  readonly blockedClasses: ReadonlySet<string>;
  /** A gate has failed that concerns the whole rollout; no advice, for it may be rolled back. */
  readonly failure: Stall | undefined;
  /** Why the whole rollout stands until somebody acts. */
  readonly pause: Stall | undefined;
  /** Why the rollout is not complete. */
  readonly leave: Stall | undefined;
  /** The next wave may not open, for any class. */
  readonly isWaveHeld: boolean;
}

const HINT = 'Retry judges anew; resume goes on in spite of it';
const RETURN_HINT =
  "The class's devices go back to what they ran; retry judges anew, resume goes on in spite of it";

/** Asks the gates when the open wave has settled; before that, what they decided last holds. */
export function judgeEvidence(of: {
  verdicts: readonly MemberVerdict[];
  strategy: Strategy;
  status: Pick<RolloutStatus, 'gates' | 'currentWave'>;
  now: string;
}): EvidenceVerdict {
  const { verdicts, strategy, status, now } = of;
  const { gates } = strategy;
  const nothing = { blockedClasses: new Set<string>(), failure: undefined, pause: undefined };
  if (gates.length === 0) return { ...nothing, results: [], leave: undefined, isWaveHeld: false };
  const started = verdicts.filter(({ member }) => isStartedByUs(member));
  if (verdicts.some(isBusy)) {
    const failed = status.gates.filter(isFailed);
    const message = failed.map((result) => `gate ${result.gate}: ${result.message}`).join('; ');
    const results = status.gates;
    return failed.length === 0
      ? { ...nothing, results, leave: undefined, isWaveHeld: false }
      : blocked(strategy, { outcome: 'Failed', results, classes: classesOf(failed), message });
  }
  const judged = judgeGates({
    gates,
    members: started.map(gateMember),
    wave: status.currentWave,
    now,
    previous: status.gates,
  });
  const { results, outcome, message } = judged;
  if (outcome === 'Passed') {
    const hasEvidence = started.some(({ member }) => member.state === 'Active');
    const leave = started.length === 0 || hasEvidence ? undefined : noEvidence();
    return { ...nothing, results, leave, isWaveHeld: leave !== undefined };
  }
  const classes = new Set(judged.blockedClasses.keys());
  const until = outcome === 'Waiting' ? patienceEnd(started, strategy, now) : null;
  return blocked(strategy, { outcome, results, classes, message, until });
}

export function isBusy({ member }: MemberVerdict): boolean {
  if (member.wave === null) return false;
  if (member.state === 'Updating') return true;
  return member.state === 'Pending' && member.reason !== 'PenaltyBox';
}

function isStartedByUs(member: MemberVerdict['member']): boolean {
  return member.wave !== null && member.startedAt !== null;
}

function isFailed(result: GateResult): boolean {
  return result.outcome === 'Failed' && result.overriddenAt == null;
}

function classesOf(results: readonly GateResult[]): Set<string> {
  return new Set(results.map(({ hardwareClass }) => hardwareClass));
}

function noEvidence(): Stall {
  const message =
    'no device of the waves so far is active, so the gates have nothing to judge; ' +
    'retry the failed, or resume to let others take their place';
  return { reason: 'GateInconclusive', message, until: null, isPause: true };
}

function blocked(
  strategy: Strategy,
  of: {
    outcome: 'Waiting' | 'Failed' | 'InconclusiveTooLong';
    results: readonly GateResult[];
    classes: ReadonlySet<string>;
    message: string;
    until?: string | null;
  },
): EvidenceVerdict {
  const { outcome, results, classes, message } = of;
  const reasons = {
    Waiting: 'AwaitingEvidence',
    Failed: 'GateFailed',
    InconclusiveTooLong: 'GateInconclusive',
  };
  const isWaiting = outcome === 'Waiting';
  const returns = outcome === 'Failed' && strategy.onFailure === 'RollBack';
  const stall: Stall = {
    reason: reasons[outcome],
    message: isWaiting ? message : `${message}. ${returns ? RETURN_HINT : HINT}`,
    until: of.until ?? null,
    isPause: !isWaiting,
    stopsAll: !isWaiting && strategy.onGateFailure === 'HoldAll',
  };
  const isWhole = strategy.onGateFailure === 'HoldAll';
  return {
    results,
    blockedClasses: isWhole ? new Set() : classes,
    failure: isWhole && outcome === 'Failed' ? { ...stall, message } : undefined,
    pause: isWhole && !isWaiting ? stall : undefined,
    leave: stall,
    isWaveHeld: isWhole,
  };
}

function gateMember({ member, device }: MemberVerdict): GateMember {
  const { report } = device.status;
  return {
    device: member.device,
    hardwareClass: member.hardwareClass,
    wave: member.wave ?? 0,
    isActive: member.state === 'Active',
    activatedAt: member.activatedAt,
    artifactId: member.artifactId ?? '',
    previousArtifactId: member.previous?.artifactId ?? null,
    measurement: report?.measurement ?? null,
    baseline: report?.baseline ?? null,
  };
}

/** When missing evidence turns from waiting to pausing. */
function patienceEnd(
  started: readonly MemberVerdict[],
  { gates }: Strategy,
  now: string,
): string | null {
  const last = started.reduce((at, { member }) => {
    return member.activatedAt !== null && member.activatedAt > at ? member.activatedAt : at;
  }, '');
  if (last === '') return null;
  const ends = gates.map(({ inconclusiveAfterSeconds }) =>
    new Date(Date.parse(last) + inconclusiveAfterSeconds * 1000 + 1).toISOString(),
  );
  return earliest(ends.filter((end) => end > now));
}
