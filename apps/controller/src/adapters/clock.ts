/** Time, as a dependency, so that a test or a simulation can set it. */
export abstract class Clock {
  abstract now(): Date;

  /** RFC 3339 in UTC with milliseconds. */
  instant(): string {
    return this.now().toISOString();
  }
}

/** The clock of this machine, or of others who agree on a time, by how far that is ahead. */
export class SystemClock extends Clock {
  readonly #ahead: { readonly clockOffsetMs: number };

  /** @param ahead is asked each time; it may change. */
  constructor(ahead: { readonly clockOffsetMs: number } = { clockOffsetMs: 0 }) {
    super();
    this.#ahead = ahead;
  }

  now(): Date {
    return new Date(Date.now() + this.#ahead.clockOffsetMs);
  }
}
