import { copyFile, mkdir } from 'node:fs/promises';
import { setPriority } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { encodeArtifact, openCheckpoint } from '@entrofleet/artifact';
import {
  type Artifact,
  type Desired,
  type Report,
  type Target,
  topics,
} from '@entrofleet/protocol';
import pg from 'pg';
import { type PrivateService, startAgent } from '../../deploy/private/services.ts';
import { LARGE_GEOMETRY, writeLargeCheckpoint } from '../fixtures/large.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { exampleArtifact } from '../support/fleet.examples.ts';
import type { ApiTimes } from './fleet.crowd.ts';
import { brokerEgress, diskRate } from './fleet.limits.ts';
import {
  ApiProbe,
  coresUsed,
  cpuSecondsOf,
  peakRssBytes,
  percentile,
  round,
} from './fleet.meters.ts';
import { type FleetServices, startServices } from './fleet.services.ts';
import { WireClient } from './mqtt.wire.ts';

/** Of the model that is fetched; each layer encodes to some 10 MB. */
const GEOMETRY = {
  ...LARGE_GEOMETRY,
  hiddenSize: 1024,
  intermediateSize: 2816,
  heads: 16,
  keyValueHeads: 8,
  vocabularySize: 32_000,
  shards: 1,
};
/** Too little for the model, so that it is fetched and checked, but not unpacked meanwhile. */
const MEMORY_BUDGET_MIB = '256';
/** In a fleet they have processors of their own; here they leave the controller and broker theirs. */
const AGENT_NICENESS = 19;
const STARTED_AT_ONCE = 8;
const TIMEOUT_MS = 600_000;

export interface AgentsOptions {
  readonly agents: number;
  /** Most chunk bytes that the controller publishes in a second; 0: no limit. */
  readonly bytesPerSecond: number;
  /** 20 make an artifact of 256 MB. */
  readonly layers: number;
  /** Has the artifact after the first run, so that another one need not encode it. */
  readonly cacheFolder: string;
  readonly onProgress: (line: string) => void;
}

export interface TransferResult {
  readonly agents: number;
  /** Until the median and the last agent had fetched and checked everything. */
  readonly medianSeconds: number;
  readonly seconds: number;
  readonly publishedBytes: number;
  readonly publishedRatio: number;
  readonly cores: Record<string, number>;
  /** Processor time of all agents for what they fetched, checked and stored. */
  readonly agentCpuMsPerMegabyte: number;
}

export interface AgentsResult {
  readonly artifactBytes: number;
  readonly bytesPerSecond: number;
  readonly alone: TransferResult;
  readonly together: TransferResult;
  readonly wallRatio: number;
  /** What the broker hands to so many subscribers that only count, in bytes per second. */
  readonly brokerEgressBytesPerSecond: number;
  /** What the disk takes that all agents share here. */
  readonly diskBytesPerSecond: number;
  readonly agentNiceness: number;
  readonly egressBytesPerSecond: number;
  readonly controllerPeakRssBytes: number;
  readonly api: ApiTimes;
}

/** Full agents that fetch, check and store one large artifact: one alone, then all at once. */
export async function measureAgents(options: AgentsOptions): Promise<AgentsResult> {
  const artifact = await largeArtifact(options);
  const services = await startServices({
    database: 'postgresql',
    environment: { DISTRIBUTION_BYTES_PER_SECOND: String(options.bytesPerSecond) },
  });
  const agents: PrivateService[] = [];
  try {
    await register(services, artifact);
    const first = await started(services, agents, 1);
    const alone = await transfer({ services, artifact, agents, names: first });
    options.onProgress(JSON.stringify({ alone }));
    const names = await started(services, agents, options.agents);
    const probe = new ApiProbe(new ApiClient(services.controller.url), [
      '/api/v1/devices?limit=100',
      '/api/v1/rollouts',
    ]);
    const together = await transfer({ services, artifact, agents, names });
    const api = await probe.stop();
    const controllerPeakRssBytes = peakRssBytes(services.controller.pid);
    options.onProgress(JSON.stringify({ together, api, controllerPeakRssBytes }));
    await Promise.all(agents.splice(0).map((agent) => agent.kill9()));
    const brokerEgressBytesPerSecond = await brokerEgress(services.broker.port, options.agents);
    const diskBytesPerSecond = await diskRate();
    options.onProgress(JSON.stringify({ brokerEgressBytesPerSecond, diskBytesPerSecond }));
    return {
      artifactBytes: artifact.ref.sizeBytes,
      bytesPerSecond: options.bytesPerSecond,
      alone,
      together,
      wallRatio: round(together.seconds / alone.seconds),
      brokerEgressBytesPerSecond,
      diskBytesPerSecond,
      agentNiceness: AGENT_NICENESS,
      egressBytesPerSecond: Math.round(
        (options.agents * artifact.ref.sizeBytes) / together.seconds,
      ),
      controllerPeakRssBytes,
      api,
    };
  } finally {
    await Promise.all(agents.map((agent) => agent.kill9()));
    await services.stop();
  }
}

type LargeArtifact = Artifact & { readonly path: string };

async function largeArtifact(options: AgentsOptions): Promise<LargeArtifact> {
  const folder = options.cacheFolder;
  await mkdir(folder, { recursive: true });
  const path = join(folder, 'artifact.efa');
  const geometry = { ...GEOMETRY, layers: options.layers };
  await writeLargeCheckpoint(join(folder, 'checkpoint'), geometry);
  const checkpoint = await openCheckpoint(join(folder, 'checkpoint'));
  const recipe = { kind: 'affine', bits: 8 } as const;
  const { ref } = await encodeArtifact({ checkpoint, recipe, path, threads: 2 });
  await checkpoint.close();
  options.onProgress(`the artifact has ${ref.sizeBytes} bytes`);
  const known = { model: 'large', memoryBytes: 1024 * 1024 };
  return {
    ...exampleArtifact({ ...known, id: ref.id }),
    ref: { ...ref, headerChunks: [...ref.headerChunks] },
    path,
  };
}

/** As the controller would have it after compressing a model; its evidence is of no use here. */
async function register(services: FleetServices, artifact: LargeArtifact): Promise<void> {
  const { path, ...document } = artifact;
  const client = new pg.Client({ connectionString: services.databaseUrl });
  await client.connect();
  await client.query(
    `insert into artifacts (model, variant, id, created_at, document)
     values ($1, $2, $3, now(), $4)`,
    [document.model, document.variant, document.id, JSON.stringify(document)],
  );
  await client.end();
  await copyFile(path, join(services.controller.folder, 'blobs', `${document.id}.efa`));
}

async function started(
  services: FleetServices,
  agents: PrivateService[],
  count: number,
): Promise<string[]> {
  const names = Array.from({ length: count }, (_, i) => `agent-${agents.length + i}`);
  for (let at = 0; at < names.length; at += STARTED_AT_ONCE) {
    const some = names.slice(at, at + STARTED_AT_ONCE).map((device) =>
      startAgent({
        device,
        mqttUrl: services.broker.url,
        environment: { LOG_LEVEL: 'warn', THREADS: '1', MEMORY_BUDGET_MIB },
      }),
    );
    for (const agent of await Promise.all(some)) {
      agents.push(agent);
      setPriority(agent.pid, AGENT_NICENESS);
    }
  }
  return names;
}

/** Asks the agents to fetch and check, and to wait then, as a rollout outside its window does. */
async function transfer(use: {
  services: FleetServices;
  artifact: LargeArtifact;
  agents: readonly PrivateService[];
  names: readonly string[];
}): Promise<TransferResult> {
  const { services, artifact, names } = use;
  const cpu = async () =>
    cpuSecondsOf({ ...(await services.pids()), agents: use.agents.map((agent) => agent.pid) });
  let publishedBytes = 0;
  const tookSeconds = new Map<string, number>();
  const failures: string[] = [];
  let startMs = 0;
  const watcher = await WireClient.connect({
    port: services.broker.port,
    clientId: 'watcher',
    receiveMaximum: 1024,
    onMessage: (topic, payload) => {
      if (topic.endsWith('/report')) note(JSON.parse(payload.toString()));
      else publishedBytes += payload.length;
    },
  });
  const note = (report: Report): void => {
    if (report.phase === 'Failed') failures.push(`${report.device}: ${report.error?.message}`);
    if (report.phase !== 'Staged' || tookSeconds.has(report.device)) return;
    tookSeconds.set(report.device, (performance.now() - startMs) / 1000);
  };
  watcher.subscribe(`entrofleet/v1/c/${artifact.id}/+`);
  watcher.subscribe(topics.everyReport);
  await sleep(1000);
  const from = await cpu();
  startMs = performance.now();
  for (const name of names) {
    watcher.publish(topics.desired(name), JSON.stringify(desired(name, artifact)), {
      retain: true,
    });
  }
  while (names.some((name) => !tookSeconds.has(name))) {
    if (failures.length > 0) throw new Error(failures[0]);
    if (performance.now() - startMs > TIMEOUT_MS) throw new Error('the agents take too long');
    await sleep(50);
  }
  const times = names.map((name) => tookSeconds.get(name) ?? 0);
  const seconds = Math.max(...times);
  const to = await cpu();
  const cores = coresUsed(from, to, seconds);
  const agentSeconds = (to.agents ?? 0) - (from.agents ?? 0);
  watcher.close();
  return {
    agents: names.length,
    medianSeconds: round(percentile(times, 0.5)),
    seconds: round(seconds),
    publishedBytes,
    publishedRatio: round(publishedBytes / artifact.ref.sizeBytes),
    cores,
    agentCpuMsPerMegabyte: round((agentSeconds * 1e9) / (names.length * artifact.ref.sizeBytes)),
  };
}

function desired(device: string, artifact: LargeArtifact): Desired {
  const { model, variant, ref, memoryBytes, probe } = artifact;
  const target: Target = {
    ...{ model, variant, memoryBytes, probe, artifact: ref },
    ...{ contextLength: 128, kvCacheBytes: 0, samplePrompt: null },
  };
  const words = { schemaVersion: 1, revision: 1, rollout: null, attempt: 0 } as const;
  return { ...words, device, target, issuedAt: new Date().toISOString(), hold: 'Activation' };
}
