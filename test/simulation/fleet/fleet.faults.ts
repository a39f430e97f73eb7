import {
  aborted,
  approved,
  resumed,
  retried,
} from '../../../apps/controller/src/rollouts/rollout.actions.plan.ts';
import { deviceScenario, type Fault } from './fleet.scenario.ts';
import { type FleetWorld, ROLLOUT } from './fleet.world.ts';
import type { SimulatedDevice } from './simulated.device.ts';

type Effect = (world: FleetWorld, fault: Fault, device: SimulatedDevice) => void;

/** What each kind of fault does; what is broken is mended after the fault's time. */
export const FAULTS: Readonly<Record<Fault['kind'], Effect>> = {
  KillDevice: (world, { forMs }, device) => {
    device.kill();
    world.time.after(Math.min(forMs, 20_000), () => device.boot());
  },
  LosePower: (world, { forMs }, device) => {
    device.losePower();
    world.time.after(forMs, () => device.boot());
  },
  CutDevice: (world, { forMs }, device) => {
    device.cut();
    world.time.after(forMs, () => device.reconnect());
  },
  FillDisk: (world, { forMs }, device) => {
    device.disk.isFull = true;
    world.time.after(forMs, () => {
      device.disk.isFull = false;
    });
  },
  RotChunk: (_world, _fault, device) => device.rot(),
  SlowDisk: (world, { forMs }, device) => {
    device.disk.slowMs = 2000;
    world.time.after(forMs, () => {
      device.disk.slowMs = 0;
    });
  },
  KillController: (world, { forMs }) => {
    world.controller.kill();
    world.time.after(Math.min(forMs, 120_000), () => world.controller.start());
  },
  CutController: (world, { forMs }) => {
    world.controller.cut();
    world.time.after(forMs, () => world.controller.reconnect());
  },
  ForgetBroker: (world) => {
    const { broker, controller, devices } = world;
    broker.forget();
    controller.cut();
    for (const device of devices) device.cut();
    world.time.after(500, () => {
      controller.reconnect();
      for (const device of devices) device.reconnect();
    });
  },
  BadNetwork: (world, { forMs, place }) => {
    world.broker.faults = { loss: 0.3 * place, duplicate: 0.2, delayMs: 3000 * place };
    world.time.after(forMs, () => healNetwork(world));
  },
  CrashReconciles: (world, { forMs }) => {
    world.controller.crashChance = 0.3;
    world.time.after(forMs, () => {
      world.controller.crashChance = 0;
      world.controller.start();
    });
  },
  JoinDevice: (world) => {
    world.join(deviceScenario(world.random, world.devices.length)).boot();
  },
  MoveDevice: (world, { forMs }, device) => {
    const label = (fleet: string) =>
      world.controller.changeDevice(device.name, (object) => ({
        ...object,
        metadata: { ...object.metadata, labels: { ...object.metadata.labels, fleet } },
        spec: { ...object.spec, labels: { fleet } },
      }));
    label('elsewhere');
    world.time.after(forMs, () => label('simulated'));
  },
  PinDevice: (world, { forMs }, device) => setSpec(world, { device, forMs, field: 'pinned' }),
  QuarantineDevice: (world, { forMs }, device) =>
    setSpec(world, { device, forMs, field: 'quarantined' }),
  Pause: (world) =>
    world.controller.act(ROLLOUT, (_progress, spec) => ({ spec: { ...spec, paused: true } })),
  Resume: (world) =>
    world.controller.act(ROLLOUT, (progress, spec) => ({
      progress: resumed(progress, world.time.instant()),
      spec: { ...spec, paused: false },
    })),
  Approve: (world) =>
    world.controller.act(ROLLOUT, (progress) => ({
      progress: approved(progress, progress.status.currentWave + 1),
    })),
  Retry: (world) =>
    world.controller.act(ROLLOUT, (progress) => ({
      progress: retried(progress, world.time.instant()),
    })),
  Abort: (world) =>
    world.controller.act(ROLLOUT, (progress) => {
      const { generation } = world.rollout.metadata;
      return { progress: aborted(progress, { now: world.time.instant(), generation }) };
    }),
  Apply: (world, { place }) => {
    const { later } = world.scenario;
    const spec = later[Math.floor(place * later.length)];
    if (spec !== undefined) world.controller.apply(ROLLOUT, spec);
  },
};

export function healNetwork(world: FleetWorld): void {
  world.broker.faults = { loss: 0, duplicate: 0, delayMs: 5 };
}

function setSpec(
  world: FleetWorld,
  of: { device: SimulatedDevice; forMs: number; field: 'pinned' | 'quarantined' },
): void {
  const set = (value: boolean) =>
    world.controller.changeDevice(of.device.name, (object) => ({
      ...object,
      spec: { ...object.spec, [of.field]: value },
    }));
  set(true);
  world.time.after(of.forMs, () => set(false));
}
