import { type Device, type Selector, selectorMatches } from '@entrofleet/protocol';

/** What one rollout knows of another one. */
export interface RolloutClaim {
  readonly name: string;
  readonly creationTimestamp: string;
  readonly selector: Selector;
  /** Its spec cannot be carried out as it stands, so it takes no new devices. */
  readonly isTurnedDown: boolean;
}

/**
 * Of the rollouts that claim a device the oldest keeps it (by creation, then by name). One
 * whose spec was turned down claims only what it already runs on: a typing error blocks nobody.
 *
 * @returns the older rollout that keeps the device from `own`, or `undefined`.
 */
export function ownerBefore(
  own: Pick<RolloutClaim, 'name' | 'creationTimestamp'>,
  others: readonly RolloutClaim[],
  device: Device,
): string | undefined {
  return others
    .filter((other) => isOlder(other, own) && claims(other, device))
    .sort((a, b) => (isOlder(a, b) ? -1 : 1))[0]?.name;
}

function claims(rollout: RolloutClaim, device: Device): boolean {
  if (!selectorMatches(rollout.selector, device.metadata.labels)) return false;
  return !rollout.isTurnedDown || device.status.desired?.rollout === rollout.name;
}

type Age = Pick<RolloutClaim, 'name' | 'creationTimestamp'>;

function isOlder(a: Age, b: Age): boolean {
  if (a.creationTimestamp !== b.creationTimestamp) return a.creationTimestamp < b.creationTimestamp;
  return a.name < b.name;
}
