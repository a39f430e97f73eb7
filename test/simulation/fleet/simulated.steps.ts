import { AgentError } from '../../../apps/agent/src/errors.ts';
import type { HeldModel } from '../../../apps/agent/src/serve/served.model.ts';
import type { SelfTestResult, UpdateSteps } from '../../../apps/agent/src/update.steps.ts';
import {
  SCHEMA_VERSION,
  type Target,
  topics,
  type Want,
} from '../../../libs/protocol/src/index.ts';
import type { SeededRandom } from './seeded.random.ts';
import type { Connection, SimulatedBroker } from './simulated.broker.ts';
import type { SimulatedDisk } from './simulated.disk.ts';
import type { Behaviour } from './simulated.models.ts';
import type { VirtualTime } from './virtual.time.ts';

/** A model in the memory of a simulated device. */
export interface SimulatedModel extends HeldModel {
  readonly wasIntact: boolean;
  /** The fingerprint of the probe was right. */
  isProven: boolean;
  isClosed: boolean;
}

export interface StepWorld {
  readonly device: string;
  readonly time: VirtualTime;
  readonly random: SeededRandom;
  readonly broker: SimulatedBroker;
  readonly connection: Connection;
  readonly disk: SimulatedDisk;
  readonly clockOffMs: number;
  /** All models in memory. */
  readonly models: Set<SimulatedModel>;
  behaviourOf(artifact: string): Behaviour;
  /** The process dies on the spot. */
  die(): void;
  isAlive(): boolean;
}

/** What the model takes of a device's memory, at least. */
export function bytesOf(target: Target): number {
  return Math.min(target.memoryBytes, target.artifact.sizeBytes) + target.kvCacheBytes;
}

const WINDOW_CHUNKS = 4;
const STALL_MS = 3000;
const STEP_MS = 400;

/** What the steps of an update do to the simulated disk, network and memory. */
export function simulatedSteps(world: StepWorld): UpdateSteps<SimulatedModel> {
  return {
    download: async (target, { signal, keep, onProgress }) => {
      try {
        await download({ world, target, signal, onProgress });
      } catch (error) {
        if (signal.aborted || !isDiskFull(error)) throw error;
        if (world.disk.collect(keep) === 0) throw error;
        await download({ world, target, signal, onProgress });
      }
    },
    verify: async (target, { signal }) => {
      await pass(world, signal);
      const { id, chunkCount } = target.artifact;
      const damaged = world.disk.damaged(id, chunkCount);
      if (damaged.length === 0) return null;
      world.disk.forgetChunks(id, damaged);
      return `${damaged.length} of ${chunkCount} chunks are damaged`;
    },
    load: (target, { signal }) => load({ world, target, signal }),
    restore: (target, { signal }) => load({ world, target, signal }),
    test: async (model, { signal, kind }) => {
      await pass(world, signal);
      const { id } = model.target.artifact;
      const behaviour = world.behaviourOf(id);
      if (behaviour.kills) world.die();
      if (!world.isAlive()) return new Promise(() => undefined);
      if (behaviour.miscomputes) throw new AgentError('FingerprintMismatch', 'wrong logits');
      model.isProven = true;
      return measured(world, { artifactId: id, kind, behaviour });
    },
    forgetAhead: async () => undefined,
    collect: async (keep) => {
      world.disk.collect(keep);
    },
  };
}

async function pass(world: StepWorld, signal: AbortSignal): Promise<void> {
  await world.time.sleep(world.random.next() * STEP_MS);
  if (!world.isAlive()) return new Promise(() => undefined);
  signal.throwIfAborted();
}

async function load(of: {
  world: StepWorld;
  target: Target;
  signal: AbortSignal;
}): Promise<SimulatedModel> {
  const { world, target, signal } = of;
  await pass(world, signal);
  const { id, chunkCount } = target.artifact;
  const isIntact = world.disk.damaged(id, chunkCount).length === 0;
  // A reader checks every chunk it decodes.
  if (!isIntact) throw new AgentError('HashMismatch', 'a chunk is damaged');
  const model: SimulatedModel = {
    target,
    wasIntact: isIntact,
    isProven: false,
    isClosed: false,
    close: () => {
      model.isClosed = true;
      world.models.delete(model);
    },
  };
  world.models.add(model);
  return model;
}

function measured(
  world: StepWorld,
  of: { artifactId: string; kind: 'Activation' | 'Periodic'; behaviour: Behaviour },
): SelfTestResult {
  const noise = 0.98 + world.random.next() * 0.04;
  return {
    measurement: {
      kind: of.kind,
      measuredAt: new Date(world.time.nowMs + world.clockOffMs).toISOString(),
      artifactId: of.artifactId,
      threads: 2,
      prefillTokensPerSecond: 100,
      decodeTokensPerSecond: of.behaviour.decodeTokensPerSecond * noise,
      entropyDecodeGigabytesPerSecond: 1,
      loadSeconds: 1,
      peakRssBytes: 1000,
      temperatureCelsius: null,
      fingerprintDeviation: 0,
    },
    sample: null,
  };
}

/** Asks for what is lacking and writes what comes, as the agent's download does. */
async function download(of: {
  world: StepWorld;
  target: Target;
  signal: AbortSignal;
  onProgress: Parameters<UpdateSteps<SimulatedModel>['download']>[1]['onProgress'];
}): Promise<void> {
  const { world, target, signal } = of;
  const { broker, connection, disk, device, time } = world;
  const { id, chunkCount, chunkSizeBytes } = target.artifact;
  const report = (): number => {
    const held = chunkCount - disk.lacking(id, chunkCount).count;
    of.onProgress({
      chunksTotal: chunkCount,
      chunksHeld: held,
      bytesTotal: chunkCount * chunkSizeBytes,
      bytesHeld: held * chunkSizeBytes,
      bytesReceived: held * chunkSizeBytes,
      bytesDuplicate: 0,
      chunksCorrupt: 0,
      linkBytesPerSecond: null,
    });
    return held;
  };
  report();
  if (disk.hasAll(id, chunkCount)) return;
  const ended = Promise.withResolvers<void>();
  let sinceWant = 0;
  let isOver = false;
  let unstall = (): void => undefined;
  const want = (): void => {
    if (isOver) return;
    sinceWant = 0;
    unstall();
    unstall = time.after(STALL_MS * (0.75 + Math.random() / 2), want);
    const lacking = Buffer.from(disk.lacking(id, chunkCount).toBytes()).toString('base64');
    const message: Want = {
      schemaVersion: SCHEMA_VERSION,
      device,
      artifact: id,
      window: WINDOW_CHUNKS,
      chunkCount,
      lacking,
    };
    broker.publish(connection, { topic: topics.want(device), payload: JSON.stringify(message) });
  };
  const take = (topic: string): void => {
    if (isOver || !world.isAlive()) return;
    const index = Number(topic.split('/').at(-1));
    try {
      disk.writeChunk({ artifact: id, chunks: chunkCount, index, chunkBytes: chunkSizeBytes });
    } catch (error) {
      ended.reject(error);
      return;
    }
    const held = report();
    if (held === chunkCount) ended.resolve();
    else if (++sinceWant * 2 >= WINDOW_CHUNKS) want();
  };
  const unsubscribe = broker.subscribe(connection, topics.chunksOf(id), ({ topic }) => take(topic));
  connection.onConnected.add(want);
  const abort = (): void => ended.resolve();
  signal.addEventListener('abort', abort);
  try {
    want();
    await ended.promise;
    signal.throwIfAborted();
    disk.sync(id);
  } finally {
    isOver = true;
    unstall();
    unsubscribe();
    connection.onConnected.delete(want);
    signal.removeEventListener('abort', abort);
  }
}

function isDiskFull(error: unknown): boolean {
  return error instanceof Error && 'code' in error && error.code === 'ENOSPC';
}
