import type { Device } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { CONFIG, type Config } from '../config.ts';
import { RolloutWakeups } from '../rollouts/rollout.wakeups.ts';
import { Sweep } from '../sweep/sweep.ts';
import { DesiredStates } from './desired.states.ts';
import { DeviceIngest } from './device.ingest.ts';
import { isSilent, lagsBehind } from './device.plan.ts';
import { DeviceStore } from './device.store.ts';

/** A device gets this long to answer a desired state before it is told again. */
const PATIENCE_MS = 5000;

/** Makes up for messages that were lost: desired states, and last wills. */
@Injectable()
export class DeviceSweep {
  constructor(
    @Inject(Sweep) sweep: Sweep,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(DeviceIngest) private readonly ingest: DeviceIngest,
    @Inject(DesiredStates) private readonly desired: DesiredStates,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(Clock) private readonly clock: Clock,
    @Inject(Log) private readonly log: Log,
  ) {
    sweep.add('devices', () => this.run());
  }

  async run(): Promise<void> {
    const listeningSinceMs = this.ingest.listeningSinceMs;
    if (listeningSinceMs === undefined) return;
    const { reportIntervalMs } = this.config;
    const lost: Device[] = [];
    for await (const device of this.devices.all()) {
      const nowMs = this.clock.now().getTime();
      if (isSilent(device, { listeningSinceMs, nowMs, reportIntervalMs })) {
        lost.push(await this.setOffline(device));
      } else if (lagsBehind(device, { nowMs, patienceMs: PATIENCE_MS })) {
        await this.desired.publish([device]);
      }
    }
    await this.wakeups.wake(lost);
  }

  private setOffline(device: Device): Promise<Device> {
    const { name } = device.metadata;
    this.log.info('device silent', { device: name, lastSeen: device.status.lastSeen });
    return this.devices.updateStatus(name, ({ status }) =>
      // It may have spoken since it was read.
      status.lastSeen === device.status.lastSeen ? { ...status, online: false } : undefined,
    );
  }
}
