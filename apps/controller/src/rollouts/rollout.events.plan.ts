import type { GateResult } from '@entrofleet/protocol';
import { gateNews } from './gate.plan.ts';
import type { RolloutAction, RolloutProgress } from './rollout.types.ts';
import { LEFT_BEHIND } from './threshold.plan.ts';

/** Failures that are told one by one; of more there is the count. */
const FAILURES_TOLD = 20;

type Emit = Extract<RolloutAction, { kind: 'EmitEvent' }>;

/** What a person following the rollout wants to be told, once each. */
export function eventsOf(before: RolloutProgress, after: RolloutProgress): RolloutAction[] {
  return [
    ...failures(before, after),
    ...gateNews(before.status.gates, after.status.gates).flatMap(gateEvent),
    ...givenUp(before, after),
    ...waveStarted(before, after),
    ...standsStill(before, after),
  ];
}

function emit(type: Emit['type'], reason: string, message: string): Emit {
  return { kind: 'EmitEvent', type, reason, message };
}

function failures(before: RolloutProgress, after: RolloutProgress): Emit[] {
  const known = new Map(before.members.map((member) => [member.device, member]));
  const news = after.members.filter((member) => {
    const was = known.get(member.device);
    if (member.reason === LEFT_BEHIND) return false;
    if (member.state === 'Failed') return was?.state !== 'Failed';
    return member.state === 'Pending' && member.attempts > (was?.attempts ?? 0);
  });
  const told = news.slice(0, FAILURES_TOLD).map(({ device, message }) => {
    return emit('Warning', 'MemberFailed', `device "${device}": ${message}`);
  });
  const rest = news.length - told.length;
  if (rest > 0) told.push(emit('Warning', 'MemberFailed', `${rest} more devices failed`));
  return told;
}

function gateEvent(result: GateResult): Emit[] {
  if (result.outcome === 'Inconclusive' && result.overriddenAt == null) return [];
  const message = `gate ${result.gate}: ${result.message}`;
  if (result.overriddenAt != null) return [emit('Warning', 'GateOverridden', message)];
  const type = result.outcome === 'Passed' ? 'Normal' : 'Warning';
  return [emit(type, `Gate${result.outcome}`, message)];
}

function givenUp(before: RolloutProgress, after: RolloutProgress): Emit[] {
  const { abandoned } = after.status;
  if (abandoned === null || before.status.abandoned?.at === abandoned.at) return [];
  const reason = abandoned.how === 'Abort' ? 'Aborting' : 'RollingBack';
  return [emit('Warning', reason, abandoned.message)];
}

/** A wave may be open for a while before its first device is started, by its pace for instance. */
function waveStarted(before: RolloutProgress, after: RolloutProgress): Emit[] {
  const { revision, currentWave, totalWaves } = after.status;
  const isMoving = ({ members }: RolloutProgress) =>
    members.some((member) => member.wave === currentWave);
  const isNewRevision = revision !== before.status.revision;
  if (!isMoving(after) || (isMoving(before) && !isNewRevision)) return [];
  return [emit('Normal', 'WaveStarted', `wave ${currentWave + 1} of ${totalWaves}`)];
}

/** Reasons of which events of their own tell what has happened, not that everything stands. */
const TOLD: ReadonlySet<string> = new Set(['MemberFailed', 'GateFailed']);

function standsStill(before: RolloutProgress, after: RolloutProgress): Emit[] {
  const progressing = ({ status }: RolloutProgress) =>
    status.conditions.find((condition) => condition.type === 'Progressing');
  const [old, next] = [progressing(before), progressing(after)];
  const isNews = old?.reason !== next?.reason || old?.status !== next?.status;
  if (next === undefined || !isNews || next.status === 'True') return [];
  const { phase } = after.status;
  if (TOLD.has(next.reason)) {
    const message = `${next.reason}: ${next.message}`;
    return phase === 'Paused' ? [emit('Warning', 'Paused', message)] : [];
  }
  const isCalm = phase === 'Complete' || phase === 'Pending' || phase === 'Progressing';
  return [emit(isCalm ? 'Normal' : 'Warning', next.reason, next.message)];
}
