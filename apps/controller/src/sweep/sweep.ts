import {
  Inject,
  Injectable,
  type OnApplicationBootstrap,
  type OnModuleDestroy,
} from '@nestjs/common';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { Metrics } from '../adapters/metrics.ts';
import { CONFIG, type Config } from '../config.ts';
import { messageOf } from '../errors.ts';
import { Leadership } from '../kube/leadership.ts';
import { SweepMetrics } from './sweep.metrics.ts';

/** Enqueues, again, everything of one kind that is not in its final state. */
export type SweepTask = () => Promise<void>;

/**
 * The periodic pass, in processes with the role `reconciler`, that makes up for every message and
 * job that was lost. A local timer: it needs neither Redis nor another process, and several
 * sweeps at the same time do no harm, because the queue takes a waiting key only once. In a cluster
 * only the leader sweeps.
 */
@Injectable()
export class Sweep implements OnApplicationBootstrap, OnModuleDestroy {
  readonly #tasks = new Map<string, SweepTask>();
  readonly #lastErrors = new Map<string, string>();
  readonly #metrics: SweepMetrics;
  #timer: NodeJS.Timeout | undefined;
  #running: Promise<void> | undefined;

  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(Database) private readonly database: Database,
    @Inject(Leadership) private readonly leadership: Leadership,
    @Inject(Log) private readonly log: Log,
    @Inject(Metrics) metrics: Metrics,
  ) {
    this.#metrics = new SweepMetrics(metrics);
  }

  /** Adds a task; the name is for the log. Call it in the constructor of a provider. */
  add(name: string, task: SweepTask): void {
    this.#tasks.set(name, task);
  }

  onApplicationBootstrap(): void {
    if (!this.config.roles.has('reconciler')) return;
    const tick = (): void => {
      this.#running ??= this.run().finally(() => {
        this.#running = undefined;
      });
    };
    this.#timer = setInterval(tick, this.config.sweepIntervalMs);
    this.database.whenReady().then(tick, () => undefined);
    this.leadership.whenChanged((isLeader) => (isLeader ? tick() : this.#running));
  }

  async onModuleDestroy(): Promise<void> {
    clearInterval(this.#timer);
    await this.#running;
  }

  /** Runs every task once; one that fails is logged, once for the same error. */
  async run(): Promise<void> {
    if (!this.database.isReady) return;
    const failed = new Set<string>();
    for (const [name, task] of this.#tasks) {
      if (!this.leadership.isLeader()) return;
      const startMs = performance.now();
      try {
        await task();
        this.#lastErrors.delete(name);
      } catch (error) {
        failed.add(name);
        const message = messageOf(error);
        if (this.#lastErrors.get(name) === message) continue;
        this.#lastErrors.set(name, message);
        this.log.warn('sweep failed', { task: name, error: message });
      } finally {
        const seconds = (performance.now() - startMs) / 1000;
        this.#metrics.taskEnded({ task: name, seconds, isFailed: failed.has(name) });
      }
    }
    if (failed.size === 0) this.#metrics.succeeded();
  }
}
