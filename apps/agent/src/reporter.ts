import { type Report, reportSchema, SCHEMA_VERSION, topics } from '@entrofleet/protocol';
import type { Bus } from './bus.ts';
import type { Log } from './log.ts';

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
}

/**
 * Says the whole reported state on every change and as a heartbeat. While the bus is offline
 * nothing is queued: the newest state is read and said when it is back.
 */
export class Reporter {
  readonly #options: ReporterOptions;
  #sequence = 0;
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
    const { device, boot, bus, log, read } = this.#options;
    if (!bus.connected) return;
    try {
      const state = await read();
      const at = new Date().toISOString();
      const sequence = ++this.#sequence;
      const report = { schemaVersion: SCHEMA_VERSION, device, boot, sequence, at, ...state };
      const payload = JSON.stringify(reportSchema.parse(report));
      bus.publish({ topic: topics.report(device), payload });
    } catch (error) {
      log.error(`the state could not be reported: ${String(error)}`);
    }
  }
}
