import type { Member, Target } from '@entrofleet/protocol';
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
import type { RolloutAction, RolloutFacts, RolloutPlan, RolloutProgress } from './rollout.types.ts';
import { openWaves, type WaveEntry } from './rollout.waves.ts';

/**
 * Decides what a rollout does next. Pure: the same facts give the same plan, and carrying a plan
 * out twice, half, or late does no harm, because every action says what it was decided from.
 */
export function planRollout(facts: RolloutFacts): RolloutPlan {
  const { rollout, members, now } = facts;
  const acceptance = judgeAcceptance(rollout.spec, facts.model, facts.artifact);
  const target = acceptance.kind === 'Accepted' ? acceptance.target : undefined;
  const before = takenUp(facts, target);
  const moved = target === undefined ? stay(facts, before) : advance(facts, before, target);
  const { phase, progressing } = judgeProgress(rollout.spec, acceptance, moved);
  const isComplete = phase === 'Complete';
  const conditions = withConditions(rollout, { acceptance, progressing, isComplete, now });
  const after = { status: { ...moved.status, phase, conditions }, members: moved.members };
  const events = eventsOf({ status: rollout.status, members }, after);
  return { ...after, actions: [...moved.actions, ...events] };
}

/** A changed spec, or another artifact for it, starts over at the first wave. */
function takenUp(facts: RolloutFacts, target: Target | undefined): RolloutProgress {
  const { rollout, members, specDigest } = facts;
  const { generation } = rollout.metadata;
  const status = { ...rollout.status, observedGeneration: generation };
  const isSameSpec = status.specDigest === specDigest;
  const artifactId = target?.artifact.id ?? (isSameSpec ? status.artifactId : null);
  if (isSameSpec && status.artifactId === artifactId) return { status, members };
  const fresh = { revision: generation, specDigest, artifactId, currentWave: 0 };
  return { status: { ...status, ...fresh }, members: [] };
}

/** Without a target nothing is started and what is known of the members stays. */
function stay(facts: RolloutFacts, before: RolloutProgress): RolloutPlan {
  const selected = new Set(facts.devices.map((device) => device.metadata.name));
  const members = before.members.filter((member) => selected.has(member.device));
  const counts = countsOf(members, selected.size);
  const waves = totalWaves(members, facts.rollout.spec, before.status.currentWave);
  return { status: { ...before.status, counts, totalWaves: waves }, members, actions: [] };
}

function advance(facts: RolloutFacts, before: RolloutProgress, target: Target): RolloutPlan {
  const { spec } = facts.rollout;
  const { attempt } = before.status;
  const verdicts = inOrder(facts, before.members).map(({ device, previous }) => ({
    device,
    ...judgeMember({
      device,
      previous,
      owner: ownerBefore(facts.rollout.metadata, facts.others, device),
      target,
      attempt,
      progressDeadlineMs: spec.strategy.progressDeadlineSeconds * 1000,
      footprints: facts.footprints,
      now: facts.now,
    }),
  }));
  const isHeld = spec.paused || blockingFailures(verdicts.map((v) => v.member)).length > 0;
  const opened = isHeld
    ? { currentWave: before.status.currentWave, starts: [] }
    : openWaves({
        entries: verdicts.map(waveEntry),
        waves: spec.strategy.waves,
        currentWave: before.status.currentWave,
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
      attempt,
      target,
      seenRevision: verdict.device.status.desired?.revision ?? 0,
    });
    return member;
  });
  const { currentWave } = opened;
  const counts = countsOf(members, facts.devices.length);
  const waves = totalWaves(members, spec, currentWave);
  const status = { ...before.status, counts, currentWave, totalWaves: waves };
  return { status, members, actions };
}

/** Known members keep their place, so that a device that joins late goes last, whatever its name. */
function inOrder(facts: RolloutFacts, before: readonly Member[]) {
  const place = new Map(before.map((member, index) => [member.device, index]));
  const previous = new Map(before.map((member) => [member.device, member]));
  return facts.devices
    .map((device) => ({ device, previous: previous.get(device.metadata.name) }))
    .sort((a, b) => {
      const [left, right] = [a.device.metadata.name, b.device.metadata.name];
      const late = before.length;
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
function eventsOf(before: RolloutProgress, after: RolloutProgress): RolloutAction[] {
  const events: RolloutAction[] = [];
  const reasonOf = ({ status }: RolloutProgress) =>
    status.conditions.find((condition) => condition.type === 'Progressing');
  const [old, next] = [reasonOf(before), reasonOf(after)];
  const stateBefore = new Map(before.members.map((member) => [member.device, member.state]));
  for (const member of after.members) {
    if (member.state !== 'Failed' || stateBefore.get(member.device) === 'Failed') continue;
    if (member.reason === LEFT_BEHIND) continue;
    const message = `device "${member.device}": ${member.message}`;
    events.push({ kind: 'EmitEvent', type: 'Warning', reason: 'MemberFailed', message });
  }
  const { revision, currentWave } = after.status;
  const isNewRevision = revision !== before.status.revision;
  const opensWave = currentWave !== before.status.currentWave || isNewRevision;
  const isMoving = after.members.some((m) => m.wave === currentWave);
  if (opensWave && isMoving) {
    const message = `wave ${currentWave + 1} of ${after.status.totalWaves}`;
    events.push({ kind: 'EmitEvent', type: 'Normal', reason: 'WaveStarted', message });
  }
  const isNews = old?.reason !== next?.reason || old?.status !== next?.status;
  if (next === undefined || !isNews || next.status === 'True' || next.reason === 'MemberFailed') {
    return events;
  }
  const { phase } = after.status;
  const type = phase === 'Complete' || phase === 'Pending' ? 'Normal' : 'Warning';
  events.push({ kind: 'EmitEvent', type, reason: next.reason, message: next.message });
  return events;
}
