import { Cron } from 'croner';

/**
 * The times that a crontab(5) expression names in a time zone. Where clocks go forward, a time that
 * is skipped is the first one after; where they go back, a time of the day comes once.
 */
export class CronTimes {
  readonly #cron: Cron;

  /** @throws Error that says what is wrong with the expression or the time zone. */
  constructor(expression: string, timeZone: string) {
    this.#cron = new Cron(expression, { timezone: timeZone, mode: '5-part', paused: true });
    // Only a first use finds out about the time zone.
    this.#cron.nextRun(new Date(0));
  }

  /** The last one at or before `nowMs`, in milliseconds since 1970. */
  atOrBefore(nowMs: number): number | undefined {
    return this.#cron.previousRuns(1, new Date(nowMs + 1))[0]?.getTime();
  }

  after(nowMs: number): number | undefined {
    return this.#cron.nextRuns(1, new Date(nowMs))[0]?.getTime();
  }
}
