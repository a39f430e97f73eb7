import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Rollout } from '@entrofleet/protocol';
import pg from 'pg';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import {
  ApiProbe,
  type CpuSeconds,
  coresUsed,
  cpuSecondsOf,
  peakRssBytes,
  round,
  rssBytes,
} from './fleet.meters.ts';
import { type FleetServices, FleetSimulator, startServices } from './fleet.services.ts';
import { WireClient } from './mqtt.wire.ts';

const ROLLOUT = 'fleet';
const ROLLOUT_TIMEOUT_MS = 900_000;
/** How long every phase after the download takes a simulated device, about. */
const PHASE_MS = 1000;
const VARIANTS = ['u8', 'u4-paper'] as const;
/** Its artifact has some 50 kB: ten thousand devices on one machine fetch half a gigabyte. */
const SMALL = { hiddenSize: 32, intermediateSize: 64, layers: 1, vocabularySize: 320 };
const WAVES = [{ count: 10 }, { percent: 10 }, { percent: 100 }];

export interface CrowdOptions {
  readonly sizes: readonly number[];
  readonly database: 'postgresql' | 'pglite';
  readonly reportIntervalSeconds: number;
  readonly steadySeconds: number;
  readonly environment?: Readonly<Record<string, string>>;
  readonly onProgress: (line: string) => void;
}

export interface ApiTimes {
  readonly p95Ms: number;
  readonly maxMs: number;
  readonly byPath: Record<string, number>;
}

export interface SteadyResult {
  readonly seconds: number;
  readonly reportsSent: number;
  readonly reportsStored: number | null;
  readonly cores: Record<string, number>;
  readonly controllerRssBytes: number;
  readonly api: ApiTimes;
}

export interface RolloutResult {
  readonly seconds: number;
  readonly active: number;
  readonly chunkBytesPublished: number;
  readonly artifactBytes: number;
  readonly chunkBytesReceived: number;
  readonly controllerCpuSeconds: number;
  readonly cores: Record<string, number>;
  readonly controllerPeakRssBytes: number;
  readonly api: ApiTimes;
}

export interface CrowdResult {
  readonly devices: number;
  readonly steady: SteadyResult;
  readonly rollout: RolloutResult;
}

/** Thousands of simulated devices: steady reporting, then a rollout, for each size of the fleet. */
export async function measureCrowd(options: CrowdOptions): Promise<CrowdResult[]> {
  if (options.sizes.length === 0) return [];
  const services = await startServices({
    database: options.database,
    environment: {
      REPORT_INTERVAL_SECONDS: String(options.reportIntervalSeconds),
      ...options.environment,
    },
  });
  const simulator = new FleetSimulator();
  try {
    const crowd = new Crowd(services, simulator, options);
    await crowd.compress();
    const results: CrowdResult[] = [];
    for (const [index, devices] of options.sizes.entries()) {
      // Devices that join a rollout would be brought up to date while reporting is measured.
      await crowd.forgetRollout();
      await crowd.grow(devices);
      const steady = await crowd.steady();
      options.onProgress(JSON.stringify({ devices, steady }));
      const rollout = await crowd.rollOut(VARIANTS[index % 2] ?? 'u8', devices);
      options.onProgress(JSON.stringify({ devices, rollout }));
      results.push({ devices, steady, rollout });
    }
    return results;
  } finally {
    simulator.stop();
    await services.stop();
  }
}

class Crowd {
  readonly #services: FleetServices;
  readonly #simulator: FleetSimulator;
  readonly #options: CrowdOptions;
  readonly #api: ApiClient;

  constructor(services: FleetServices, simulator: FleetSimulator, options: CrowdOptions) {
    this.#services = services;
    this.#simulator = simulator;
    this.#options = options;
    this.#api = new ApiClient(services.controller.url);
  }

  async compress(): Promise<void> {
    const folder = join(this.#services.folder, 'tiny');
    const path = await writeTinyCheckpoint(folder, SMALL);
    const evaluation = { rows: 2, rowTokens: 32 };
    const spec = { source: { path }, variants: [...VARIANTS], evaluation };
    await this.#api.post('/api/v1/models', { metadata: { name: 'tiny' }, spec });
    await this.#api.finishedModel('tiny');
  }

  async forgetRollout(): Promise<void> {
    await this.#api.delete(apiPath(`rollouts/${ROLLOUT}`));
  }

  async grow(devices: number): Promise<void> {
    const { port } = this.#services.broker;
    const startMs = performance.now();
    await this.#simulator.connect({ port, devices, phaseMs: PHASE_MS });
    await this.#simulator.reportEvery(1000 * this.#options.reportIntervalSeconds);
    while ((await this.#onlineDevices()) < devices) await sleep(500);
    const seconds = round((performance.now() - startMs) / 1000, 1);
    this.#options.onProgress(`${devices} devices are connected and known after ${seconds} s`);
    await sleep(5000);
  }

  async steady(): Promise<SteadyResult> {
    const paths = ['devices?limit=100', 'devices?limit=100&labelSelector=site%3Dlab,rack!%3D9'];
    const probe = new ApiProbe(this.#api, [...paths, 'devices/d00042', 'rollouts'].map(apiPath));
    const [from, startMs] = [await this.#cpu(), performance.now()];
    const before = await this.#simulator.count();
    await sleep(1000 * this.#options.steadySeconds);
    const seconds = (performance.now() - startMs) / 1000;
    const [to, api] = [await this.#cpu(), await probe.stop()];
    const { sent } = await this.#simulator.rest();
    await sleep(2000);
    const { sent: sentInAll } = await this.#simulator.count();
    const storedInAll = await this.#reportsStored();
    await this.#simulator.reportEvery(1000 * this.#options.reportIntervalSeconds);
    return {
      seconds: round(seconds, 1),
      reportsSent: sent - before.sent,
      reportsStored: storedInAll === null ? null : storedInAll - sentInAll + sent - before.sent,
      cores: coresUsed(from, to, seconds),
      controllerRssBytes: rssBytes(this.#services.controller.pid),
      api,
    };
  }

  async rollOut(variant: string, devices: number): Promise<RolloutResult> {
    const model = await this.#api.model('tiny');
    const artifactBytes =
      model.status.variants.find((v) => v.name === variant)?.quality?.sizeBytes ?? 0;
    const watcher = await this.#watchChunks();
    const paths = ['devices?limit=100', 'devices?limit=100&labelSelector=site%3Dlab', 'rollouts'];
    const members = `rollouts/${ROLLOUT}/members?limit=100`;
    const [from, startMs] = [await this.#cpu(), performance.now()];
    const before = await this.#simulator.count();
    const spec = {
      selector: { matchLabels: { site: 'lab' } },
      model: 'tiny',
      variant,
      force: true,
      strategy: { waves: WAVES },
    };
    await this.#api.put(apiPath(`rollouts/${ROLLOUT}`), { metadata: { name: ROLLOUT }, spec });
    const probe = new ApiProbe(this.#api, [...paths, members].map(apiPath));
    const rollout = await this.#completed(devices);
    const seconds = (performance.now() - startMs) / 1000;
    const [to, api, after] = [await this.#cpu(), await probe.stop(), await this.#simulator.count()];
    watcher.client.close();
    return {
      seconds: round(seconds, 1),
      active: rollout.status.counts.active,
      chunkBytesPublished: watcher.bytes(),
      artifactBytes,
      chunkBytesReceived: after.chunkBytes - before.chunkBytes,
      controllerCpuSeconds: round((to.controller ?? 0) - (from.controller ?? 0), 1),
      cores: coresUsed(from, to, seconds),
      controllerPeakRssBytes: peakRssBytes(this.#services.controller.pid),
      api,
    };
  }

  async #completed(devices: number): Promise<Rollout> {
    const deadline = Date.now() + ROLLOUT_TIMEOUT_MS;
    let generation: number | undefined;
    for (;;) {
      const { body } = await this.#api.get(apiPath(`rollouts/${ROLLOUT}`));
      const rollout = body as Rollout;
      generation ??= rollout.metadata.generation;
      const { status } = rollout;
      const isCurrent = status.observedGeneration === generation;
      if (isCurrent && status.counts.active === devices) return rollout;
      if (Date.now() > deadline) throw new Error(`it was last ${JSON.stringify(status)}`);
      await sleep(250);
    }
  }

  async #watchChunks(): Promise<{ client: WireClient; bytes: () => number }> {
    let bytes = 0;
    const client = await WireClient.connect({
      port: this.#services.broker.port,
      clientId: 'watcher',
      receiveMaximum: 1024,
      onMessage: (_topic, payload) => {
        bytes += payload.length;
      },
    });
    client.subscribe('entrofleet/v1/c/#');
    return { client, bytes: () => bytes };
  }

  async #onlineDevices(): Promise<number> {
    const rows = await this.#rows('select count(*)::int as n from device_liveness where online');
    if (rows !== null) return rows;
    let online = 0;
    let token = '';
    do {
      const { body } = await this.#api.get(apiPath(`devices?limit=500${token}`));
      const page = body as { items: unknown[]; metadata: { continue?: string } };
      online += page.items.length;
      token = page.metadata.continue === undefined ? '' : `&continue=${page.metadata.continue}`;
    } while (token !== '');
    return online;
  }

  /** `null` with PGlite, which nobody else can read. */
  #reportsStored(): Promise<number | null> {
    return this.#rows('select sum(reports)::int as n from device_liveness');
  }

  async #rows(query: string): Promise<number | null> {
    const { databaseUrl } = this.#services;
    if (databaseUrl === undefined) return null;
    const client = new pg.Client({ connectionString: databaseUrl });
    await client.connect();
    try {
      const { rows } = await client.query<{ n: number }>(query);
      return rows[0]?.n ?? 0;
    } finally {
      await client.end();
    }
  }

  async #cpu(): Promise<CpuSeconds> {
    const pids = { ...(await this.#services.pids()), simulator: [this.#simulator.pid] };
    return cpuSecondsOf(pids);
  }
}

function apiPath(path: string): string {
  return `/api/v1/${path}`;
}
