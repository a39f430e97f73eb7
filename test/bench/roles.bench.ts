/**
 * What each role of the controller takes as a process of its own: `make bench-roles`; a table and
 * JSON on standard output, progress on standard error.
 *
 *   node --conditions=entrofleet-source test/bench/roles.bench.ts [--idle 20]
 *
 * Real PostgreSQL, Redis and Mosquitto. First idle, then under the load of the demo: a model of 15
 * million parameters is compressed in three variants, two of which three agents fetch, prove and
 * serve. Memory and processor time include what a process has started: the worker's compressors.
 */
import { mkdtemp, rm } from 'node:fs/promises';
import { availableParallelism, loadavg, tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { parseArgs } from 'node:util';
import { compressModel, rollOut } from '../../deploy/demo/demo.steps.ts';
import { ProgressLines } from '../../deploy/demo/progress.lines.ts';
import { RestClient } from '../../deploy/demo/rest.client.ts';
import { textTable } from '../../deploy/demo/text.table.ts';
import { importStories15m } from '../../deploy/models/stories15m.ts';
import { startAgent, startMosquitto, startRedis } from '../../deploy/private/services.ts';
import { postgresqlPrograms, startPostgresql } from '../support/postgresql.ts';
import { startRole } from '../support/role.processes.ts';
import { type RoleLoad, RoleMeter } from './roles.meters.ts';

const ROLES = ['api', 'worker', 'distributor', 'reconciler'] as const;
const SETTLE_MS = 5000;
const MIB = 1024 * 1024;

const { values: options } = parseArgs({ options: { idle: { type: 'string', default: '20' } } });
const say = (line: string) => process.stderr.write(`${line}\n`);
const stops: (() => Promise<void>)[] = [];

async function kept<T extends { stop(): Promise<void> }>(starting: Promise<T>): Promise<T> {
  const service = await starting;
  stops.push(() => service.stop());
  return service;
}

type Loads = Record<(typeof ROLES)[number], RoleLoad>;

async function measured(
  meters: readonly RoleMeter[],
  during: () => Promise<unknown>,
): Promise<Loads> {
  for (const meter of meters) meter.start();
  await during();
  const loads = await Promise.all(meters.map((meter) => meter.stop()));
  return Object.fromEntries(ROLES.map((role, index) => [role, loads[index]])) as Loads;
}

async function measure(): Promise<{ idle: Loads; load: Loads }> {
  const programs = await postgresqlPrograms();
  if (programs === undefined) throw new Error('PostgreSQL is not installed (apt: postgresql)');
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-roles-'));
  stops.push(() => rm(folder, { recursive: true, force: true }));
  const path = await importStories15m({
    cacheFolder: resolve(import.meta.dirname, '../../.cache'),
    onProgress: say,
  });
  const postgresql = await kept(startPostgresql(programs));
  const redis = await kept(startRedis());
  const broker = await kept(startMosquitto());
  const site = {
    redisUrl: redis.url,
    mqttUrl: broker.url,
    databaseUrl: postgresql.url,
    folder,
  };
  const roles = await Promise.all(ROLES.map((role) => kept(startRole(site, role))));
  const meters = roles.map(({ pid }) => new RoleMeter(pid));
  say('idle');
  await sleep(SETTLE_MS);
  const idle = await measured(meters, () => sleep(Number(options.idle) * 1000));
  say('the demo');
  for (const [device, at] of [
    ['edge-1', 'a'],
    ['edge-2', 'a'],
    ['edge-3', 'b'],
  ] as const) {
    await kept(startAgent({ device, labels: { site: at }, mqttUrl: broker.url }));
  }
  const [api] = roles;
  const { signal } = new AbortController();
  const run = {
    client: new RestClient(api?.url ?? ''),
    progress: new ProgressLines(process.stderr),
    signal,
  };
  const load = await measured(meters, async () => {
    const model = await compressModel(run, { name: 'stories15m', path, evaluation: undefined });
    for (const variant of ['u8', 'rd-4.2'] as const) {
      await rollOut(run, { model, variant, isFirst: variant === 'u8' });
    }
  });
  return { idle, load };
}

function row(role: (typeof ROLES)[number], { idle, load }: { idle: Loads; load: Loads }): string[] {
  const mib = (bytes: number) => `${Math.ceil(bytes / MIB)} MiB`;
  return [
    role,
    mib(idle[role].meanRssBytes),
    idle[role].cores.toFixed(3),
    mib(load[role].ownPeakRssBytes),
    mib(load[role].peakRssBytes),
    load[role].cores.toFixed(3),
    load[role].peakCores.toFixed(3),
  ];
}

try {
  const result = await measure();
  const [load = 0] = loadavg();
  // Above the number of cores the processes had to wait for them, and memory alone is to be trusted.
  process.stdout.write(`load average ${load.toFixed(1)} on ${availableParallelism()} cores\n`);
  const head = ['role', 'idle', 'cores', 'demo: peak', 'with children', 'cores', 'peak'];
  process.stdout.write(
    `${textTable(
      head,
      ROLES.map((role) => row(role, result)),
    )}\n`,
  );
  process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
} finally {
  for (const stop of stops.reverse()) await stop();
}
