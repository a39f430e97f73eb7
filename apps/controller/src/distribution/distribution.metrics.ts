import type { DistributionPlan } from '@entrofleet/distribution';
import type { Metrics } from '../adapters/metrics.ts';

/** What this process hands out. */
export class DistributionMetrics {
  readonly #chunks;
  readonly #bytes;
  readonly #failures;
  readonly #wants;
  readonly #dropped;

  constructor(metrics: Metrics, plan: Pick<DistributionPlan, 'wanted'>) {
    this.#chunks = metrics.counter({
      name: 'chunks_published_total',
      help: 'Chunks that the broker has taken, each once for all devices that want it',
    });
    this.#bytes = metrics.counter({
      name: 'chunk_bytes_published_total',
      help: 'Bytes of the chunks that the broker has taken',
    });
    this.#failures = metrics.counter({
      name: 'chunk_failures_total',
      help: 'Chunks that could not be read or sent; the log says why',
    });
    this.#wants = metrics.counter({
      name: 'want_lists_total',
      help: 'Lists of lacking chunks that devices have sent to this process',
    });
    this.#dropped = metrics.counter({
      name: 'want_lists_dropped_total',
      help: 'Want-lists that were malformed or did not fit their artifact; the log names the device',
    });
    metrics.reading(
      {
        name: 'devices_fetching',
        help: 'Devices that this process knows to lack chunks of an artifact',
      },
      () => [{ labels: {}, value: plan.wanted.devices }],
    );
    metrics.reading(
      {
        name: 'chunks_wanted',
        help: 'Chunks that fetching devices lacked when they last asked, summed over the devices',
      },
      () => [{ labels: {}, value: plan.wanted.chunks }],
    );
    metrics.reading(
      {
        name: 'chunk_bytes_wanted',
        help: 'Bytes of the wanted chunks, each counted as the largest of its artifact',
      },
      () => [{ labels: {}, value: plan.wanted.bytes }],
    );
  }

  asked(): void {
    this.#wants.inc();
  }

  dropped(): void {
    this.#dropped.inc();
  }

  published(bytes: number): void {
    this.#chunks.inc();
    this.#bytes.inc(bytes);
  }

  failed(): void {
    this.#failures.inc();
  }
}
