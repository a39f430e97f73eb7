import type { Labels, RevisionOutcome, RolloutStatus } from '@entrofleet/protocol';
import { giveUp } from './abandon.plan.ts';
import { judgeVariants, type VariantsAcceptance } from './acceptance.plan.ts';
import { advance } from './rollout.advance.plan.ts';
import { eventsOf } from './rollout.events.plan.ts';
import { judgeProgress, withConditions } from './rollout.progress.plan.ts';
import { countsOf, totalWaves } from './rollout.status.plan.ts';
import type {
  Course,
  RolloutAction,
  RolloutFacts,
  RolloutPlan,
  RolloutProgress,
  TakenUp,
} from './rollout.types.ts';
import { earliest, pausedBySpec, type Stall } from './stall.plan.ts';
import { windowFault } from './time.window.plan.ts';

/**
 * Decides what a rollout does next. Pure: the same facts give the same plan, and carrying a plan
 * out twice, half, or late does no harm, because every action says what it was decided from.
 */
export function planRollout(facts: RolloutFacts): RolloutPlan {
  const { rollout, now } = facts;
  const acceptance = accept(facts);
  const taken = takenUp(facts, acceptance);
  const course = courseOf(facts, taken, acceptance);
  const counted = withCounts(facts, course);
  const { spec } = rollout;
  const judged = judgeProgress({ ...counted, spec, acceptance, ...standOf(facts, course) });
  const { members } = counted;
  const conditions = withConditions(rollout, { acceptance, judged, members, now });
  const status = { ...counted.status, phase: judged.phase, conditions };
  const after = { status, members };
  const before = { status: rollout.status, members: facts.members };
  const actions = [...course.actions, ...revisionOf(facts, status), ...eventsOf(before, after)];
  return { ...after, actions, wakeAt: earliest([course.wakeAt, ...course.stalls.map(untilOf)]) };
}

/** Whether the rollout can be carried out as it stands, and with what. */
export function accept(facts: RolloutFacts): VariantsAcceptance {
  const { spec } = facts.rollout;
  const fault = windowFault(spec.strategy);
  if (fault !== undefined) return { kind: 'Rejected', reason: 'BadWindow', message: fault };
  return judgeVariants(spec, facts.model, facts.artifacts);
}

/**
 * Other work, or other artifacts for it, starts over at the first wave. A revision that was given
 * up stays so until somebody changes the rollout itself: a new artifact must not restart it.
 */
function takenUp(facts: RolloutFacts, acceptance: VariantsAcceptance): TakenUp {
  const { rollout, members, specDigest } = facts;
  const { generation } = rollout.metadata;
  const status = { ...rollout.status, observedGeneration: generation };
  const ranBefore = new Map(members.map((member) => [member.device, member.previous]));
  const isSameSpec = status.specDigest === specDigest;
  const { abandoned } = status;
  if (abandoned !== null && (isSameSpec || generation === abandoned.generation)) {
    // What was changed since, such as pausing it, asks for the same.
    return { status: { ...status, abandoned: { ...abandoned, generation } }, members, ranBefore };
  }
  const artifactIds =
    acceptance.kind === 'Accepted'
      ? acceptance.candidates.map(({ target }) => target.artifact.id).sort()
      : isSameSpec
        ? status.artifactIds
        : [];
  const isSame = isSameSpec && artifactIds.join() === status.artifactIds.join();
  if (isSame) return { status, members, ranBefore };
  const [only = null, ...more] = artifactIds;
  const fresh = {
    revision: generation,
    specDigest,
    artifactId: more.length === 0 ? only : null,
    artifactIds,
    currentWave: 0,
    startedAt: facts.now,
    approvedWave: 0,
    gates: [],
    abandoned: null,
  };
  return { status: { ...status, ...fresh }, members: [], ranBefore };
}

function courseOf(facts: RolloutFacts, taken: TakenUp, acceptance: VariantsAcceptance): Course {
  if (taken.status.abandoned !== null) {
    return { ...giveUp(facts, taken), stalls: [], moving: 0, wakeAt: null };
  }
  if (acceptance.kind !== 'Accepted') return stay(facts, taken);
  return advance(facts, taken, acceptance.candidates);
}

/** Without a target nothing is started and what is known of the members stays. */
function stay(facts: RolloutFacts, before: RolloutProgress): Course {
  const selected = new Set(facts.devices.map((device) => device.metadata.name));
  const members = before.members.filter((member) => selected.has(member.device));
  const stalls = facts.rollout.spec.paused ? [pausedBySpec()] : [];
  return { status: before.status, members, actions: [], stalls, moving: 0, wakeAt: null };
}

function withCounts(facts: RolloutFacts, { status, members }: Course): RolloutProgress {
  const { spec } = facts.rollout;
  const labelsOf = new Map<string, Labels>(
    facts.devices.map(({ metadata }) => [metadata.name, metadata.labels]),
  );
  const { currentWave } = status;
  const waves = totalWaves(members, { spec, currentWave, labelsOf });
  const counts = countsOf(members, facts.devices.length);
  return { status: { ...status, counts, totalWaves: waves }, members };
}

function standOf(facts: RolloutFacts, course: Course) {
  if (course.status.abandoned === null) return { stalls: course.stalls, moving: course.moving };
  const online = new Set(
    facts.devices.filter(({ status }) => status.online).map(({ metadata }) => metadata.name),
  );
  const moving = course.members.filter((m) => m.state === 'Updating' && online.has(m.device));
  return { stalls: [], moving: moving.length };
}

function untilOf({ until }: Stall): string | null {
  return until;
}

const OUTCOMES: Partial<Record<RolloutStatus['phase'], RevisionOutcome>> = {
  Complete: 'Complete',
  Aborted: 'Aborted',
  RolledBack: 'RolledBack',
};

/** A revision is recorded when it is taken up, edited in place, and when its outcome is known. */
function revisionOf({ rollout }: RolloutFacts, after: RolloutStatus): RolloutAction[] {
  const { status: before, spec } = rollout;
  const outcome = OUTCOMES[after.phase] ?? 'InProgress';
  const isNew = after.revision !== before.revision;
  const isEdited = after.observedGeneration !== before.observedGeneration;
  const isSettled = outcome !== 'InProgress' && after.phase !== before.phase;
  if (after.revision === 0 || !(isNew || isEdited || isSettled)) return [];
  const { revision, artifactIds } = after;
  return [{ kind: 'RecordRevision', revision, spec, artifactIds, outcome }];
}
