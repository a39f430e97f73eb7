import type { Strategy, TimeWindow } from '@entrofleet/protocol';
import { CronTimes } from './cron.times.ts';

/** Whether something may happen now, and until when that stays so; `null`: for ever. */
export interface Opening {
  readonly isOpen: boolean;
  readonly until: string | null;
}

export const ALWAYS_OPEN: Opening = { isOpen: true, until: null };

/** Open while one of the windows is; without windows always. Durations are of elapsed time. */
export function openingOf(windows: readonly TimeWindow[], now: string): Opening {
  if (windows.length === 0) return ALWAYS_OPEN;
  const nowMs = Date.parse(now);
  let closesMs = Number.NEGATIVE_INFINITY;
  let opensMs = Number.POSITIVE_INFINITY;
  for (const { cron, timeZone, durationSeconds } of windows) {
    const times = new CronTimes(cron, timeZone);
    const last = times.atOrBefore(nowMs);
    if (last !== undefined) closesMs = Math.max(closesMs, last + durationSeconds * 1000);
    opensMs = Math.min(opensMs, times.after(nowMs) ?? Number.POSITIVE_INFINITY);
  }
  const isOpen = closesMs > nowMs;
  const untilMs = isOpen ? closesMs : opensMs;
  return { isOpen, until: Number.isFinite(untilMs) ? new Date(untilMs).toISOString() : null };
}

/** What is wrong with the windows of a strategy, or `undefined`. */
export function windowFault({ windows }: Strategy): string | undefined {
  for (const kind of ['download', 'activation'] as const) {
    for (const [index, { cron, timeZone }] of windows[kind].entries()) {
      const where = `strategy.windows.${kind}[${index}]`;
      if (!isTimeZone(timeZone)) {
        return `${where}: there is no time zone "${timeZone}"; give an IANA name, e.g. Europe/Berlin`;
      }
      try {
        const times = new CronTimes(cron, timeZone);
        if (times.after(0) === undefined) return `${where}: "${cron}" names no time at all`;
      } catch (error) {
        const reason = error instanceof Error ? error.message : String(error);
        const told = reason.replace(/^Cron\w+: /, '');
        return `${where}: cron "${cron}": ${told}; it has five fields, as in crontab(5)`;
      }
    }
  }
  return undefined;
}

function isTimeZone(name: string): boolean {
  try {
    new Intl.DateTimeFormat('en', { timeZone: name });
    return true;
  } catch {
    return false;
  }
}
