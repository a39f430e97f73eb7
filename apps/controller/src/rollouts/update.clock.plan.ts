import type { Member } from '@entrofleet/protocol';

/** The times of a member's last attempt. Time in which it is offline or held does not count. */
export type UpdateClock = Pick<Member, 'startedAt' | 'stoppedAt' | 'stoppedSeconds'>;

export function clockStarted(at: string): UpdateClock {
  return { startedAt: at, stoppedAt: null, stoppedSeconds: 0 };
}

/** @param since when it stopped, if it did not stand still before. */
export function clockStopped(clock: UpdateClock, since: string): UpdateClock {
  const { startedAt, stoppedAt, stoppedSeconds } = clock;
  if (startedAt === null || stoppedAt !== null) return { startedAt, stoppedAt, stoppedSeconds };
  return { startedAt, stoppedAt: since > startedAt ? since : startedAt, stoppedSeconds };
}

export function clockRunning(clock: UpdateClock, now: string): UpdateClock {
  const { startedAt, stoppedAt, stoppedSeconds } = clock;
  const seconds = stoppedAt === null ? 0 : Math.max(0, secondsBetween(stoppedAt, now));
  return { startedAt, stoppedAt: null, stoppedSeconds: stoppedSeconds + seconds };
}

/** Seconds that the attempt has taken until `at`. */
export function clockSeconds(clock: UpdateClock, at: string): number {
  if (clock.startedAt === null) return 0;
  const end = clock.stoppedAt !== null && clock.stoppedAt < at ? clock.stoppedAt : at;
  return Math.max(0, secondsBetween(clock.startedAt, end) - clock.stoppedSeconds);
}

function secondsBetween(from: string, to: string): number {
  return (Date.parse(to) - Date.parse(from)) / 1000;
}
