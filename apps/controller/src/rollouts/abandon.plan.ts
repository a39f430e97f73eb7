import type { Abandonment, Device, Member, Target } from '@entrofleet/protocol';
import { unavailableLimit } from './hold.plan.ts';
import { unknownMember } from './member.plan.ts';
import type { RolloutAction, RolloutFacts, RolloutProgress } from './rollout.types.ts';
import { previousWhenAsked, unsavedStart } from './unsaved.start.plan.ts';
import { stageOf } from './update.stage.plan.ts';
import { inOrder } from './wave.order.plan.ts';

/** Where a device stands that shall not go on to what it was asked for. */
export interface Return {
  readonly member: Member;
  /** What it is sent back to; absent: it is left as it is. */
  readonly back?: Target | null;
  /** Going back makes it unavailable for a while. */
  readonly isAtRisk?: boolean;
}

/**
 * Gives a revision up. Nothing is started any more. Aborting sends back what downloads, verifies or
 * is staged; what is beyond finishes, or goes back as well, as the strategy says; what is active
 * stays. Rolling back sends every device back that was started, with at most `maxUnavailable` of
 * those that run the target on their way at once.
 */
export function giveUp(
  facts: RolloutFacts,
  before: RolloutProgress & { readonly status: { readonly abandoned: Abandonment | null } },
): RolloutProgress & { readonly actions: readonly RolloutAction[] } {
  const { abandoned } = before.status;
  const { strategy } = facts.rollout.spec;
  if (abandoned === null) return { ...before, actions: [] };
  const placed = inOrder(facts.devices, before.members, strategy.order);
  const leaving = placed.map(({ device, previous }) => {
    const member =
      previous?.wave == null
        ? askedUnsaved(facts, { device, previous, artifactIds: before.status.artifactIds })
        : previous;
    if (member !== undefined) return { device, ...returnOf({ device, member, abandoned, facts }) };
    return { device, member: leftOut(device, previous, abandoned) };
  });
  return {
    status: before.status,
    ...carryBack(facts, { leaving, how: abandoned.how, used: 0 }),
  };
}

/**
 * Asks those that go back to do so, as far as there is room among those that may be unavailable.
 * @param of.used room that is taken by others
 */
export function carryBack(
  facts: RolloutFacts,
  of: {
    leaving: readonly (Return & { readonly device: Device })[];
    how: Abandonment['how'];
    used: number;
  },
): { members: readonly Member[]; actions: readonly RolloutAction[] } {
  const { leaving, how } = of;
  const { maxUnavailable } = facts.rollout.spec.strategy;
  const limit = unavailableLimit(maxUnavailable, facts.devices.length);
  const underway = leaving.filter(({ member }) => member.reason === 'RollingBack').length;
  let room = limit - of.used - underway;
  const actions: RolloutAction[] = [];
  const members = leaving.map(({ device, member, back, isAtRisk }) => {
    if (back === undefined) return member;
    if (isAtRisk === true && room < 1) return { ...member, reason: 'WaitsToGoBack' };
    if (isAtRisk === true) room--;
    actions.push(sendBack(facts, { device, back, how }));
    const message =
      back === null ? 'goes back to no model' : `goes back to ${back.model} ${back.variant}`;
    if (!device.status.online) return { ...member, state: 'Offline' as const, message };
    return { ...member, state: 'Updating' as const, reason: 'RollingBack', message };
  });
  return { members, actions };
}

/**
 * A device that was asked before a crash kept that from being saved: it is on its way, or has
 * arrived, all the same.
 * @param of.artifactIds of the revision that is given up
 */
export function askedUnsaved(
  facts: RolloutFacts,
  of: { device: Device; previous: Member | undefined; artifactIds: readonly string[] },
): Member | undefined {
  const { device, previous: member, artifactIds } = of;
  const { desired, report } = device.status;
  const { target } = desired ?? { target: null };
  if (target === null || desired?.rollout !== facts.rollout.metadata.name) return undefined;
  const { variant, artifact } = target;
  const whenAsked = previousWhenAsked(facts, device, artifact.id);
  const isThere = report?.active?.artifactId === artifact.id;
  if (isThere) {
    // One that ran it all along, or what an earlier revision brought, was not started by this one.
    const isOurs = artifactIds.includes(artifact.id);
    const isStarted =
      member?.startedAt != null || unsavedStart(facts, { device, target, member }) !== null;
    if (whenAsked === undefined || !isOurs || !isStarted) return undefined;
  }
  const previous = whenAsked === undefined ? (report?.active ?? null) : whenAsked;
  const was = member ?? unknownMember({ device, target });
  return { ...was, variant, artifactId: artifact.id, previous, wave: 0 };
}

function leftOut(device: Device, previous: Member | undefined, { how }: Abandonment): Member {
  const was = previous ?? unknownMember({ device });
  if (was.state === 'Conflict' || was.state === 'Pinned' || was.state === 'Active') return was;
  const message = how === 'Abort' ? 'the rollout is aborted' : 'the rollout is rolled back';
  const reason = how === 'Abort' ? 'Aborted' : 'RolledBack';
  return { ...was, state: 'Pending', reason, message, nextAttemptAt: null };
}

interface Leaving {
  readonly device: Device;
  readonly member: Member;
  readonly abandoned: Abandonment;
  readonly facts: RolloutFacts;
}

export function returnOf(leaving: Leaving): Return {
  const { device, member: was, facts } = leaving;
  const member = { ...was, nextAttemptAt: null };
  const { desired } = device.status;
  const askedFor = desired?.target?.artifact.id ?? null;
  if (desired === null || device.spec.pinned || device.spec.quarantined) return { member };
  if (askedFor === member.artifactId) return leaveOrStay({ ...leaving, member });
  const isOurs = desired.rollout === facts.rollout.metadata.name;
  if (!isOurs || askedFor !== (member.previous?.artifactId ?? null)) {
    return { member: { ...member, state: 'Pending', reason: 'Replaced', message: 'runs another' } };
  }
  return { member: { ...member, ...goneBack(device, member, desired.revision) } };
}

function leaveOrStay(leaving: Leaving): Return {
  const { device, member, abandoned, facts } = leaving;
  const { report, desired, online } = device.status;
  const id = member.artifactId ?? '';
  const isFresh = (report?.observedRevision ?? 0) >= (desired?.revision ?? 0);
  const isActive = isFresh && report?.phase === 'Active' && report.active?.artifactId === id;
  const hasFailed = isFresh && report?.phase === 'Failed';
  const stage = stageOf(device, id);
  const isAtRisk = isActive || stage === 'AtRisk';
  const stays = { ...member, ...staying(leaving, { isActive, hasFailed }) };
  if (abandoned.how === 'Abort') {
    if (isActive || hasFailed) return { member: stays };
    if (stage === 'AtRisk' && facts.rollout.spec.strategy.onAbort === 'Finish') {
      return { member: stays };
    }
  }
  const { previous } = member;
  if (previous?.artifactId === id) return { member: stays };
  const back = previous === null ? null : facts.earlierTargets.get(previous.artifactId);
  if (back === undefined) {
    const message = `cannot go back to ${previous?.model} ${previous?.variant}: its artifact is gone`;
    return { member: { ...stays, message } };
  }
  return { member: stays, back, isAtRisk: abandoned.how === 'RollBack' && isAtRisk && online };
}

function staying(
  { device, member }: Leaving,
  is: { isActive: boolean; hasFailed: boolean },
): Pick<Member, 'state' | 'reason' | 'message'> {
  const { report, online, lastSeen } = device.status;
  if (is.hasFailed) {
    const message = report?.error?.message ?? member.message;
    return { state: 'Failed', reason: report?.error?.reason ?? 'Failed', message };
  }
  if (!online) {
    const message = `offline, last heard of at ${lastSeen ?? 'no time'}`;
    return { state: 'Offline', reason: 'Offline', message };
  }
  if (is.isActive) return { state: 'Active', reason: 'Active', message: '' };
  if (member.state === 'Failed') return member;
  const message = 'was activating when the rollout was given up';
  return { state: 'Updating', reason: 'Finishing', message };
}

/** How far a device is that was sent back. */
function goneBack(
  device: Device,
  member: Member,
  revision: number,
): Pick<Member, 'state' | 'reason' | 'message'> {
  const { report, online, lastSeen } = device.status;
  const { previous } = member;
  const isFresh = report !== null && report.observedRevision >= revision;
  const isBack =
    isFresh &&
    report.phase !== 'Failed' &&
    isAtRest(report.phase) &&
    (report.active?.artifactId ?? null) === (previous?.artifactId ?? null);
  const name = previous === null ? 'no model' : `${previous.model} ${previous.variant}`;
  if (isBack) return { state: 'RolledBack', reason: 'RolledBack', message: `runs ${name} again` };
  if (isFresh && report.phase === 'Failed') {
    const why = report.error === null ? '' : `${report.error.reason}: ${report.error.message}`;
    return { state: 'Failed', reason: 'RollbackFailed', message: `not back at ${name}: ${why}` };
  }
  const message = `goes back to ${name}`;
  if (online) return { state: 'Updating', reason: 'RollingBack', message };
  const since = `offline, last heard of at ${lastSeen ?? 'no time'}`;
  return { state: 'Offline', reason: 'Offline', message: `${message}; ${since}` };
}

function isAtRest(phase: string): boolean {
  return phase === 'Active' || phase === 'Idle';
}

/** Also for a single device that was pinned while it was on its way. */
export function sendBack(
  facts: RolloutFacts,
  of: { device: Device; back: Target | null; how: Abandonment['how'] },
): RolloutAction {
  const { rollout } = facts;
  const { device, back, how } = of;
  const finishes = how === 'Abort' && rollout.spec.strategy.onAbort === 'Finish';
  const { desired } = device.status;
  return {
    kind: 'SetDesired',
    device: device.metadata.name,
    rollout: rollout.metadata.name,
    attempt: (desired?.attempt ?? 0) + 1,
    target: back,
    hold: 'None',
    onAbandon: finishes ? 'Finish' : 'RollBack',
    // There is nothing behind what a device goes back to.
    previous: back && { model: back.model, variant: back.variant, artifactId: back.artifact.id },
    seenRevision: desired?.revision ?? 0,
  };
}
