import { setTimeout as sleep } from 'node:timers/promises';

export interface SyncQueueOptions {
  /** How many keys are worked on at the same time; one key never is. */
  readonly concurrency: number;
  /** Looks at a key. @returns after how long to look again; `undefined`: when something happens. */
  readonly work: (key: string) => Promise<number | undefined>;
  readonly onError: (key: string, error: unknown, retryMs: number) => void;
  readonly firstRetryMs?: number;
  readonly lastRetryMs?: number;
}

interface Waiting {
  readonly timer: NodeJS.Timeout;
  readonly atMs: number;
}

const FIRST_RETRY_MS = 500;
const LAST_RETRY_MS = 60_000;

/**
 * Keys to be looked at: each once however often it is added, and once more when it is added while
 * it is being looked at. One that fails is tried again, later every time.
 */
export class SyncQueue {
  readonly #options: Required<SyncQueueOptions>;
  readonly #ready = new Set<string>();
  readonly #waiting = new Map<string, Waiting>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #failures = new Map<string, number>();
  #isOpen = true;

  constructor(options: SyncQueueOptions) {
    this.#options = { firstRetryMs: FIRST_RETRY_MS, lastRetryMs: LAST_RETRY_MS, ...options };
  }

  add(key: string): void {
    if (!this.#isOpen) return;
    this.#forget(key);
    this.#ready.add(key);
    this.#start();
  }

  /** Not before then, unless it is added otherwise; of several times the earliest counts. */
  addLater(key: string, delayMs: number): void {
    if (!this.#isOpen || this.#ready.has(key)) return;
    const atMs = performance.now() + delayMs;
    const known = this.#waiting.get(key);
    if (known !== undefined && known.atMs <= atMs) return;
    clearTimeout(known?.timer);
    const timer = setTimeout(() => this.add(key), delayMs).unref();
    this.#waiting.set(key, { timer, atMs });
  }

  /** Drops what waits; resolves when nothing is worked on any more. */
  async close(): Promise<void> {
    this.#isOpen = false;
    this.#ready.clear();
    for (const key of [...this.#waiting.keys()]) this.#forget(key);
    await Promise.all(this.#running.values());
  }

  /** Resolves when nothing is ready or worked on; what waits for its time is not waited for. */
  async whenIdle(): Promise<void> {
    while (this.#ready.size > 0 || this.#running.size > 0) {
      await Promise.all(this.#running.values());
      await sleep(0);
    }
  }

  #forget(key: string): void {
    clearTimeout(this.#waiting.get(key)?.timer);
    this.#waiting.delete(key);
  }

  #start(): void {
    for (const key of this.#ready) {
      if (this.#running.size >= this.#options.concurrency) return;
      if (this.#running.has(key)) continue;
      this.#ready.delete(key);
      const run = this.#run(key).finally(() => {
        this.#running.delete(key);
        this.#start();
      });
      this.#running.set(key, run);
    }
  }

  async #run(key: string): Promise<void> {
    try {
      const againMs = await this.#options.work(key);
      this.#failures.delete(key);
      if (againMs !== undefined) this.addLater(key, againMs);
    } catch (error) {
      const failures = this.#failures.get(key) ?? 0;
      this.#failures.set(key, failures + 1);
      const { firstRetryMs, lastRetryMs } = this.#options;
      const retryMs = Math.min(lastRetryMs, firstRetryMs * 2 ** Math.min(failures, 30));
      this.#options.onError(key, error, retryMs);
      this.addLater(key, retryMs);
    }
  }
}
