import {
  type Desired,
  type Device,
  SCHEMA_VERSION,
  type Target,
  topics,
} from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { MessageBus } from '../adapters/mqtt.ts';
import { messageOf, NotFound } from '../errors.ts';
import { DeviceStore } from './device.store.ts';

export interface DesiredChange {
  readonly device: string;
  readonly rollout: string;
  readonly attempt: number;
  readonly target: Target;
  readonly seenRevision: number;
}

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
   * Asks a device for a target, unless its desired state is no longer at `seenRevision` or the
   * device is gone: then somebody else was faster, and the next reconcile sees what is to be done.
   */
  async set(change: DesiredChange): Promise<void> {
    try {
      const device = await this.devices.updateStatus(change.device, (current) => {
        const revision = current.status.desired?.revision ?? 0;
        if (revision !== change.seenRevision) return undefined;
        return { ...current.status, desired: this.next(current, change) };
      });
      await this.publish(device);
    } catch (error) {
      if (!(error instanceof NotFound)) throw error;
    }
  }

  /** A publish that is lost is made up for by the sweep. */
  async publish(device: Device): Promise<void> {
    const { name } = device.metadata;
    const { desired } = device.status;
    if (desired === null) return;
    await this.retain(topics.desired(name), JSON.stringify(desired));
  }

  /** Takes back what the broker retains about a device that is no longer known. */
  async forget(device: string): Promise<void> {
    await this.retain(topics.desired(device), '');
    await this.retain(topics.presence(device), '');
  }

  private next(device: Device, change: DesiredChange): Desired {
    const { desired, report } = device.status;
    // A device that was registered anew may have seen more revisions than this record knows.
    const last = Math.max(desired?.revision ?? 0, report?.observedRevision ?? 0);
    return {
      schemaVersion: SCHEMA_VERSION,
      device: change.device,
      revision: last + 1,
      rollout: change.rollout,
      attempt: change.attempt,
      target: change.target,
      issuedAt: this.clock.instant(),
    };
  }

  private async retain(topic: string, payload: string): Promise<void> {
    try {
      await this.bus.publish({ topic, payload, retain: true });
    } catch (error) {
      this.log.debug('not published', { topic, error: messageOf(error) });
    }
  }
}
