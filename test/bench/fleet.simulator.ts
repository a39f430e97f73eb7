/**
 * Many simulated devices in one process, steered by its parent over IPC; see fleet.bench.ts.
 * Reports are spread evenly over the interval.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { ChunkProof, type FleetCounts, FleetDevice } from './fleet.device.ts';
import type { SimulatorAnswer, SimulatorCommand } from './fleet.messages.ts';

const CONNECTS_AT_ONCE = 50;
const CONNECT_PAUSE_MS = 100;
const TICK_MS = 50;

const counts: FleetCounts = { reports: 0, chunkBytes: 0, active: 0, closed: 0, damaged: 0 };
const proof = new ChunkProof();
const devices: FleetDevice[] = [];
let reporter: NodeJS.Timeout | undefined;

async function connectAll(command: Extract<SimulatorCommand, { kind: 'Connect' }>): Promise<void> {
  const { port, phaseMs } = command;
  while (devices.length < command.devices) {
    const some = Array.from(
      { length: Math.min(CONNECTS_AT_ONCE, command.devices - devices.length) },
      (_, i) => {
        const name = `d${String(devices.length + i).padStart(5, '0')}`;
        return new FleetDevice(name, { port, phaseMs, counts, proof });
      },
    );
    await Promise.all(some.map((device) => device.connect()));
    devices.push(...some);
    await sleep(CONNECT_PAUSE_MS);
  }
}

/** Every device reports once in the interval; each tick a run of them is due. */
function reportEvery(intervalMs: number): void {
  clearInterval(reporter);
  let due = 0;
  let next = 0;
  let lastMs = performance.now();
  reporter = setInterval(() => {
    const nowMs = performance.now();
    due += ((nowMs - lastMs) * devices.length) / intervalMs;
    lastMs = nowMs;
    for (; due >= 1; due--) devices[next++ % devices.length]?.report();
  }, TICK_MS);
}

async function handle(command: SimulatorCommand): Promise<void> {
  if (command.kind === 'Connect') await connectAll(command);
  if (command.kind === 'Report') reportEvery(command.intervalMs);
  if (command.kind === 'Rest') clearInterval(reporter);
  counts.closed = devices.filter((device) => !device.isConnected).length;
  const sent = devices.reduce((sum, device) => sum + device.sequence, 0);
  const { user, system } = process.cpuUsage();
  const answer: SimulatorAnswer = {
    id: command.id,
    ...counts,
    sent,
    cpuMs: (user + system) / 1000,
  };
  process.send?.(answer);
}

process.on('message', (command: SimulatorCommand) => {
  handle(command).catch((error: unknown) => {
    console.error(error);
    process.exit(1);
  });
});
process.on('disconnect', () => process.exit(0));
