import type { Metrics } from '../adapters/metrics.ts';

const BUCKETS = [0.001, 0.005, 0.02, 0.1, 0.5, 1, 5, 15, 60];

export class SweepMetrics {
  readonly #seconds;
  readonly #failures;
  readonly #lastSuccess;

  constructor(metrics: Metrics) {
    this.#seconds = metrics.histogram({
      name: 'sweep_duration_seconds',
      help: 'How long a task of the sweep took',
      labels: ['task'],
      buckets: BUCKETS,
    });
    this.#failures = metrics.counter({
      name: 'sweep_failures_total',
      help: 'Tasks of the sweep that failed; the log says why',
      labels: ['task'],
    });
    this.#lastSuccess = metrics.gauge({
      name: 'sweep_last_success_timestamp_seconds',
      help: 'When this process last swept without a failure; 0: never',
    });
  }

  taskEnded(ended: { task: string; seconds: number; isFailed: boolean }): void {
    const { task } = ended;
    this.#seconds.observe({ task }, ended.seconds);
    this.#failures.inc({ task }, ended.isFailed ? 1 : 0);
  }

  succeeded(): void {
    this.#lastSuccess.set(Date.now() / 1000);
  }
}
