import type { Device, DeviceSpec, devicePatchSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import type { z } from 'zod';
import { EventStore } from '../events/event.store.ts';
import { RolloutWakeups } from '../rollouts/rollout.wakeups.ts';
import { DesiredStates } from './desired.states.ts';
import { effectiveLabels, specChanges } from './device.plan.ts';
import { DeviceStore } from './device.store.ts';

export type DevicePatch = z.infer<typeof devicePatchSchema>;

/** What a client can do with devices. */
@Injectable()
export class DeviceService {
  constructor(
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(DesiredStates) private readonly desired: DesiredStates,
    @Inject(RolloutWakeups) private readonly wakeups: RolloutWakeups,
    @Inject(EventStore) private readonly events: EventStore,
  ) {}

  /** Changes what the patch names. @throws NotFound, Conflict */
  async patch(name: string, patch: DevicePatch): Promise<Device> {
    const { resourceVersion, ...wanted } = patch;
    let before: Device | undefined;
    const after = await this.devices.update(
      name,
      (current) => {
        before = current;
        const reported = current.status.report?.labels ?? {};
        const spec = withPatch(current.spec, wanted);
        return { spec, labels: effectiveLabels(reported, spec.labels) };
      },
      { resourceVersion },
    );
    await this.wakeups.wake(before === undefined ? [after] : [before, after]);
    for (const told of before === undefined ? [] : specChanges(before.spec, after.spec)) {
      await this.events.record({ object: { kind: 'Device', name }, type: 'Normal', ...told });
    }
    return after;
  }

  /** Forgets a device; one that still runs registers again with its next report. */
  async remove(name: string, resourceVersion: string | undefined): Promise<void> {
    const device = await this.devices.delete(name, { resourceVersion });
    await this.desired.forget(name);
    await this.wakeups.wake([device]);
    const told = { type: 'Normal', reason: 'Deleted', message: '' } as const;
    await this.events.record({ object: { kind: 'Device', name }, ...told });
  }
}

function withPatch(spec: DeviceSpec, wanted: Omit<DevicePatch, 'resourceVersion'>): DeviceSpec {
  return {
    labels: wanted.labels ?? spec.labels,
    pinned: wanted.pinned ?? spec.pinned,
    quarantined: wanted.quarantined ?? spec.quarantined,
  };
}
