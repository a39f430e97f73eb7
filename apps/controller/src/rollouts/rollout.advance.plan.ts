import type { GateResult, Hold, Member } from '@entrofleet/protocol';
import { giveUp, sendBack } from './abandon.plan.ts';
import { choiceOf } from './candidate.choice.plan.ts';
import { returnClasses, returningClasses } from './class.return.plan.ts';
import { type EvidenceVerdict, judgeEvidence } from './evidence.plan.ts';
import { decideHolds, type HoldDecision, unavailable } from './hold.plan.ts';
import { BACKING_OFF, judgeMember, type MemberVerdict, PENALTY_BOX } from './member.plan.ts';
import { ownersBefore } from './ownership.plan.ts';
import { penaltyAfter } from './penalty.plan.ts';
import { isOutside } from './rollout.status.plan.ts';
import type { Course, RolloutAction, RolloutFacts, TakenUp } from './rollout.types.ts';
import { earliest, pausedBySpec, type Stall } from './stall.plan.ts';
import { decideStarts, type Starts } from './start.plan.ts';
import { type Excess, judgeFailures } from './threshold.plan.ts';
import { openingOf } from './time.window.plan.ts';
import { previousWhenAsked, unsavedStart } from './unsaved.start.plan.ts';
import { clockStarted } from './update.clock.plan.ts';
import type { UpdatePrediction } from './update.prediction.ts';
import type { VariantCandidate } from './variant.choice.plan.ts';
import { inOrder } from './wave.order.plan.ts';

/** Brings an accepted rollout as far as it may go now. */
export function advance(
  facts: RolloutFacts,
  taken: TakenUp,
  candidates: readonly VariantCandidate[],
): Course {
  const { rollout, now } = facts;
  const { strategy, paused } = rollout.spec;
  const judged = judgeDevices(facts, taken, candidates);
  const returned = (gates: readonly GateResult[]) =>
    returnClasses(facts, {
      ...{ taken, verdicts: judged, classes: returningClasses(strategy, gates) },
      unavailable: (others) => unavailable({ verdicts: others, strategy, now }).length,
    });
  const { verdicts: before } = returned(taken.status.gates);
  const evidence = judgeEvidence({ verdicts: before, strategy, status: taken.status, now });
  const { verdicts, actions: returns } = returned(evidence.results);
  const members = verdicts.map(({ member }) => member);
  const excess = judgeFailures(members, strategy.errorThreshold);
  const cause = excess ?? evidence.failure;
  if (cause !== undefined && strategy.onFailure === 'RollBack' && !paused) {
    return rollBack(facts, { taken, members, cause, evidence, verdicts });
  }
  const pauses = pausesOf({ paused, excess, evidence });
  const isPaused = pauses.length > 0;
  const download = openingOf(strategy.windows.download, now);
  const activation = openingOf(strategy.windows.activation, now);
  const status = { ...taken.status, gates: [...evidence.results] };
  const starts = decideStarts({ facts, status, verdicts, evidence, download, isPaused });
  const begun = verdicts.map((verdict) => begin(verdict, starts, facts));
  const selected = members.filter((member) => !isOutside(member)).length;
  const held = decideHolds({
    verdicts: begun,
    ...{ strategy, selected, download, activation, isPaused, now },
  });
  const asked = begun.map((verdict) =>
    ask(facts, verdict, { starts, held, attempt: status.attempt }),
  );
  const stalls = [
    ...pauses,
    ...starts.stalls,
    ...(evidence.leave === undefined ? [] : [evidence.leave]),
    ...held.stalls,
    ...waits(begun),
  ];
  const isUnfinished = asked.some(({ member }) => UNFINISHED.has(member.state));
  const windows = isUnfinished ? [download.until, activation.until] : [];
  return {
    status: { ...status, currentWave: starts.currentWave },
    members: asked.map(({ member }) => member),
    actions: [
      ...asked.flatMap(({ actions }) => actions),
      ...returns,
      ...penaltiesOf(verdicts, now),
    ],
    stalls,
    moving: asked.filter(({ isMoving }) => isMoving).length,
    wakeAt: earliest([...windows, nextDeadline(begun, facts)]),
  };
}

const UNFINISHED: ReadonlySet<Member['state']> = new Set(['Pending', 'Updating', 'Offline']);

function judgeDevices(
  facts: RolloutFacts,
  taken: TakenUp,
  candidates: readonly VariantCandidate[],
): MemberVerdict[] {
  const { metadata, spec } = facts.rollout;
  const { strategy } = spec;
  const ownerOf = ownersBefore(metadata, facts.others);
  const choose = choiceOf(facts, candidates);
  const members = new Map(facts.members.map((member) => [member.device, member]));
  return inOrder(facts.devices, taken.members, strategy.order).flatMap(({ device, previous }) => {
    const choice = choose(device, previous);
    if (choice === undefined) return [];
    return judgeMember({
      rollout: metadata.name,
      ...{ device, previous, strategy, now: facts.now, ...choice },
      ranBefore: taken.ranBefore.get(device.metadata.name) ?? null,
      unsavedStart: unsavedStart(facts, {
        ...{ device, target: choice.target },
        member: members.get(device.metadata.name),
      }),
      owner: ownerOf(device),
    });
  });
}

/** What stops everything until somebody acts. */
function pausesOf(of: {
  paused: boolean;
  excess: Excess | undefined;
  evidence: EvidenceVerdict;
}): Stall[] {
  const { paused, excess, evidence } = of;
  const failure = excess && {
    reason: excess.reason,
    message: `${excess.message}. Retry the rollout, or resume it to leave the failed behind`,
    ...{ until: null, isPause: true, stopsAll: true },
  };
  const all = [paused ? pausedBySpec() : undefined, failure, evidence.pause];
  return all.filter((stall) => stall !== undefined);
}

function rollBack(
  facts: RolloutFacts,
  of: {
    taken: TakenUp;
    members: readonly Member[];
    verdicts: readonly MemberVerdict[];
    evidence: EvidenceVerdict;
    cause: { readonly reason: string; readonly message: string };
  },
): Course {
  const { reason, message } = of.cause;
  const { generation } = facts.rollout.metadata;
  const abandoned = { how: 'RollBack' as const, reason, message, at: facts.now, generation };
  const status = { ...of.taken.status, gates: [...of.evidence.results], abandoned };
  const course = giveUp(facts, { status, members: of.members });
  const actions = [...course.actions, ...penaltiesOf(of.verdicts, facts.now)];
  return { ...course, actions, stalls: [], moving: 0, wakeAt: null };
}

/** The verdict on a device after it was started, if it is. */
function begin(verdict: MemberVerdict, { waveOf }: Starts, facts: RolloutFacts): MemberVerdict {
  const { member, device, target, asked, isAsked } = verdict;
  const wave = waveOf.get(member.device);
  if (wave === undefined) return verdict;
  const previous = previousOf(verdict, facts);
  if (member.state === 'Active') return { ...verdict, member: { ...member, wave, previous } };
  const since = isAsked && asked !== undefined ? asked.issuedAt : facts.now;
  const started: Member = {
    ...member,
    ...clockStarted(since),
    ...{ wave, previous, variant: target.variant, artifactId: target.artifact.id },
    ...{ state: 'Updating', reason: 'Asked', message: 'the device has not answered yet' },
    ...{ progressAt: facts.now, activatedAt: null, nextAttemptAt: null, actual: null },
    predicted: predictedCost(facts.predict?.(device, target)),
  };
  return { ...verdict, member: started };
}

/** What the device goes back to; one that loads its model again after a start runs that. */
function previousOf({ member, device, target }: MemberVerdict, facts: RolloutFacts) {
  const { id } = target.artifact;
  const whenAsked = previousWhenAsked(facts, device, id);
  if (whenAsked !== undefined) return whenAsked;
  const { report } = device.status;
  const running = report?.active ?? report?.restoring ?? null;
  return running?.artifactId === id ? (member.previous ?? running) : running;
}

function predictedCost(prediction: UpdatePrediction | undefined): Member['predicted'] {
  if (prediction === undefined) return null;
  const { bytesToFetch, seconds } = prediction;
  return { bytesToFetch, seconds };
}

/** What the device is told, if that is news to it. */
function ask(
  facts: RolloutFacts,
  verdict: MemberVerdict,
  of: { starts: Starts; held: HoldDecision; attempt: number },
): { member: Member; actions: RolloutAction[]; isMoving: boolean } {
  const { member, asked, isAsked } = verdict;
  if (verdict.isReturning) {
    const isMoving = member.state === 'Updating' && verdict.device.status.online;
    return { member, actions: [], isMoving };
  }
  const hold = of.held.holds.get(member.device);
  if (hold === undefined) return { member, actions: withdrawn(facts, verdict), isMoving: false };
  const isNews = !isAsked || (asked?.hold ?? 'None') !== hold;
  const told = { ...member, hold };
  const isStanding = verdict.isHeld && !isNews;
  const isMoving = member.state === 'Updating' && !isStanding;
  if (!isNews) return { member: told, actions: [], isMoving };
  const attempt = isAsked
    ? (asked?.attempt ?? of.attempt)
    : Math.max(of.attempt, asked === undefined ? 0 : asked.attempt + 1);
  return { member: told, actions: [setDesired(facts, verdict, { hold, attempt })], isMoving };
}

function setDesired(
  facts: RolloutFacts,
  { device, target, member }: MemberVerdict,
  of: { hold: Hold; attempt: number },
): RolloutAction {
  const { timeouts } = facts.rollout.spec.strategy;
  const { wholeSeconds, ...steps } = timeouts;
  const isLimited = Object.values(steps).some((seconds) => seconds !== null);
  return {
    kind: 'SetDesired',
    device: device.metadata.name,
    rollout: facts.rollout.metadata.name,
    ...of,
    target,
    ...(isLimited ? { timeouts } : {}),
    previous: previousToStore(facts, { device, target, member }),
    seenRevision: device.status.desired?.revision ?? 0,
  };
}

/** Asking again for the same, e.g. with another hold, does not change what the device came from. */
function previousToStore(
  facts: RolloutFacts,
  { device, target, member }: Pick<MemberVerdict, 'device' | 'target' | 'member'>,
): Member['previous'] {
  const whenAsked = previousWhenAsked(facts, device, target.artifact.id);
  return whenAsked === undefined ? member.previous : whenAsked;
}

/** A device that is pinned on its way keeps what it runs; one that is activating finishes. */
function withdrawn(facts: RolloutFacts, verdict: MemberVerdict): RolloutAction[] {
  const { member, device, isAsked, stage, asked } = verdict;
  if (member.state !== 'Pinned' || !isAsked || stage === 'AtRisk') return [];
  if (asked?.rollout !== facts.rollout.metadata.name) return [];
  const { report } = device.status;
  if (report === null || report.phase === 'Active' || report.phase === 'Failed') return [];
  const back = report.active === null ? null : facts.earlierTargets.get(report.active.artifactId);
  return back === undefined ? [] : [sendBack(facts, { device, back, how: 'Abort' })];
}

/** Over all rollouts: what a failure costs the device, and that one that is well owes nothing. */
function penaltiesOf(verdicts: readonly MemberVerdict[], now: string): RolloutAction[] {
  return verdicts.flatMap(({ member, device, isNewFailure, isAsked }): RolloutAction[] => {
    const { penalty } = device.status;
    const name = { kind: 'SetPenalty' as const, device: member.device };
    if (member.state === 'Active' && isAsked && penalty != null)
      return [{ ...name, penalty: null }];
    const revision = member.failedRevision ?? 0;
    if (!isNewFailure || penalty?.revision === revision) return [];
    return [{ ...name, penalty: penaltyAfter({ penalty, revision, now }) }];
  });
}

/** Members that wait for a time of their own. */
function waits(verdicts: readonly MemberVerdict[]): Stall[] {
  return [BACKING_OFF, PENALTY_BOX].flatMap((reason): Stall[] => {
    const waiting = verdicts.filter(({ member }) => {
      return member.state === 'Pending' && member.reason === reason;
    });
    const [first] = waiting;
    if (first === undefined) return [];
    const until = earliest(waiting.map(({ member }) => member.nextAttemptAt));
    const others = waiting.length === 1 ? '' : ` (and ${waiting.length - 1} more)`;
    const message = `device "${first.member.device}"${others}: ${first.member.message}`;
    return [{ reason, message, until, isPause: false }];
  });
}

/** When the first device is overdue, or is no longer waited for, unless something is heard of it. */
function nextDeadline(verdicts: readonly MemberVerdict[], facts: RolloutFacts): string | null {
  const { progressDeadlineSeconds } = facts.rollout.spec.strategy;
  const soonest = verdicts.reduce((first, { member, device, isHeld }) => {
    const since = member.state === 'Updating' ? member.progressAt : device.status.lastSeen;
    const counts =
      member.state === 'Updating' ? !isHeld : member.state === 'Offline' && member.wave !== null;
    if (!counts || since === null) return first;
    return Math.min(first, Date.parse(since) + progressDeadlineSeconds * 1000 + 1);
  }, Number.POSITIVE_INFINITY);
  if (!Number.isFinite(soonest) || soonest <= Date.parse(facts.now)) return null;
  return new Date(soonest).toISOString();
}
