import type { Device } from '@entrofleet/protocol';

type Penalty = NonNullable<Device['status']['penalty']>;

/** Failures in a row from which on a device has to wait. */
const FREE_FAILURES = 2;
const FIRST_MS = 5 * 60_000;
const LONGEST_MS = 24 * 3600_000;

/** What a device that has failed, in whatever rollout, has to wait: nothing at first. */
export function penaltyAfter(of: {
  penalty: Penalty | null | undefined;
  revision: number;
  now: string;
}): Penalty {
  const failures = (of.penalty?.failures ?? 0) + 1;
  const paid = failures - FREE_FAILURES - 1;
  const waitMs = paid < 0 ? 0 : Math.min(LONGEST_MS, FIRST_MS * 2 ** paid);
  const until = new Date(Date.parse(of.now) + waitMs).toISOString();
  return { failures, until, revision: of.revision };
}

/** Until when the device sits in the penalty box, or `undefined` when it does not. */
export function penaltyUntil(device: Device, now: string): string | undefined {
  const { penalty } = device.status;
  if (penalty == null || penalty.until <= now) return undefined;
  return penalty.until;
}

export function penaltyText(device: Device, until: string): string {
  const failures = device.status.penalty?.failures ?? 0;
  return (
    `has failed ${failures} times in a row, over all rollouts; waits until ${until}. ` +
    'Retry the rollout to start it at once'
  );
}
