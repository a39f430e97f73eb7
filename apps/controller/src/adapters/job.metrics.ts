import type { Metrics } from './metrics.ts';
import type { HandledKey } from './queue.ts';

/** From a look at a rollout to the encoding of a large tensor. */
const BUCKETS = [0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 3600];

/** What this process did with the keys that it was handed. */
export class JobMetrics {
  readonly #jobs;
  readonly #seconds;

  constructor(metrics: Metrics) {
    this.#jobs = metrics.counter({
      name: 'jobs_total',
      help:
        'Keys that this process took from a queue, by outcome: handled, waiting for something ' +
        'else, failed (tried again or given up), returned because the process stops',
      labels: ['queue', 'outcome'],
    });
    this.#seconds = metrics.histogram({
      name: 'job_duration_seconds',
      help: 'How long this process worked on a key',
      labels: ['queue'],
      buckets: BUCKETS,
    });
  }

  handled({ queue, outcome, seconds }: HandledKey): void {
    this.#jobs.inc({ queue, outcome });
    this.#seconds.observe({ queue }, seconds);
  }
}
