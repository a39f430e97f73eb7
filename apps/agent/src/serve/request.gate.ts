/** Too many requests wait already. */
export class QueueFull extends Error {
  readonly reason = 'QueueFull';
}

interface Waiting {
  readonly enter: () => void;
}

/** Lets a bounded number of requests in at once, keeps a bounded number waiting, in order. */
export class RequestGate {
  readonly #concurrency: number;
  readonly #queueLength: number;
  readonly #waiting: Waiting[] = [];
  #inside = 0;

  constructor(options: { concurrency: number; queueLength: number }) {
    this.#concurrency = options.concurrency;
    this.#queueLength = options.queueLength;
  }

  get inside(): number {
    return this.#inside;
  }

  get waiting(): number {
    return this.#waiting.length;
  }

  /** Requests inside and waiting. */
  get busy(): number {
    return this.#inside + this.#waiting.length;
  }

  /**
   * Waits for a place. The function it gives frees the place again.
   * @throws QueueFull at once when the queue is full, or the signal's reason when it aborts.
   */
  async enter(signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted();
    if (this.#inside < this.#concurrency) {
      this.#inside++;
    } else if (this.#waiting.length >= this.#queueLength) {
      throw new QueueFull(`${this.busy} requests run and wait already; try again later`);
    } else {
      await this.#wait(signal);
    }
    let left = false;
    return () => {
      if (left) return;
      left = true;
      this.#leave();
    };
  }

  #wait(signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      const giveUp = (): void => {
        this.#waiting.splice(this.#waiting.indexOf(waiting), 1);
        reject(signal.reason);
      };
      const waiting: Waiting = {
        enter: () => {
          signal.removeEventListener('abort', giveUp);
          resolve();
        },
      };
      this.#waiting.push(waiting);
      signal.addEventListener('abort', giveUp, { once: true });
    });
  }

  /** The place goes straight to the next in the queue, so nobody can slip in between. */
  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#inside--;
    else next.enter();
  }
}
