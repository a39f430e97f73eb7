import type { GateResult, Member, Strategy } from '@entrofleet/protocol';
import { askedUnsaved, carryBack, returnOf } from './abandon.plan.ts';
import type { MemberVerdict } from './member.plan.ts';
import type { RolloutAction, RolloutFacts, TakenUp } from './rollout.types.ts';

export interface ClassReturn {
  /** All of them, in their order; those that go back take no part in what else is decided. */
  readonly verdicts: readonly MemberVerdict[];
  readonly actions: readonly RolloutAction[];
}

/** Nobody moves these. */
const KEPT: ReadonlySet<Member['state']> = new Set(['Conflict', 'Pinned']);

/**
 * Hardware classes that go back by themselves: with `HoldClass` and `RollBack` a failed gate rolls
 * its class back while the others go on, until somebody retries or resumes.
 */
export function returningClasses(
  { onGateFailure, onFailure }: Strategy,
  gates: readonly GateResult[],
): ReadonlySet<string> {
  if (onGateFailure !== 'HoldClass' || onFailure !== 'RollBack') return new Set();
  const failed = gates.filter(
    ({ outcome, overriddenAt }) => outcome === 'Failed' && overriddenAt == null,
  );
  return new Set(failed.map(({ hardwareClass }) => hardwareClass));
}

/**
 * Sends the started devices of some classes back to what they ran before, as a roll back of the
 * whole rollout does.
 *
 * @param of.used devices of the other classes that are unavailable, of at most `maxUnavailable`
 */
export function returnClasses(
  facts: RolloutFacts,
  of: {
    taken: TakenUp;
    verdicts: readonly MemberVerdict[];
    classes: ReadonlySet<string>;
    unavailable: (others: readonly MemberVerdict[]) => number;
  },
): ClassReturn {
  const { taken, verdicts, classes } = of;
  if (classes.size === 0) return { verdicts, actions: [] };
  const { spec, metadata } = facts.rollout;
  const words = { reason: 'GateFailed', message: 'a gate of the hardware class has failed' };
  const { generation } = metadata;
  const abandoned = { how: 'RollBack' as const, ...words, at: facts.now, generation };
  const known = new Map(taken.members.map((member) => [member.device, member]));
  const startedBefore = ({ member, device }: MemberVerdict): Member | undefined => {
    if (!classes.has(member.hardwareClass) || KEPT.has(member.state)) return undefined;
    const was = known.get(member.device);
    const { artifactIds } = taken.status;
    return was?.wave == null ? askedUnsaved(facts, { device, previous: was, artifactIds }) : was;
  };
  const placed = verdicts.map((verdict) => ({ verdict, was: startedBefore(verdict) }));
  const leaving = placed.flatMap(({ verdict: { device, member }, was }) => {
    if (was === undefined) return [];
    const { hardwareClass } = member;
    return { device, ...returnOf({ device, member: { ...was, hardwareClass }, abandoned, facts }) };
  });
  const others = placed.flatMap(({ verdict, was }) => (was === undefined ? verdict : []));
  const carried = spec.paused
    ? { members: leaving.map(({ member }) => member), actions: [] }
    : carryBack(facts, { leaving, how: 'RollBack', used: of.unavailable(others) });
  const returned = new Map(carried.members.map((member) => [member.device, member]));
  return {
    verdicts: verdicts.map((verdict) => {
      const member = returned.get(verdict.member.device);
      return member === undefined ? verdict : { ...verdict, ...OUT_OF_THE_COURSE, member };
    }),
    actions: carried.actions,
  };
}

const OUT_OF_THE_COURSE = {
  asked: undefined,
  isAsked: false,
  isCandidate: false,
  isDue: false,
  isHeld: false,
  isNewFailure: false,
  isReturning: true,
};
