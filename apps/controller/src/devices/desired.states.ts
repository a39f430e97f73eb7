import { type Desired, type Device, SCHEMA_VERSION, topics } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { MessageBus } from '../adapters/mqtt.ts';
import { messageOf } from '../errors.ts';
import { type DesiredChange, DeviceStore } from './device.store.ts';

/** Devices asked by one statement. */
const RECORDED_AT_ONCE = 500;
/** Messages handed to the bus at once, so that chunks find a place between them. */
const PUBLISHED_AT_ONCE = 16;

/** What is asked of devices: recorded first, then retained at the broker. */
@Injectable()
export class DesiredStates {
  constructor(
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(MessageBus) private readonly bus: MessageBus,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {}

  /**
   * Asks devices for targets. One whose desired state is no longer at `seenRevision`, or that is
   * gone, is left out: somebody else was faster, and the next reconcile sees what is to be done.
   */
  async set(changes: readonly DesiredChange[]): Promise<void> {
    const words = { schemaVersion: SCHEMA_VERSION, issuedAt: this.clock.instant() } as const;
    for (let at = 0; at < changes.length; at += RECORDED_AT_ONCE) {
      const some = changes.slice(at, at + RECORDED_AT_ONCE);
      const revisions = await this.devices.setDesired(some, words);
      const recorded = some.flatMap(({ seenRevision, previous, ...wanted }): Desired[] => {
        const revision = revisions.get(wanted.device);
        return revision === undefined ? [] : [{ ...words, ...wanted, revision }];
      });
      await this.publishAll(recorded);
    }
  }

  /** A publish that is lost is made up for by the sweep. */
  async publish(devices: readonly Device[]): Promise<void> {
    await this.publishAll(devices.flatMap((device) => device.status.desired ?? []));
  }

  /** Takes back what the broker retains about a device that is no longer known. */
  async forget(device: string): Promise<void> {
    await this.retain(topics.desired(device), '');
    await this.retain(topics.presence(device), '');
  }

  private async publishAll(states: readonly Desired[]): Promise<void> {
    const left = states.values();
    const publishSome = async () => {
      for (const desired of left) {
        await this.retain(topics.desired(desired.device), JSON.stringify(desired));
      }
    };
    await Promise.all(Array.from({ length: PUBLISHED_AT_ONCE }, publishSome));
  }

  private async retain(topic: string, payload: string): Promise<void> {
    try {
      await this.bus.publish({ topic, payload, retain: true });
    } catch (error) {
      this.log.debug('not published', { topic, error: messageOf(error) });
    }
  }
}
