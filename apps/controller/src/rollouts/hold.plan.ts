import type { CountOrPercent, Hold, Member, Strategy } from '@entrofleet/protocol';
import { type MemberVerdict, PENALTY_BOX } from './member.plan.ts';
import type { Stall } from './stall.plan.ts';
import { countedFailures } from './threshold.plan.ts';
import type { Opening } from './time.window.plan.ts';

/** Devices that a message names. */
const NAMED = 5;

export interface HoldFacts {
  /** In the order in which they go; their members as they are to be now. */
  readonly verdicts: readonly MemberVerdict[];
  readonly strategy: Strategy;
  /** Devices of which `maxUnavailable` is a share. */
  readonly selected: number;
  readonly download: Opening;
  readonly activation: Opening;
  /** Nothing that has not been let activate may begin to. */
  readonly isPaused: boolean;
  readonly now: string;
}

export interface HoldDecision {
  /** How far each device that is being updated may go. */
  readonly holds: ReadonlyMap<string, Hold>;
  readonly stalls: readonly Stall[];
}

/** How many devices may be unavailable at once, of `selected` ones; without a limit any number. */
export function unavailableLimit(limit: CountOrPercent | null, selected: number): number {
  if (limit === null) return Number.POSITIVE_INFINITY;
  if (typeof limit === 'number') return limit;
  return Math.max(1, Math.ceil((Number.parseInt(limit, 10) * selected) / 100));
}

/**
 * Says how far each device may go. Devices download ahead of their turn; with `maxUnavailable` one
 * is let activate only when it has everything and there is room for it.
 *
 * Unavailable are only devices that are down or at risk by this rollout: those that were let
 * activate and are not active yet, and those that have failed and were not left behind. A device
 * that downloads or is staged still serves its old model. One that goes offline while it is at risk
 * counts until the progress deadline has passed; after that it holds nobody up.
 */
export function decideHolds(facts: HoldFacts): HoldDecision {
  const { verdicts, strategy, download, activation } = facts;
  const limit = unavailableLimit(strategy.maxUnavailable, facts.selected);
  const updating = verdicts.filter(isUpdating);
  const causes = unavailable(facts);
  let used = causes.length;
  const holds = new Map<string, Hold>();
  const waiting = { download: 0, activation: 0, room: 0 };
  for (const verdict of updating) {
    const { stage, asked, member, isAsked } = verdict;
    const current = isAsked ? (asked?.hold ?? 'None') : undefined;
    const keep = (hold: Hold) => holds.set(member.device, hold);
    if (stage === 'AtRisk' && current !== undefined) {
      keep(current);
    } else if (stage === 'Download' && !download.isOpen) {
      waiting.download++;
      keep('Download');
    } else if (!activation.isOpen) {
      waiting.activation++;
      keep('Activation');
    } else if (current === 'None' && !(Number.isFinite(limit) && isGone(verdict, facts))) {
      keep('None');
    } else if (facts.isPaused) {
      keep('Activation');
    } else if (!Number.isFinite(limit)) {
      keep('None');
    } else if (stage === 'Activation' && member.state === 'Updating' && used < limit) {
      // A device whose last word is older than ours to it is counted already.
      if (!isAtRisk(verdict, facts)) {
        used++;
        causes.push(verdict);
      }
      keep('None');
    } else {
      if (stage === 'Activation') waiting.room++;
      keep('Activation');
    }
  }
  return { holds, stalls: stallsOf(facts, { waiting, limit, used, causes }) };
}

/** Devices that are down or at risk by this rollout. */
export function unavailable(facts: Pick<HoldFacts, 'verdicts' | 'strategy' | 'now'>) {
  const { verdicts } = facts;
  return [
    ...verdicts.filter((verdict) => isDown(verdict.member)),
    ...verdicts.filter((verdict) => isUpdating(verdict) && isAtRisk(verdict, facts)),
    ...verdicts.filter(({ member, isReturning }) => isReturning && member.state === 'Updating'),
  ];
}

/** Also one that was asked before a crash kept that from being saved. */
function isUpdating({ member, asked, isAsked, isReturning }: MemberVerdict): boolean {
  if (isReturning) return false;
  if (member.wave === null) {
    const isOnItsWay = member.state === 'Offline' || member.state === 'Pending';
    return isAsked && isOnItsWay && isUnfinished(asked, member);
  }
  return member.state === 'Updating' || (member.state === 'Offline' && isUnfinished(asked, member));
}

function isUnfinished(asked: MemberVerdict['asked'], member: Member): boolean {
  return asked !== undefined && member.activatedAt === null && member.nextAttemptAt === null;
}

function isDown(member: Member): boolean {
  if (member.wave === null || member.failedRevision === null) return false;
  if (member.state === 'Pending') return member.reason !== PENALTY_BOX;
  return countedFailures([member]).length > 0;
}

/** It was let activate, or may have been: its last word is older than ours to it. */
function isAtRisk(verdict: MemberVerdict, facts: Pick<HoldFacts, 'strategy' | 'now'>): boolean {
  const { stage, asked, isAsked, device } = verdict;
  if (!isAsked || asked === undefined || isGone(verdict, facts)) return false;
  if (stage === 'AtRisk' || (asked.hold ?? 'None') === 'None') return true;
  return stage === 'Activation' && (device.status.report?.observedRevision ?? 0) < asked.revision;
}

/** Offline for longer than progress may take. */
function isGone(
  { device }: MemberVerdict,
  { strategy, now }: Pick<HoldFacts, 'strategy' | 'now'>,
): boolean {
  const { online, lastSeen } = device.status;
  if (online) return false;
  if (lastSeen === null) return true;
  return Date.parse(now) - Date.parse(lastSeen) > strategy.progressDeadlineSeconds * 1000;
}

function stallsOf(
  { download, activation, strategy }: HoldFacts,
  of: {
    waiting: { download: number; activation: number; room: number };
    limit: number;
    used: number;
    causes: readonly MemberVerdict[];
  },
): Stall[] {
  const { waiting, limit, used } = of;
  const stalls: Stall[] = [];
  if (waiting.download > 0) stalls.push(outsideWindow('Download', download, waiting.download));
  if (waiting.activation > 0) {
    stalls.push(outsideWindow('Activation', activation, waiting.activation));
  }
  if (waiting.room > 0) {
    const named = of.causes.slice(0, NAMED).map(({ member }) => `${member.device} ${member.state}`);
    const more = of.causes.length > NAMED ? ` and ${of.causes.length - NAMED} more` : '';
    const message =
      `${used} of at most ${limit} devices (maxUnavailable ${strategy.maxUnavailable}) are ` +
      `unavailable by this rollout: ${named.join(', ')}${more}; ${waiting.room} wait staged. ` +
      'It goes on when one of them is active; retry the failed, or resume to leave them behind';
    // Failed devices that are not tried again leave their room to others only when somebody acts.
    const isPause = of.causes.every(
      ({ member }) => member.state === 'Failed' && member.nextAttemptAt === null,
    );
    stalls.push({ reason: 'MaxUnavailable', message, until: null, isPause });
  }
  return stalls;
}

/** @param devices that wait for it; 0: those that are not started. */
export function outsideWindow(
  kind: 'Download' | 'Activation',
  opening: Opening,
  devices: number,
): Stall {
  const when = opening.until === null ? 'no window opens again' : `the next opens ${opening.until}`;
  const waits = devices === 0 ? 'nothing is started' : `${devices} devices wait`;
  const field = `strategy.windows.${kind.toLowerCase()}`;
  const message = `outside of ${field}: ${waits}; ${when}`;
  return { reason: `Outside${kind}Window`, message, until: opening.until, isPause: false };
}
