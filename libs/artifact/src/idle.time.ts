/** Adds up the time in which something is waited for while nothing is worked on. */
export class IdleTime {
  readonly #nowMs: () => number;
  #totalMs = 0;
  #sinceMs = 0;
  #waits = 0;
  #works = 0;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  get seconds(): number {
    this.#settle();
    return this.#totalMs / 1000;
  }

  waiting<Result>(wait: Promise<Result>): Promise<Result> {
    this.#settle();
    this.#waits++;
    return wait.finally(() => {
      this.#settle();
      this.#waits--;
    });
  }

  working<Result>(work: Promise<Result>): Promise<Result> {
    this.#settle();
    this.#works++;
    return work.finally(() => {
      this.#settle();
      this.#works--;
    });
  }

  #settle(): void {
    const nowMs = this.#nowMs();
    if (this.#waits > 0 && this.#works === 0) this.#totalMs += nowMs - this.#sinceMs;
    this.#sinceMs = nowMs;
  }
}
