import { type Device, type Selector, selectorMatches } from '@entrofleet/protocol';

/** What one rollout knows of another one. */
export interface RolloutClaim {
  readonly name: string;
  readonly creationTimestamp: string;
  readonly selector: Selector;
  /** Its spec cannot be carried out as it stands, so it takes no new devices. */
  readonly isTurnedDown: boolean;
}

type Age = Pick<RolloutClaim, 'name' | 'creationTimestamp'>;

/**
 * Of the rollouts that claim a device the oldest keeps it (by creation, then by name). One
 * whose spec was turned down claims only what it already runs on: a typing error blocks nobody.
 *
 * @returns a function that gives the older rollout that keeps a device from `own`, if one does. It
 * looks only at the rollouts that ask for a label that the device has, of which there are few.
 */
export function ownersBefore(
  own: Age,
  others: readonly RolloutClaim[],
): (device: Device) => string | undefined {
  const older = others.filter((other) => isOlder(other, own)).sort(byAge);
  const byLabel = new Map<string, RolloutClaim[]>();
  const general: RolloutClaim[] = [];
  for (const claim of older) {
    const [label] = Object.entries(claim.selector.matchLabels);
    if (label === undefined) general.push(claim);
    else append(byLabel, labelKey(...label), claim);
  }
  return (device) => {
    if (older.length === 0) return undefined;
    const asking = Object.entries(device.metadata.labels).flatMap(
      ([key, value]) => byLabel.get(labelKey(key, value)) ?? [],
    );
    return [...general, ...asking]
      .filter((claim) => claims(claim, device))
      .reduce<Age | undefined>((a, b) => (a === undefined || isOlder(b, a) ? b : a), undefined)
      ?.name;
  };
}

function labelKey(key: string, value: string): string {
  return `${key}=${value}`;
}

function append<T>(lists: Map<string, T[]>, key: string, item: T): void {
  const list = lists.get(key);
  if (list === undefined) lists.set(key, [item]);
  else list.push(item);
}

function claims(rollout: RolloutClaim, device: Device): boolean {
  if (!selectorMatches(rollout.selector, device.metadata.labels)) return false;
  return !rollout.isTurnedDown || device.status.desired?.rollout === rollout.name;
}

function byAge(a: Age, b: Age): number {
  return isOlder(a, b) ? -1 : 1;
}

function isOlder(a: Age, b: Age): boolean {
  if (a.creationTimestamp !== b.creationTimestamp) return a.creationTimestamp < b.creationTimestamp;
  return a.name < b.name;
}
