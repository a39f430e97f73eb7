/** Time, as a dependency, so that a test or a simulation can set it. */
export abstract class Clock {
  abstract now(): Date;

  /** RFC 3339 in UTC with milliseconds. */
  instant(): string {
    return this.now().toISOString();
  }
}

export class SystemClock extends Clock {
  now(): Date {
    return new Date();
  }
}
