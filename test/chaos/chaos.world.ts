import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import {
  type AgentOptions,
  type PrivateService,
  type RedisService,
  startAgent,
  startController,
  startMosquitto,
  startRedis,
} from '../../deploy/private/services.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { type FaultyLink, faultyLink } from '../support/faulty.link.ts';
import { postgresqlPrograms } from '../support/postgresql.ts';
import { ChaosProcess } from './chaos.process.ts';
import { startPostgresqlProcess } from './postgresql.process.ts';
import { mountSmallDisk, type SmallDisk } from './small.disk.ts';

export const MODELS = ['alpha', 'beta', 'gamma'] as const;
const START_TIMEOUT_MS = 120_000;
const DISK_MEBIBYTES = { agent: 24, controller: 48 };
const REPORT_INTERVAL_SECONDS = '2';

export interface ChaosAgent {
  readonly name: string;
  readonly url: string;
  readonly folder: string;
}

/** A controller with all its servers and a few agents, all real, every connection over a link. */
export interface ChaosWorld {
  readonly processes: ReadonlyMap<string, ChaosProcess>;
  /** By `link:` and the server or agent on its far side. */
  readonly links: ReadonlyMap<string, FaultyLink>;
  /** By `disk:` and whose it is. */
  readonly disks: ReadonlyMap<string, SmallDisk>;
  readonly agents: readonly ChaosAgent[];
  readonly redis: RedisService;
  readonly brokerFolder: string;
  readonly controllerUrl: string;
  readonly controllerFolder: string;
  readonly hasDatabase: boolean;
  /** Checkpoint of a model; extra models share one. */
  checkpoint(model: string): string;
  /** Ends every process in order, agents first. */
  stop(): Promise<void>;
  /** Kills what is left and removes disks and data. */
  remove(): Promise<void>;
}

interface Parts {
  readonly services: PrivateService[];
  readonly links: Map<string, FaultyLink>;
  readonly disks: Map<string, SmallDisk>;
  readonly processes: Map<string, ChaosProcess>;
  removeDatabase: (() => Promise<void>) | undefined;
}

/** @param options.say is told loudly what this machine cannot do. */
export async function startWorld(options: {
  readonly agents: number;
  readonly say: (line: string) => void;
}): Promise<ChaosWorld> {
  const parts: Parts = {
    services: [],
    links: new Map(),
    disks: new Map(),
    processes: new Map(),
    removeDatabase: undefined,
  };
  try {
    return await assemble(parts, options);
  } catch (error) {
    await removeAll(parts);
    throw error;
  }
}

async function assemble(
  parts: Parts,
  options: { readonly agents: number; readonly say: (line: string) => void },
): Promise<ChaosWorld> {
  const { say } = options;
  const [redis, broker] = await Promise.all([startRedis(), startMosquitto({ persistence: true })]);
  adopt(parts, 'redis', redis);
  adopt(parts, 'broker', broker);
  const redisLink = await linkTo(parts, 'redis', redis.port);
  const brokerLink = await linkTo(parts, 'broker', broker.port);
  const databaseUrl = await startDatabase(parts, say);
  const controllerFolder = await diskFor(parts, 'controller', say);
  const controller = await startController({
    redisUrl: `redis://127.0.0.1:${redisLink.port}`,
    mqttUrl: `mqtt://127.0.0.1:${brokerLink.port}`,
    folder: controllerFolder,
    environment: {
      ...{ DATABASE_URL: databaseUrl, REPORT_INTERVAL_SECONDS, SWEEP_INTERVAL_SECONDS: '1' },
      COMPRESSION_THREADS: '1',
    },
  });
  adopt(parts, 'controller', controller);
  const agents: ChaosAgent[] = [];
  for (let number = 1; number <= options.agents; number++) {
    const name = `edge-${number}`;
    const folder = number === 1 ? await diskFor(parts, name, say) : await temporaryFolder(name);
    const link = await linkTo(parts, name, broker.port);
    const service = await startAgent(agentOptions({ name, folder, port: link.port }));
    adopt(parts, name, service);
    agents.push({ name, url: service.url, folder });
  }
  const checkpoints = await writeCheckpoints();
  return {
    ...{ processes: parts.processes, links: parts.links, disks: parts.disks, agents, redis },
    ...{ brokerFolder: broker.folder, controllerUrl: controller.url, controllerFolder },
    hasDatabase: databaseUrl !== '',
    checkpoint: (model) => checkpoints.get(model) ?? checkpoints.get('extra') ?? '',
    stop: async () => {
      for (const service of [...parts.services].reverse()) await service.stop();
      await parts.processes.get('database')?.supervised.stop();
    },
    remove: () => removeAll(parts),
  };
}

function agentOptions(of: { name: string; folder: string; port: number }): AgentOptions {
  return {
    device: of.name,
    mqttUrl: `mqtt://127.0.0.1:${of.port}`,
    labels: { site: 'lab' },
    folder: of.folder,
    environment: {
      ...{ REPORT_INTERVAL_SECONDS, STALL_MS: '500', THREADS: '1', DISK_MARGIN_MIB: '1' },
      MEASURE_INTERVAL_SECONDS: '3600',
    },
  };
}

function adopt(parts: Parts, name: string, service: PrivateService): void {
  parts.services.push(service);
  const use = { name, supervised: service.process, startTimeoutMs: START_TIMEOUT_MS };
  parts.processes.set(name, new ChaosProcess(use));
}

async function linkTo(parts: Parts, name: string, toPort: number): Promise<FaultyLink> {
  const link = await faultyLink({ toPort });
  parts.links.set(`link:${name}`, link);
  return link;
}

/** @returns the URL over a link, or an empty text for the database in the controller's process. */
async function startDatabase(parts: Parts, say: (line: string) => void): Promise<string> {
  const programs = await postgresqlPrograms();
  if (programs === undefined) {
    say('SKIPPED faults of PostgreSQL: it is not installed; the controller uses PGlite');
    return '';
  }
  const database = await startPostgresqlProcess(programs);
  parts.removeDatabase = database.remove;
  const use = { name: 'database', supervised: database.process, startTimeoutMs: START_TIMEOUT_MS };
  parts.processes.set('database', new ChaosProcess(use));
  const link = await linkTo(parts, 'database', database.port);
  return `postgres://entrofleet@127.0.0.1:${link.port}/postgres`;
}

async function diskFor(
  parts: Parts,
  name: 'controller' | string,
  say: (line: string) => void,
): Promise<string> {
  const folder = await temporaryFolder(name);
  const mebibytes = name === 'controller' ? DISK_MEBIBYTES.controller : DISK_MEBIBYTES.agent;
  const disk = await mountSmallDisk(folder, mebibytes);
  if (disk === undefined) say(`SKIPPED full disks of ${name}: mounting a small one needs root`);
  else parts.disks.set(`disk:${name}`, disk);
  return folder;
}

/** Written once: a checkpoint that changes is compressed anew. */
async function writeCheckpoints(): Promise<Map<string, string>> {
  const folder = await temporaryFolder('checkpoints');
  const large = { hiddenSize: 192, intermediateSize: 512, layers: 4 };
  const written = new Map<string, string>();
  for (const [index, model] of [...MODELS, 'extra'].entries()) {
    const size = model === 'extra' ? {} : large;
    const path = await writeTinyCheckpoint(join(folder, model), { seed: index + 10, ...size });
    written.set(model, path);
  }
  return written;
}

async function removeAll(parts: Parts): Promise<void> {
  for (const service of [...parts.services].reverse()) await service.kill9();
  await parts.removeDatabase?.();
  for (const link of parts.links.values()) await link.close();
  for (const disk of parts.disks.values()) await disk.unmount();
  for (const { folder } of parts.services) await rm(folder, { recursive: true, force: true });
}
