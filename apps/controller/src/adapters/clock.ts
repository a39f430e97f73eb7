/** Time, as a dependency, so that a test or a simulation can set it. */
export abstract class Clock {
  abstract now(): Date;

  /** RFC 3339 in UTC with milliseconds. */
  instant(): string {
    return this.now().toISOString();
  }
}

/** The clock of this machine, moved to what others agree on. */
export class OffsetClock extends Clock {
  readonly #offset: { readonly clockOffsetMs: number };

  /** @param offset is asked each time; it may change. */
  constructor(offset: { readonly clockOffsetMs: number }) {
    super();
    this.#offset = offset;
  }

  now(): Date {
    return new Date(Date.now() + this.#offset.clockOffsetMs);
  }
}

export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }
}
