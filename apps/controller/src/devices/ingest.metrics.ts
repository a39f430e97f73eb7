import type { Metrics } from '../adapters/metrics.ts';
import type { DeviceMessage } from './device.messages.ts';

/** What this process hears of devices. */
export class IngestMetrics {
  readonly #messages;
  readonly #dropped;

  constructor(metrics: Metrics, waiting: () => number) {
    this.#messages = metrics.counter({
      name: 'device_messages_total',
      help: 'Messages of devices, by kind: report, presence',
      labels: ['kind'],
    });
    this.#dropped = metrics.counter({
      name: 'device_messages_dropped_total',
      help: 'Messages that were malformed or spoke for another device; the log names the device',
    });
    metrics.reading(
      {
        name: 'devices_unsaved',
        help: 'Devices whose news wait in memory for the database; the broker keeps the messages',
      },
      () => [{ labels: {}, value: waiting() }],
    );
  }

  heard(kind: DeviceMessage['kind']): void {
    this.#messages.inc({ kind });
  }

  dropped(): void {
    this.#dropped.inc();
  }
}
