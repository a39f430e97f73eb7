import type { Member, RolloutStatus, Target } from '@entrofleet/protocol';
import { judgeAcceptance } from './acceptance.plan.ts';
import { judgeMember, LEFT_BEHIND, type MemberVerdict } from './member.plan.ts';
import { ownerBefore } from './ownership.plan.ts';
import {
  blockingFailures,
  countsOf,
  judgeProgress,
  totalWaves,
  withConditions,
} from './rollout.status.plan.ts';
import type { RolloutAction, RolloutFacts, RolloutPlan } from './rollout.types.ts';
import { openWaves, type WaveEntry } from './rollout.waves.ts';

/**
 * Decides what a rollout does next. Pure: the same facts give the same plan, and carrying a plan
 * out twice, half, or late does no harm, because every action says what it was decided from.
 */
export function planRollout(facts: RolloutFacts): RolloutPlan {
  const { rollout, now } = facts;
  const acceptance = judgeAcceptance(rollout.spec, facts.model, facts.artifact);
  const target = acceptance.kind === 'Accepted' ? acceptance.target : undefined;
  const before = takenUp(facts, target);
  const moved = target === undefined ? stay(facts, before) : advance(facts, before, target);
  const { phase, progressing } = judgeProgress(rollout.spec, acceptance, moved.status);
  const isComplete = phase === 'Complete';
  const conditions = withConditions(rollout, { acceptance, progressing, isComplete, now });
  const status = { ...moved.status, phase, conditions };
  return { status, actions: [...moved.actions, ...eventsOf(rollout.status, status)] };
}

/** A changed spec, or another artifact for it, starts over at the first wave. */
function takenUp(facts: RolloutFacts, target: Target | undefined): RolloutStatus {
  const { rollout, specDigest } = facts;
  const { generation } = rollout.metadata;
  const status = { ...rollout.status, observedGeneration: generation };
  const isSameSpec = status.specDigest === specDigest;
  const artifactId = target?.artifact.id ?? (isSameSpec ? status.artifactId : null);
  if (isSameSpec && status.artifactId === artifactId) return status;
  return { ...status, revision: generation, specDigest, artifactId, currentWave: 0, members: [] };
}

/** Without a target nothing is started and what is known of the members stays. */
function stay(
  facts: RolloutFacts,
  before: RolloutStatus,
): { status: RolloutStatus; actions: RolloutAction[] } {
  const selected = new Set(facts.devices.map((device) => device.metadata.name));
  const members = before.members.filter((member) => selected.has(member.device));
  const counts = countsOf(members, selected.size);
  const waves = totalWaves(members, facts.rollout.spec, before.currentWave);
  return { status: { ...before, members, counts, totalWaves: waves }, actions: [] };
}

function advance(
  facts: RolloutFacts,
  before: RolloutStatus,
  target: Target,
): { status: RolloutStatus; actions: RolloutAction[] } {
  const { spec } = facts.rollout;
  const verdicts = inOrder(facts, before).map(({ device, previous }) => ({
    device,
    ...judgeMember({
      device,
      previous,
      owner: ownerBefore(facts.rollout.metadata, facts.others, device),
      target,
      attempt: before.attempt,
      progressDeadlineMs: spec.strategy.progressDeadlineSeconds * 1000,
      footprints: facts.footprints,
      now: facts.now,
    }),
  }));
  const isHeld = spec.paused || blockingFailures(verdicts.map((v) => v.member)).length > 0;
  const opened = isHeld
    ? { currentWave: before.currentWave, starts: [] }
    : openWaves({
        entries: verdicts.map(waveEntry),
        waves: spec.strategy.waves,
        currentWave: before.currentWave,
        selected: verdicts.filter((v) => v.member.state !== 'Conflict').length,
      });
  const waveOf = new Map(opened.starts.map((start) => [start.device, start.wave]));
  const actions: RolloutAction[] = [];
  const members = verdicts.map((verdict) => {
    const member = started(verdict, waveOf.get(verdict.member.device), facts.now);
    if (member.state !== 'Updating' || verdict.isAsked) return member;
    if (isHeld) return { ...member, state: 'Pending' as const };
    actions.push({
      kind: 'SetDesired',
      device: member.device,
      rollout: facts.rollout.metadata.name,
      attempt: before.attempt,
      target,
      seenRevision: verdict.device.status.desired?.revision ?? 0,
    });
    return member;
  });
  const { currentWave } = opened;
  const counts = countsOf(members, facts.devices.length);
  const waves = totalWaves(members, spec, currentWave);
  return { status: { ...before, members, counts, currentWave, totalWaves: waves }, actions };
}

/** Known members keep their place, so that a device that joins late goes last, whatever its name. */
function inOrder(facts: RolloutFacts, before: RolloutStatus) {
  const place = new Map(before.members.map((member, index) => [member.device, index]));
  const previous = new Map(before.members.map((member) => [member.device, member]));
  return facts.devices
    .map((device) => ({ device, previous: previous.get(device.metadata.name) }))
    .sort((a, b) => {
      const [left, right] = [a.device.metadata.name, b.device.metadata.name];
      const late = before.members.length;
      const order = (place.get(left) ?? late) - (place.get(right) ?? late);
      return order !== 0 ? order : left < right ? -1 : 1;
    });
}

function waveEntry(verdict: MemberVerdict): WaveEntry {
  const { member, isAsked } = verdict;
  const isStarted = member.wave !== null;
  const isActive = member.state === 'Active';
  return {
    device: member.device,
    wave: member.wave,
    holdsRoom: isStarted && member.state !== 'Offline',
    isBusy: isStarted && member.state === 'Updating',
    isCandidate: verdict.isCandidate,
    isUnderway: isAsked && !isActive,
    isActive,
  };
}

function started(verdict: MemberVerdict, wave: number | undefined, now: string): Member {
  const { member } = verdict;
  if (wave === undefined) return member;
  if (member.state === 'Active') return { ...member, wave };
  const message = 'the device has not answered yet';
  return { ...member, wave, state: 'Updating', reason: 'Asked', message, progressAt: now };
}

/** What a person following the rollout wants to be told, once each. */
function eventsOf(before: RolloutStatus, after: RolloutStatus): RolloutAction[] {
  const events: RolloutAction[] = [];
  const reasonOf = (status: RolloutStatus) =>
    status.conditions.find((condition) => condition.type === 'Progressing');
  const [old, next] = [reasonOf(before), reasonOf(after)];
  for (const member of after.members) {
    const was = before.members.find((m) => m.device === member.device);
    if (member.state !== 'Failed' || was?.state === 'Failed') continue;
    if (member.reason === LEFT_BEHIND) continue;
    const message = `device "${member.device}": ${member.message}`;
    events.push({ kind: 'EmitEvent', type: 'Warning', reason: 'MemberFailed', message });
  }
  const isNewRevision = after.revision !== before.revision;
  const opensWave = after.currentWave !== before.currentWave || isNewRevision;
  const isMoving = after.members.some((m) => m.wave === after.currentWave);
  if (opensWave && isMoving) {
    const message = `wave ${after.currentWave + 1} of ${after.totalWaves}`;
    events.push({ kind: 'EmitEvent', type: 'Normal', reason: 'WaveStarted', message });
  }
  const isNews = old?.reason !== next?.reason || old?.status !== next?.status;
  if (next === undefined || !isNews || next.status === 'True' || next.reason === 'MemberFailed') {
    return events;
  }
  const type = after.phase === 'Complete' || after.phase === 'Pending' ? 'Normal' : 'Warning';
  events.push({ kind: 'EmitEvent', type, reason: next.reason, message: next.message });
  return events;
}
