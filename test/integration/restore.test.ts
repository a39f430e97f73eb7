import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { promisify } from 'node:util';
import { PGlite } from '@electric-sql/pglite';
import type { Device, Rollout, RolloutInput } from '@entrofleet/client';
import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { RestClient } from '../../deploy/demo/rest.client.ts';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { SupervisedProcess } from '../../deploy/private/supervised.process.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { eventually } from '../support/eventually.ts';
import {
  type PrivatePostgresql,
  postgresqlPrograms,
  startPostgresql,
} from '../support/postgresql.ts';
import {
  type PrivateService,
  startAgent,
  startController,
  startMosquitto,
  startRedis,
} from '../support/services.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const TIMEOUT_MS = 240_000;
const CHECKPOINT = { hiddenSize: 128, intermediateSize: 256 } as const;

/** The commands of the operations guide below a comment, as one shell script. */
async function documented(title: string): Promise<string> {
  const text = await readFile(join(ROOT, 'docs/OPERATIONS.md'), 'utf8');
  const [, after] = text.split(`    # ${title}\n`);
  const lines = (after ?? '').split('\n');
  const end = lines.findIndex((line) => !line.startsWith('    '));
  const commands = lines.slice(0, end).join('\n');
  if (commands === '') throw new Error(`docs/OPERATIONS.md has no commands below "# ${title}"`);
  return `set -eu\n${commands}`;
}

/** A place where the record and the blobs are, as a shell's variables and a controller's options. */
interface Place {
  readonly variables: Readonly<Record<string, string>>;
  readonly environment: Readonly<Record<string, string>>;
  readonly blobs: string;
}

interface Way {
  readonly name: string;
  readonly mustStop: boolean;
  readonly backUp: string;
  readonly restore: string;
  readonly empty: (name: string) => Promise<Place>;
}

const programs = await postgresqlPrograms();
if (programs === undefined) console.warn('SKIPPED: restoring PostgreSQL: it is not installed');
let postgresql: PrivatePostgresql | undefined;

beforeAll(async () => {
  if (programs !== undefined) postgresql = await startPostgresql(programs);
});
afterAll(() => postgresql?.stop());

const POSTGRESQL: Way = {
  name: 'PostgreSQL',
  mustStop: false,
  backUp: 'Back up PostgreSQL',
  restore: 'Restore PostgreSQL',
  empty: async (name) => {
    const admin = new pg.Client({ connectionString: postgresql?.url });
    await admin.connect();
    await admin.query(`create database ${name}`);
    await admin.end();
    const url = new URL(postgresql?.url ?? '');
    url.pathname = name;
    const blobs = join(await temporaryFolder(name), 'blobs');
    const [DATABASE_URL, BLOBS] = [url.href, blobs];
    const environment = { DATABASE_URL, ENTROFLEET_BLOB_DIR: blobs };
    return { variables: { DATABASE_URL, BLOBS }, environment, blobs };
  },
};

const EMBEDDED: Way = {
  name: 'the embedded database',
  mustStop: true,
  backUp: 'Back up the embedded database, with the controller stopped',
  restore: 'Restore the embedded database',
  empty: async (name) => {
    const DATA = join(await temporaryFolder(name), 'data');
    const environment = { ENTROFLEET_DATA_DIR: DATA };
    return { variables: { DATA }, environment, blobs: join(DATA, 'blobs') };
  },
};

async function shell(script: string, variables: Readonly<Record<string, string>>): Promise<void> {
  await promisify(execFile)('sh', ['-c', script], { env: { ...process.env, ...variables } });
}

/** Without unfinished work, which comes and goes. */
async function artifactFiles(blobs: string): Promise<string[]> {
  return (await readdir(blobs)).filter((name) => name !== 'work').sort();
}

const rolloutOf = (variant: string): RolloutInput => ({
  metadata: { name: 'lab' },
  spec: {
    selector: { matchLabels: { site: 'lab' } },
    model: 'tiny',
    variant,
    strategy: { waves: [{ percent: 100 }], progressDeadlineSeconds: 120 },
  },
});

async function compressed(client: RestClient): Promise<void> {
  const path = await writeTinyCheckpoint(join(await temporaryFolder('tiny'), 'tiny'), CHECKPOINT);
  await client.createModel({
    metadata: { name: 'tiny' },
    spec: {
      source: { path },
      variants: ['u8', 'rd-4.2'],
      quality: { maxPerplexityRatio: 1000 },
      evaluation: { rows: 2, rowTokens: 32 },
    },
  });
  await eventually('the model is ready', async () => {
    const { variants } = (await client.model('tiny')).status;
    return variants.length === 2 && variants.every((v) => v.phase === 'Ready') ? true : undefined;
  });
}

interface Serving {
  readonly rollout: Rollout;
  readonly device: Device;
  readonly revision: number;
}

/**
 * Waits until the rollout is complete and its device serves the variant.
 * @param above What the restored record tells of the device is as old as the backup; a revision
 *   above this one is news.
 */
function serving(client: RestClient, variant: string, above = 0): Promise<Serving> {
  return eventually(`the device serves ${variant}`, async () => {
    const [rollout, devices] = await Promise.all([client.rollout('lab'), client.devices()]);
    const [device] = devices;
    const report = device?.status.report;
    if (device === undefined || report?.active?.variant !== variant) return undefined;
    if (report.phase !== 'Active' || rollout.status.phase !== 'Complete') return undefined;
    if (report.observedRevision <= above) return undefined;
    return { rollout, device, revision: report.observedRevision };
  });
}

const WAYS = programs === undefined ? [EMBEDDED] : [POSTGRESQL, EMBEDDED];

describe.each(WAYS)('a backup of $name', (way) => {
  test('brings the rollouts back, and devices that are ahead of it', {
    timeout: TIMEOUT_MS,
  }, async () => {
    // given a device that has got a model, and a backup of that
    const [redis, broker] = await Promise.all([startRedis(), startMosquitto()]);
    const start = async (place: Place): Promise<PrivateService> => {
      const environment = { ...place.environment, SWEEP_INTERVAL_SECONDS: '1' };
      return startController({ redisUrl: redis.url, mqttUrl: broker.url, environment });
    };
    const old = await way.empty('before');
    const controller = await start(old);
    const client = new RestClient(controller.url);
    await startAgent({ device: 'edge', mqttUrl: broker.url, labels: { site: 'lab' } });
    await compressed(client);
    await client.createRollout(rolloutOf('u8'));
    const before = await serving(client, 'u8');
    const BACKUP = await temporaryFolder('backup');
    if (way.mustStop) await controller.stop();
    await shell(await documented(way.backUp), { ...old.variables, BACKUP });
    if (way.mustStop) await controller.restart();
    const files = await artifactFiles(old.blobs);
    // when it gets other models, and all but the backup is lost then
    await client.replaceRollout('lab', rolloutOf('rd-4.2'));
    await serving(client, 'rd-4.2');
    await client.replaceRollout('lab', rolloutOf('u8'));
    await serving(client, 'u8');
    await client.replaceRollout('lab', rolloutOf('rd-4.2'));
    const ahead = await serving(client, 'rd-4.2');
    await controller.stop();
    await redis.flush();
    const fresh = await way.empty('after');
    await shell(await documented(way.restore), { ...fresh.variables, BACKUP });
    expect(files.filter((name) => name.endsWith('.efa'))).toHaveLength(2);
    expect(await artifactFiles(fresh.blobs)).toEqual(files);
    const restored = new RestClient((await start(fresh)).url);
    // then the rollout is the one of the backup, and the device goes back to it
    const after = await serving(restored, 'u8', ahead.revision);
    expect(after.rollout.spec).toEqual(before.rollout.spec);
    const { uid, generation } = before.rollout.metadata;
    expect(after.rollout.metadata).toMatchObject({ uid, generation });
    expect(after.device.metadata.uid).toBe(before.device.metadata.uid);
    expect(ahead.revision).toBeGreaterThan(before.revision + 1);
    // and goes on from there
    await restored.replaceRollout('lab', rolloutOf('rd-4.2'));
    await serving(restored, 'rd-4.2', after.revision);
  });
});

test('a controller does not start on a newer schema, and says what to do', async () => {
  // given a database that a newer controller has migrated
  const folder = await temporaryFolder('newer');
  await mkdir(join(folder, 'db'), { recursive: true });
  const database = await PGlite.create(join(folder, 'db'));
  await database.exec(`
    create table migrations (name text primary key, run_at timestamptz not null, version text);
    insert into migrations values ('9999_future.sql', now(), '7.8.9');`);
  await database.close();
  // when this one starts
  const redis = await startRedis();
  const controller = new SupervisedProcess({
    name: 'controller',
    command: [process.execPath, join(ROOT, 'apps/controller/dist/main.js')],
    environment: {
      ...{ ENTROFLEET_DATA_DIR: folder, DATABASE_URL: '', REDIS_URL: redis.url },
      ...{ HOST: '127.0.0.1', PORT: String(await freePort()) },
      MQTT_URL: `mqtt://127.0.0.1:${await freePort()}`,
    },
    logPath: join(await temporaryFolder('newer-log'), 'log'),
    isReady: async () => false,
    readyTimeoutMs: 60_000,
    stopTimeoutMs: 1000,
  });
  // then it ends by itself
  const failure = String(await controller.start().catch((error: unknown) => error));
  expect(failure).toContain('ended before it was ready');
  expect(failure).toMatch(/newer than this controller: .*9999_future.sql .*7\.8\.9.* 0\.1\.0/);
});
