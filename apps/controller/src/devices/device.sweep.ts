import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Log } from '../adapters/log.ts';
import { CONFIG, type Config } from '../config.ts';
import { RolloutWakeups } from '../rollouts/rollout.wakeups.ts';
import { Sweep } from '../sweep/sweep.ts';
import { DesiredStates } from './desired.states.ts';
import { DeviceIngest } from './device.ingest.ts';
import { silentBefore } from './device.plan.ts';
import { DeviceStore } from './device.store.ts';
import { LivenessStore } from './liveness.store.ts';

/** A device gets this long to answer a desired state before it is told again. */
const PATIENCE_MS = 5000;
/** Devices named in one line of the log. */
const NAMED_MAX = 10;

/** Makes up for messages that were lost: desired states, and last wills. */
@Injectable()
export class DeviceSweep {
  constructor(
    @Inject(Sweep) sweep: Sweep,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(LivenessStore) private readonly liveness: LivenessStore,
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
    const nowMs = this.clock.now().getTime();
    const before = silentBefore({ listeningSinceMs, nowMs, reportIntervalMs });
    if (before !== undefined) await this.setOffline(before);
    await this.desired.publish(await this.devices.laggards(new Date(nowMs - PATIENCE_MS)));
  }

  private async setOffline(before: Date): Promise<void> {
    const silent = await this.liveness.setSilentOffline(before);
    if (silent.length === 0) return;
    const names = silent.map((device) => device.metadata.name);
    this.log.info('devices silent', {
      count: names.length,
      devices: names.slice(0, NAMED_MAX).join(','),
    });
    await this.wakeups.wake(silent);
  }
}
