/**
 * Passes the latest value on, at most once in `intervalMs`, one call at a time. Values that come
 * faster replace each other.
 */
export class ProgressThrottle<T> {
  readonly #pass: (value: T) => Promise<void>;
  readonly #intervalMs: number;
  #latest: { value: T } | undefined;
  #loop: Promise<void> | undefined;
  #timer: NodeJS.Timeout | undefined;
  #wake: (() => void) | undefined;
  #closed = false;

  constructor(options: { intervalMs: number; pass: (value: T) => Promise<void> }) {
    this.#pass = options.pass;
    this.#intervalMs = options.intervalMs;
  }

  set(value: T): void {
    if (this.#closed) return;
    this.#latest = { value };
    this.#loop ??= this.#run();
  }

  /** Drops what was not passed on yet; resolves when no call is running any more. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    this.#wake?.();
    await this.#loop;
  }

  async #run(): Promise<void> {
    while (this.#latest !== undefined && !this.#closed) {
      const { value } = this.#latest;
      this.#latest = undefined;
      await this.#pass(value);
      if (this.#closed) break;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        this.#timer = setTimeout(resolve, this.#intervalMs);
      });
    }
    this.#loop = undefined;
  }
}
