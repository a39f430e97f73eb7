import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { childrenOf } from '../support/processes.ts';
import type { ChaosProcess } from './chaos.process.ts';
import type { ChaosStep, FaultKind } from './chaos.schedule.ts';
import type { ChaosWorld } from './chaos.world.ts';

type Effect = (world: ChaosWorld, step: ChaosStep) => Promise<void>;

/** The table of faults: what each kind does to its target. Each resolves when it is over. */
export const FAULT_EFFECTS: Readonly<Record<FaultKind, Effect>> = {
  KillAgent: kill,
  KillController: kill,
  KillRedis: kill,
  KillBroker: kill,
  KillDatabase: kill,
  RestartDatabase: (world, { target }) => processOf(world, target).restart(),
  ForgetBroker: (world, { target, durationMs }) =>
    processOf(world, target).killFor(durationMs, () =>
      rm(join(world.brokerFolder, 'mosquitto.db'), { force: true }),
    ),
  KillCompressor: killCompressor,
  FlushRedis: (world) => world.redis.flush(),
  Freeze: (world, { target, durationMs }) => processOf(world, target).freezeFor(durationMs),
  SilenceLink: silence,
  CutOffDevice: silence,
  CutOffServer: silence,
  SlowLink: async (world, { target, durationMs }) => {
    const link = linkOf(world, target);
    link.set({ kind: 'Slow', delayMs: 150, bytesPerSecond: 200_000 });
    await sleep(durationMs);
    link.set({ kind: 'Clear' });
  },
  ResetLink: async (world, { target }) => {
    linkOf(world, target).reset();
  },
  AbandonLink: async (world, { target }) => {
    linkOf(world, target).abandon();
  },
  FillAgentDisk: fillDisk,
  FillControllerDisk: fillDisk,
};

function kill(world: ChaosWorld, { target, durationMs }: ChaosStep): Promise<void> {
  return processOf(world, target).killFor(durationMs);
}

async function killCompressor(world: ChaosWorld): Promise<void> {
  const controller = processOf(world, 'controller');
  if (!controller.supervised.running) return;
  const children = await childrenOf(controller.supervised.pid);
  for (const pid of children) process.kill(pid, 'SIGKILL');
}

async function silence(world: ChaosWorld, { target, durationMs }: ChaosStep): Promise<void> {
  const link = linkOf(world, target);
  link.set({ kind: 'Silent' });
  await sleep(durationMs);
  link.set({ kind: 'Clear' });
}

async function fillDisk(world: ChaosWorld, { target, durationMs }: ChaosStep): Promise<void> {
  const disk = world.disks.get(target);
  if (disk === undefined) throw new Error(`there is no ${target}`);
  await disk.fill();
  await sleep(durationMs);
  await disk.empty();
}

function processOf(world: ChaosWorld, name: string): ChaosProcess {
  const found = world.processes.get(name);
  if (found === undefined) throw new Error(`there is no process ${name}`);
  return found;
}

function linkOf(world: ChaosWorld, name: string) {
  const found = world.links.get(name);
  if (found === undefined) throw new Error(`there is no ${name}`);
  return found;
}
