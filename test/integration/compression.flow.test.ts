import { mkdtemp, open, readdir, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { encodeArtifact, openCheckpoint } from '@entrofleet/artifact';
import { LIMITS } from '@entrofleet/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { isAlive } from '../support/child.processes.ts';
import {
  type PrivatePostgresql,
  postgresqlPrograms,
  startPostgresql,
} from '../support/postgresql.ts';
import {
  type PrivateService,
  type RedisService,
  startController,
  startMosquitto,
  startRedis,
} from '../support/services.ts';
import { sendSignal, stoppedInGroup } from '../support/stopped.group.ts';

const MODELS = '/api/v1/models';
const VARIANT = 'rd-4.2';
const GROUP_BYTES = 4_000_000;

const programs = await postgresqlPrograms();
if (programs === undefined) {
  console.warn('PostgreSQL is not installed: skipping compression by several workers');
}

let folder: string;
let source: string;
let expectedId: string;
let redis: RedisService;
let broker: PrivateService;
let count = 0;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-flow-'));
  source = await writeTinyCheckpoint(join(folder, 'source'), {
    hiddenSize: 384,
    intermediateSize: 1152,
    layers: 6,
    heads: 6,
    keyValueHeads: 6,
    vocabularySize: 4096,
    shards: 2,
  });
  expectedId = await encodedOffline();
  redis = await startRedis();
  broker = await startMosquitto();
}, 120_000);
afterAll(async () => {
  for (const service of [broker, redis]) await service.stop();
  await rm(folder, { recursive: true, force: true });
});

async function encodedOffline(): Promise<string> {
  const checkpoint = await openCheckpoint(source);
  const { ref } = await encodeArtifact({
    checkpoint,
    recipe: { kind: 'rate', targetBitsPerWeight: 4.2 },
    path: join(folder, 'offline.efa'),
    threads: 2,
    chunkSizeBytes: LIMITS.chunkSizeBytes,
  });
  await checkpoint.close();
  return ref.id;
}

function start(environment: Record<string, string> = {}): Promise<PrivateService> {
  return startController({
    redisUrl: redis.url,
    mqttUrl: broker.url,
    environment: {
      COMPRESSION_GROUP_BYTES: String(GROUP_BYTES),
      SWEEP_INTERVAL_SECONDS: '1',
      LOG_LEVEL: 'debug',
      ...environment,
    },
  });
}

async function post(api: ApiClient): Promise<string> {
  const name = `model-${count++}`;
  const spec = {
    source: { path: source },
    variants: ['rd'],
    evaluation: { rows: 2, rowTokens: 16 },
  };
  expect((await api.post(MODELS, { metadata: { name }, spec })).status).toBe(202);
  return name;
}

async function expectReady(api: ApiClient, name: string, attempts: number): Promise<void> {
  const model = await api.finishedModel(name);
  expect(model.status.variants[0], JSON.stringify(model.status)).toMatchObject({
    phase: 'Ready',
    progress: 1,
    artifactId: expectedId,
    attempts,
  });
}

/** How often each step of a model's variant was begun and done, by the logs. */
async function stepCounts(
  name: string,
  services: readonly PrivateService[],
): Promise<{ begun: Map<string, number>; done: Map<string, number> }> {
  const begun = new Map<string, number>();
  const done = new Map<string, number>();
  for (const service of services) {
    const lines = (await readFile(service.process.logPath, 'utf8')).split('\n');
    for (const line of lines.filter((text) => text.includes('"step '))) {
      const entry = JSON.parse(line);
      if (entry.model !== name) continue;
      const counts = entry.message === 'step done' ? done : begun;
      counts.set(entry.step, (counts.get(entry.step) ?? 0) + 1);
    }
  }
  return { begun, done };
}

const work = (blobs: string, name: string) => join(blobs, 'work', name, VARIANT);
const encodeSteps = (counts: Map<string, number>) =>
  new Map([...counts].filter(([step]) => step.startsWith('encode-')));

describe('one worker', () => {
  let controller: PrivateService;
  let api: ApiClient;
  const blobs = () => join(controller.folder, 'blobs');

  beforeAll(async () => {
    controller = await start();
    api = new ApiClient(controller.url);
  });
  afterAll(() => controller.stop());

  it('makes the artifact that is made offline, a job for each group', async () => {
    const name = await post(api);
    const seen: number[] = [];
    await api.modelWhere(name, ({ status: { variants } }) => {
      seen.push(variants[0]?.progress ?? Number.NaN);
      return variants[0]?.phase === 'Ready';
    });
    await expectReady(api, name, 1);
    expect(seen).toEqual(seen.toSorted((a, b) => a - b));
    const { done } = await stepCounts(name, [controller]);
    expect(encodeSteps(done).size).toBeGreaterThan(5);
    expect(new Set(done.values())).toEqual(new Set([1]));
    await expect.poll(() => readdir(join(blobs(), 'work')), { timeout: 20_000 }).toEqual([]);
  });

  it('encodes only that group again whose compressor was killed', async () => {
    const name = await post(api);
    const { group, pid } = await stoppedInGroup(work(blobs(), name));
    sendSignal(pid, 'SIGKILL');
    await expectReady(api, name, 2);
    const { begun, done } = await stepCounts(name, [controller]);
    for (const [step, times] of encodeSteps(begun)) {
      expect(times, step).toBe(step === `encode-${group}` ? 2 : 1);
    }
    expect(new Set(done.values())).toEqual(new Set([1]));
    const { body } = await api.get(`/api/v1/events?kind=Model&name=${name}`);
    expect(JSON.stringify(body).match(/CompressorDied/g)).toHaveLength(1);
  });

  it('keeps the groups that are done when Redis is flushed or the worker killed', async () => {
    const name = await post(api);
    const first = await stoppedInGroup(work(blobs(), name));
    await redis.flush();
    sendSignal(first.pid, 'SIGCONT');
    const { pid } = await stoppedInGroup(work(blobs(), name));
    await redis.flush();
    await controller.kill9();
    sendSignal(pid, 'SIGKILL');
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
    await controller.restart();
    const model = await api.finishedModel(name);
    expect(model.status.variants[0]).toMatchObject({ phase: 'Ready', artifactId: expectedId });
    const { done } = await stepCounts(name, [controller]);
    expect(encodeSteps(done).size).toBeGreaterThan(5);
    expect(new Set(encodeSteps(done).values())).toEqual(new Set([1]));
  });

  it('encodes parts again that were damaged, whether their description or their payload', async () => {
    const name = await post(api);
    const { pid, done } = await stoppedInGroup(work(blobs(), name), 2);
    const [cut = '', flipped = ''] = done;
    await truncate(cut, 100);
    const file = await open(flipped, 'r+');
    const { buffer } = await file.read(Buffer.alloc(1), 0, 1, 1000);
    await file.write(Buffer.of((buffer[0] ?? 0) ^ 1), 0, 1, 1000);
    await file.close();
    sendSignal(pid, 'SIGCONT');
    // The payload is read by the assembly only, which then has to be begun a second time.
    await expectReady(api, name, 2);
    const { done: counts } = await stepCounts(name, [controller]);
    const twice = [...encodeSteps(counts)].filter(([, times]) => times === 2);
    const damaged = [cut, flipped].map((path) => `encode-${Number(path.slice(-5))}`);
    expect(twice.map(([step]) => step).toSorted()).toEqual(damaged.toSorted());
  });

  it('gives up a group that ended its worker every time, until a person retries', async () => {
    const name = await post(api);
    const { pid, group } = await stoppedInGroup(work(blobs(), name));
    const notes = join(blobs(), 'work', name, VARIANT, 'attempts');
    for (let i = 0; i < 5; i++) await writeFile(join(notes, `encode-${group + 1}.${i}`), '');
    sendSignal(pid, 'SIGCONT');
    const failed = await api.finishedModel(name);
    expect(failed.status.variants[0]).toMatchObject({
      phase: 'Failed',
      message: expect.stringContaining(`step encode-${group + 1} was begun 5 times`),
    });
    expect((await api.post(`${MODELS}/${name}/retry`)).status).toBe(202);
    await expectReady(api, name, 1);
  });

  it('stops encoding when the model is deleted, and removes what it has made', async () => {
    const name = await post(api);
    const { pid } = await stoppedInGroup(work(blobs(), name));
    sendSignal(pid, 'SIGCONT');
    expect((await api.delete(`${MODELS}/${name}`)).status).toBe(204);
    await expect.poll(() => isAlive(pid), { timeout: 20_000 }).toBe(false);
    await expect.poll(() => readdir(join(blobs(), 'work')), { timeout: 20_000 }).toEqual([]);
  });
});

describe.skipIf(programs === undefined)('two workers that share a PostgreSQL and a folder', () => {
  let postgresql: PrivatePostgresql;
  let services: PrivateService[];
  let workers: PrivateService[];
  let api: ApiClient;
  const blobs = () => join(folder, 'shared-blobs');

  beforeAll(async () => {
    await redis.flush();
    postgresql = await startPostgresql(programs ?? '');
    const shared = { DATABASE_URL: postgresql.url, ENTROFLEET_BLOB_DIR: blobs() };
    const front = await start({ ...shared, ENTROFLEET_ROLES: 'api,reconciler' });
    const [a, b] = await Promise.all([
      start({ ...shared, ENTROFLEET_ROLES: 'worker', COMPRESSION_THREADS: '1' }),
      start({ ...shared, ENTROFLEET_ROLES: 'worker', COMPRESSION_THREADS: '3' }),
    ]);
    services = [front, a, b];
    workers = [a, b];
    api = new ApiClient(front.url);
  }, 120_000);
  afterAll(async () => {
    for (const service of services) await service.stop();
    await postgresql.stop();
  });

  it('share the groups of one variant, and make the same artifact', async () => {
    const name = await post(api);
    await expectReady(api, name, 1);
    const shares = await Promise.all(workers.map((worker) => stepCounts(name, [worker])));
    for (const { done } of shares) expect(encodeSteps(done).size).toBeGreaterThan(0);
    const { done } = await stepCounts(name, workers);
    expect(new Set(encodeSteps(done).values())).toEqual(new Set([1]));
  });

  it('go on when Redis is flushed', async () => {
    const name = await post(api);
    const { pid } = await stoppedInGroup(work(blobs(), name));
    await redis.flush();
    sendSignal(pid, 'SIGCONT');
    const model = await api.finishedModel(name);
    expect(model.status.variants[0]).toMatchObject({ phase: 'Ready', artifactId: expectedId });
  });

  it('repeat one group when one of them is killed', async () => {
    const name = await post(api);
    const { pid } = await stoppedInGroup(work(blobs(), name));
    await (await workerOf(pid)).kill9();
    sendSignal(pid, 'SIGKILL');
    await expectReady(api, name, 2);
    const { done } = await stepCounts(name, workers);
    expect(new Set(encodeSteps(done).values())).toEqual(new Set([1]));
    const { begun } = await stepCounts(name, workers);
    expect([...encodeSteps(begun).values()].filter((times) => times > 1)).toEqual([2]);
  });

  async function workerOf(childPid: number): Promise<PrivateService> {
    const stat = await readFile(`/proc/${childPid}/stat`, 'utf8');
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    const found = workers.find((worker) => worker.pid === Number(parent));
    if (found === undefined) throw new Error(`${childPid} is no child of a worker`);
    return found;
  }
});
