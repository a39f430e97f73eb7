import { type Report, reportSchema, SCHEMA_VERSION, topics } from '@entrofleet/protocol';
import type { Bus } from './bus.ts';
import type { Log } from './log.ts';
import type { ReportRing } from './report.ring.ts';

/** The reported state without what the reporter itself adds. */
export type ReportedState = Omit<Report, 'schemaVersion' | 'device' | 'boot' | 'sequence' | 'at'>;

export interface ReporterOptions {
  readonly device: string;
  readonly boot: number;
  readonly bus: Bus;
  readonly log: Log;
  /** Reads the whole state at the moment of saying it. */
  readonly read: () => Promise<ReportedState>;
  readonly heartbeatMs: number;
  /** Least time between two reports about progress. */
  readonly progressMs: number;
  /** Keeps what nobody could be told. Default: nothing is kept. */
  readonly ring?: Pick<ReportRing, 'add' | 'oldest' | 'drop'>;
}

/**
 * Says the whole reported state on every change and as a heartbeat. What an operator will want to
 * know later (phases, failures, measurements) is kept while nobody listens and said in order when
 * the bus is back; the newest state is said after it.
 */
export class Reporter {
  readonly #options: ReporterOptions;
  #sequence = 0;
  #told = '';
  #timer: NodeJS.Timeout | undefined;
  #dueMs = Number.POSITIVE_INFINITY;
  #saying: Promise<void> = Promise.resolve();
  #stopped = false;

  constructor(options: ReporterOptions) {
    this.#options = options;
    options.bus.onConnected(() => this.changed());
    this.#schedule(options.heartbeatMs);
  }

  /** The state has changed: it is said at once. */
  changed(): void {
    this.#schedule(0);
  }

  /** A download went on: it is said within the progress interval. */
  progressed(): void {
    this.#schedule(this.#options.progressMs);
  }

  /** Says the last state, then nothing any more. */
  async stop(): Promise<void> {
    this.#stopped = true;
    clearTimeout(this.#timer);
    await this.#saying;
    await this.#say();
  }

  #schedule(delayMs: number): void {
    if (this.#stopped) return;
    const dueMs = performance.now() + delayMs;
    if (dueMs >= this.#dueMs) return;
    this.#dueMs = dueMs;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#due(), delayMs);
    this.#timer.unref();
  }

  #due(): void {
    this.#dueMs = Number.POSITIVE_INFINITY;
    this.#schedule(this.#options.heartbeatMs);
    this.#saying = this.#saying.then(() => this.#say());
  }

  async #say(): Promise<void> {
    const { bus, log, read, ring } = this.#options;
    try {
      if (!bus.connected && ring === undefined) return;
      const state = await read();
      const isNews = newsOf(state) !== this.#told;
      if (!bus.connected && !isNews) return;
      const report = this.#reportOf(state);
      this.#told = newsOf(state);
      if (bus.connected && (await this.#drain()) && (await this.#publish(report, isNews))) return;
      if (isNews) await ring?.add(report);
    } catch (error) {
      log.error(`the state could not be reported: ${String(error)}`);
    }
  }

  #reportOf(state: ReportedState): Report {
    const { device, boot } = this.#options;
    const at = new Date().toISOString();
    const sequence = ++this.#sequence;
    return reportSchema.parse({
      ...{ schemaVersion: SCHEMA_VERSION, device, boot, sequence, at },
      ...state,
    });
  }

  /** Says what was kept, oldest first. @returns false when the bus went away meanwhile. */
  async #drain(): Promise<boolean> {
    const { ring } = this.#options;
    for (;;) {
      const report = await ring?.oldest();
      if (report === undefined) return true;
      if (!(await this.#publish(report, true))) return false;
      await ring?.drop();
    }
  }

  /** News counts as said only when the broker has taken it. */
  async #publish(report: Report, isNews: boolean): Promise<boolean> {
    const { bus, device } = this.#options;
    const message = { topic: topics.report(device), payload: JSON.stringify(report) };
    return isNews ? bus.publishAcknowledged(message) : bus.publish(message);
  }
}

/** What of a state is worth keeping: where the device stands, what failed, what was measured. */
function newsOf(state: ReportedState): string {
  const { phase, observedRevision, observedAttempt, active, error, rolledBack } = state;
  const { measurement, baseline } = state;
  const measuredAt = [measurement?.measuredAt, baseline?.measuredAt];
  return JSON.stringify([
    ...[phase, observedRevision, observedAttempt, active?.artifactId],
    ...[error, rolledBack, measuredAt],
  ]);
}
