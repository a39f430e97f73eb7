import type { Labels, Member, RolloutSpec, RolloutStatus } from '@entrofleet/protocol';
import { splitWaves } from './rollout.waves.ts';

/** What a rollout starts with. */
export function initialStatus(): RolloutStatus {
  return {
    observedGeneration: 0,
    phase: 'Pending',
    revision: 0,
    specDigest: '',
    artifactId: null,
    artifactIds: [],
    attempt: 0,
    currentWave: 0,
    totalWaves: 0,
    counts: countsOf([], 0),
    startedAt: null,
    approvedWave: 0,
    gates: [],
    abandoned: null,
    conditions: [],
  };
}

export function countsOf(members: readonly Member[], selected: number): RolloutStatus['counts'] {
  const counts = new Map<Member['state'], number>();
  for (const { state } of members) counts.set(state, (counts.get(state) ?? 0) + 1);
  const count = (state: Member['state']) => counts.get(state) ?? 0;
  return {
    selected,
    active: count('Active'),
    updating: count('Updating'),
    failed: count('Failed'),
    offline: count('Offline'),
    pending: count('Pending'),
    unfit: count('Unfit'),
    conflict: count('Conflict'),
    pinned: count('Pinned'),
    rolledBack: count('RolledBack'),
  };
}

/** A member is none of the devices that waves are made of. */
export function isOutside({ state }: Member): boolean {
  return state === 'Conflict' || state === 'Pinned';
}

/**
 * Waves that the rollout will have taken when every device has been started.
 *
 * @param labelsOf of devices, for waves with a selector.
 */
export function totalWaves(
  members: readonly Member[],
  of: { spec: RolloutSpec; currentWave: number; labelsOf: ReadonlyMap<string, Labels> },
): number {
  const waiting = members
    .filter((member) => !isOutside(member))
    .map(({ device }) => ({ device, labels: of.labelsOf.get(device) ?? {} }));
  const planned = splitWaves(waiting, of.spec.strategy.waves).length;
  const started = members.some((m) => m.wave !== null) ? of.currentWave + 1 : 0;
  return Math.max(planned, started);
}
