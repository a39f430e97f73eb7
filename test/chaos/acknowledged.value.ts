/** A write that nobody answered may still be carried out so much later. */
const LATE_MS = 60_000;

interface Attempt<T> {
  readonly value: T;
  readonly atMs: number;
  acknowledged: boolean;
}

/** What one object may hold after writes of which some were never answered. */
export class AcknowledgedValue<T> {
  readonly #attempts: Attempt<T>[] = [];
  readonly #nowMs: () => number;

  constructor(nowMs: () => number = () => performance.now()) {
    this.#nowMs = nowMs;
  }

  /** @returns what to call when the write has been acknowledged. */
  attempt(value: T): () => void {
    const attempt = { value, atMs: this.#nowMs(), acknowledged: false };
    this.#attempts.push(attempt);
    return () => {
      attempt.acknowledged = true;
    };
  }

  /** The last value that was acknowledged. */
  get acknowledged(): T | undefined {
    return this.#attempts.findLast((attempt) => attempt.acknowledged)?.value;
  }

  /** True for the last acknowledged value, and for one that may have been written since. */
  mayBe(value: T): boolean {
    const last = this.#attempts.findLast((attempt) => attempt.acknowledged);
    const sinceMs = (last?.atMs ?? Number.NEGATIVE_INFINITY) - LATE_MS;
    const possible = this.#attempts.filter(
      (attempt) => attempt === last || (!attempt.acknowledged && attempt.atMs >= sinceMs),
    );
    return possible.some((attempt) => attempt.value === value);
  }
}
