/** How often a step's time is added up. */
const TICK_MS = 200;

export interface StepDeadlineOptions {
  /** What the step may take; null: as long as it needs. Asked at every tick. */
  readonly limitMs: () => number | null;
  /** Whether time counts at the moment. Asked at every tick. */
  readonly counts: () => boolean;
  /** What earlier runs of the same step have taken. */
  readonly spentMs?: number;
  readonly nowMs?: () => number;
  readonly tickMs?: number;
}

/**
 * Ends a step that takes too long. Time is taken from a monotonic clock and added up in ticks, so
 * that time that does not count is left out, and so is a pause of the whole process.
 */
export class StepDeadline {
  readonly #options: StepDeadlineOptions;
  readonly #nowMs: () => number;
  readonly #tickMs: number;
  readonly #controller = new AbortController();
  readonly #timer: NodeJS.Timeout;
  #spentMs: number;
  #lastMs: number;

  constructor(options: StepDeadlineOptions) {
    this.#options = options;
    this.#nowMs = options.nowMs ?? (() => performance.now());
    this.#tickMs = options.tickMs ?? TICK_MS;
    this.#spentMs = options.spentMs ?? 0;
    this.#lastMs = this.#nowMs();
    this.#timer = setInterval(() => this.#tick(), this.#tickMs);
    this.#timer.unref();
  }

  /** Aborted when the time is up. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  get spentMs(): number {
    return this.#spentMs;
  }

  stop(): void {
    if (!this.signal.aborted) this.#tick();
    clearInterval(this.#timer);
  }

  #tick(): void {
    const nowMs = this.#nowMs();
    const elapsedMs = Math.min(nowMs - this.#lastMs, 2 * this.#tickMs);
    this.#lastMs = nowMs;
    if (this.#options.counts()) this.#spentMs += elapsedMs;
    const limitMs = this.#options.limitMs();
    if (limitMs === null || this.#spentMs < limitMs) return;
    clearInterval(this.#timer);
    this.#controller.abort(new Error('the step has taken too long'));
  }
}
