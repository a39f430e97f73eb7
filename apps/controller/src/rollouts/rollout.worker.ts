import { Inject, Injectable, type OnApplicationBootstrap } from '@nestjs/common';
import { Database } from '../adapters/db.ts';
import { KeyQueue } from '../adapters/queue.ts';
import { CONFIG, type Config } from '../config.ts';
import { Waiting } from '../errors.ts';
import { Leadership } from '../kube/leadership.ts';
import { Sweep } from '../sweep/sweep.ts';
import { RolloutReconciler } from './rollout.reconciler.ts';
import { RECONCILE_QUEUE, RolloutWakeups } from './rollout.wakeups.ts';

const CONCURRENCY = 4;

/**
 * Takes rollouts from the queue, in processes with the role `reconciler`, in a cluster the leader;
 * the sweep brings all.
 */
@Injectable()
export class RolloutWorker implements OnApplicationBootstrap {
  constructor(
    @Inject(CONFIG) private readonly config: Config,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
    @Inject(Database) private readonly database: Database,
    @Inject(RolloutReconciler) private readonly reconciler: RolloutReconciler,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(Leadership) private readonly leadership: Leadership,
    @Inject(Sweep) sweep: Sweep,
  ) {
    sweep.add('rollouts', () => wakeups.wakeAll());
  }

  onApplicationBootstrap(): void {
    if (!this.config.roles.has('reconciler')) return;
    this.queue.consume(
      RECONCILE_QUEUE,
      async (key) => {
        if (!this.database.isReady) throw new Waiting('DatabaseUnavailable', 'no database yet');
        const startMs = performance.now();
        await this.reconciler.reconcile(key);
        this.wakeups.rest(key, performance.now() - startMs);
      },
      {
        concurrency: CONCURRENCY,
        gate: {
          isOpen: () => this.leadership.isLeader(),
          whenChanged: (listener) => void this.leadership.whenChanged(listener),
        },
      },
    );
  }
}
