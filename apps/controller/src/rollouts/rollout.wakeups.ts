import { type Device, selectorMatches } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { KeyQueue } from '../adapters/queue.ts';
import { RolloutStore } from './rollout.store.ts';

/** The queue of rollouts that need a look. */
export const RECONCILE_QUEUE = 'reconcile';

/** Enqueues the rollouts that a change concerns. */
@Injectable()
export class RolloutWakeups {
  constructor(
    @Inject(RolloutStore) private readonly rollouts: RolloutStore,
    @Inject(KeyQueue) private readonly queue: KeyQueue,
  ) {}

  /** The rollouts that select or own one of the devices, as they were or as they are. */
  async wake(devices: readonly Device[]): Promise<void> {
    if (devices.length === 0) return;
    for (const { name, selector } of await this.rollouts.claims()) {
      const concerned = devices.some(
        (device) =>
          device.status.desired?.rollout === name ||
          selectorMatches(selector, device.metadata.labels),
      );
      if (concerned) this.wakeOne(name);
    }
  }

  async wakeAll(): Promise<void> {
    for (const { name } of await this.rollouts.claims()) this.wakeOne(name);
  }

  wakeOne(name: string): void {
    this.queue.enqueue(RECONCILE_QUEUE, name);
  }
}
