import { setTimeout as sleep } from 'node:timers/promises';
import type { SupervisedProcess } from '../../deploy/private/supervised.process.ts';

const START_PAUSE_MS = 300;

export interface Recovery {
  readonly process: string;
  readonly ms: number;
}

/**
 * A process that things happen to, one after the other, and that is started again as often as it
 * ends: what systemd or Kubernetes would do.
 */
export class ChaosProcess {
  readonly name: string;
  readonly supervised: SupervisedProcess;
  readonly recoveries: Recovery[] = [];
  kills = 0;
  freezes = 0;
  /** When it was last well, in `performance.now()` terms, while something is the matter with it. */
  #troubledSinceMs: number | undefined;
  #wellSinceMs = performance.now();
  #work: Promise<void> = Promise.resolve();
  readonly #startTimeoutMs: number;

  constructor(use: {
    readonly name: string;
    readonly supervised: SupervisedProcess;
    readonly startTimeoutMs: number;
  }) {
    this.name = use.name;
    this.supervised = use.supervised;
    this.#startTimeoutMs = use.startTimeoutMs;
  }

  /** Milliseconds since it was started or thawed; `undefined` while it is not to run. */
  get wellForMs(): number | undefined {
    if (this.#troubledSinceMs !== undefined) return undefined;
    return performance.now() - this.#wellSinceMs;
  }

  /** True when it has ended although nobody ended it. */
  get hasEndedByItself(): boolean {
    return this.#troubledSinceMs === undefined && !this.supervised.running;
  }

  /** Kills it, waits, starts it. @param between is done while it is down. */
  killFor(downMs: number, between?: () => Promise<void>): Promise<void> {
    return this.#trouble(async () => {
      this.kills++;
      await this.supervised.kill9();
      await between?.();
      await sleep(downMs);
      await this.#start();
    });
  }

  /** Ends it in order and starts it. */
  restart(): Promise<void> {
    return this.#trouble(async () => {
      await this.supervised.stop();
      await this.#start();
    });
  }

  /** It stands still, its connections stay open. */
  freezeFor(durationMs: number): Promise<void> {
    return this.#trouble(async () => {
      this.freezes++;
      const { pid } = this.supervised;
      process.kill(pid, 'SIGSTOP');
      try {
        await sleep(durationMs);
      } finally {
        process.kill(pid, 'SIGCONT');
      }
    });
  }

  /** Resolves when everything that was to happen to it has happened. */
  async settled(): Promise<void> {
    await this.#work;
  }

  #trouble(work: () => Promise<void>): Promise<void> {
    const done = this.#work.then(async () => {
      this.#troubledSinceMs = performance.now();
      await work();
      this.#troubledSinceMs = undefined;
      this.#wellSinceMs = performance.now();
    });
    this.#work = done.catch(() => undefined);
    return done;
  }

  async #start(): Promise<void> {
    const beginMs = performance.now();
    for (;;) {
      try {
        await this.supervised.start();
        this.recoveries.push({ process: this.name, ms: performance.now() - beginMs });
        return;
      } catch (error) {
        if (performance.now() - beginMs > this.#startTimeoutMs) throw error;
        await sleep(START_PAUSE_MS);
      }
    }
  }
}
