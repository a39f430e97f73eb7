import { z } from 'zod';

const MICROSECONDS_PER_MS = 1000;

const microseconds = z.coerce.number().int().positive().optional().catch(undefined);

/** What a service manager tells its service, as in sd_notify(3) and sd_watchdog_enabled(3). */
export interface ServiceEnvironment {
  readonly socketPath: string;
  /** It ends the agent when it has not heard of it for so long; null: it does not watch. */
  readonly watchdogMs: number | null;
}

/** @returns null when no service manager wants to hear of this process. */
export function serviceEnvironment(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): ServiceEnvironment | null {
  const { NOTIFY_SOCKET: socketPath = '', WATCHDOG_PID: watched = '' } = environment;
  if (socketPath === '') return null;
  const isWatched = watched === '' || Number(watched) === pid;
  const timeout = isWatched ? microseconds.parse(environment.WATCHDOG_USEC) : undefined;
  return {
    socketPath,
    watchdogMs: timeout === undefined ? null : timeout / MICROSECONDS_PER_MS,
  };
}
