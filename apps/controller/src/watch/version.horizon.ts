/** What a look at the database tells, `last` read before `writers`. */
export interface VersionObservation {
  /** The last version that was drawn. */
  readonly last: number;
  /** Transactions that may have drawn a version and have not ended. */
  readonly writers: readonly string[];
}

/**
 * Up to which version everything has been committed or given up. Versions are drawn in order but
 * committed in any: one that is missing now may still appear as long as its writer is at work.
 */
export class VersionHorizon {
  #settled = 0;
  #waiting: VersionObservation | undefined;

  /** 0 while nothing is known: then everything there is counts as changed. */
  get settled(): number {
    return this.#settled;
  }

  /** @returns true when a look again soon would tell more. */
  observe(seen: VersionObservation): boolean {
    if (seen.writers.length === 0) {
      this.#settled = Math.max(this.#settled, seen.last);
      this.#waiting = undefined;
      return false;
    }
    const waiting = this.#waiting;
    if (waiting === undefined || !waiting.writers.some((w) => seen.writers.includes(w))) {
      // Whoever was at work when `waiting.last` was the last version has ended.
      this.#settled = Math.max(this.#settled, waiting?.last ?? 0);
      this.#waiting = seen.last > this.#settled ? seen : undefined;
    }
    return this.#waiting !== undefined;
  }
}
