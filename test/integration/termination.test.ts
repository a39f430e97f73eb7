import { mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Queue } from 'bullmq';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import type { PrivateService, RedisService } from '../../deploy/private/services.ts';
import { startAgent, startMosquitto, startRedis } from '../../deploy/private/services.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { childrenOf, isAlive } from '../support/child.processes.ts';
import { eventually } from '../support/eventually.ts';
import {
  type PrivatePostgresql,
  postgresqlPrograms,
  startPostgresql,
} from '../support/postgresql.ts';
import { type RoleSite, startRole } from '../support/role.processes.ts';
import { sendSignal, stoppedInGroup } from '../support/stopped.group.ts';

const MODELS = '/api/v1/models';
const GROUPS = { COMPRESSION_GROUP_BYTES: '4000000', LOG_LEVEL: 'debug' };
const SOON = { timeout: 20_000, interval: 20 };

const programs = await postgresqlPrograms();
if (programs === undefined)
  console.warn('PostgreSQL is not installed: SKIPPED stopping by SIGTERM');

describe.skipIf(programs === undefined)('a process that is asked to stop', () => {
  let folder: string;
  let source: string;
  let redis: RedisService;
  let broker: PrivateService;
  let postgresql: PrivatePostgresql;
  let site: RoleSite;
  let front: PrivateService;
  let api: ApiClient;
  let others: PrivateService[] = [];
  let count = 0;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrofleet-termination-'));
    source = await writeTinyCheckpoint(join(folder, 'source'), {
      hiddenSize: 384,
      intermediateSize: 1152,
      layers: 6,
      heads: 6,
      keyValueHeads: 6,
      vocabularySize: 4096,
    });
    redis = await startRedis();
    broker = await startMosquitto();
    postgresql = await startPostgresql(programs ?? '');
    site = { redisUrl: redis.url, mqttUrl: broker.url, databaseUrl: postgresql.url, folder };
    // So slow a sweep can bring back nothing that a process did not hand back.
    front = await startRole(site, 'api,reconciler', { SWEEP_INTERVAL_SECONDS: '3600' });
    api = new ApiClient(front.url);
  });
  afterEach(async () => {
    for (const service of others) {
      sendSignal(service.process.running ? service.pid : 0, 'SIGCONT');
      await service.kill9();
    }
    others = [];
  });
  afterAll(async () => {
    for (const service of [front, broker, redis]) await service?.stop();
    await postgresql?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  async function start(roles: string, environment: Record<string, string> = {}) {
    const service = await startRole(site, roles, environment);
    others.push(service);
    return service;
  }

  async function post(variant: string): Promise<string> {
    const name = `model-${count++}`;
    const evaluation = { rows: 2, rowTokens: 16 };
    const spec = { source: { path: source }, variants: [variant], evaluation };
    expect((await api.post(MODELS, { metadata: { name }, spec })).status).toBe(202);
    return name;
  }

  const isStopped = async (service: PrivateService) =>
    (await service.logTail(200)).includes('"message":"stopped"');

  describe('while it compresses', () => {
    let queue: Queue;
    let name: string;

    beforeEach(async () => {
      queue = new Queue('compression', { connection: { url: redis.url }, prefix: 'entrofleet' });
      name = await post('rd');
    });
    afterEach(() => queue.close());

    it('hands its key back, which another takes without doing anything twice', async () => {
      const first = await start('worker', GROUPS);
      const work = join(folder, 'blobs/work', name, 'rd-4.2');
      const { pid, done, group } = await stoppedInGroup(work, 2);
      await first.stop();
      // then its compressor is gone, and the key waits as if nobody had touched it
      expect(await isAlive(pid)).toBe(false);
      expect(await isStopped(first)).toBe(true);
      const key = `${name}/rd-4.2/${group}`;
      const waiting = await queue.getJobs(['waiting']);
      const returned = waiting.find((job) => job.data.key === key);
      expect(returned, waiting.map((job) => job.data.key).join()).toMatchObject({
        attemptsMade: 0,
      });
      expect(await queue.getJobCounts('delayed', 'failed', 'active')).toEqual({
        delayed: 0,
        failed: 0,
        active: 0,
      });
      const before = await Promise.all(done.map((path) => stat(path)));
      // when another worker is there, then it goes on where the first one has stopped
      const second = await start('worker', GROUPS);
      await eventually('the group is taken', async () =>
        (await second.logTail(400)).includes(`encode-${group}`) ? true : undefined,
      );
      const after = await Promise.all(done.map((path) => stat(path).catch(() => undefined)));
      for (const [at, file] of after.entries()) {
        if (file !== undefined) expect(file.ino).toBe(before[at]?.ino);
      }
      const model = await api.finishedModel(name);
      expect(model.status.variants[0]).toMatchObject({ phase: 'Ready', attempts: 1 });
      const log = await second.logTail(400);
      for (const path of done) expect(log).not.toContain(`"encode-${Number(path.slice(-5))}"`);
      const { body } = await api.get(`/api/v1/events?kind=Model&name=${name}`);
      expect(JSON.stringify(body)).not.toContain('Warning');
    });

    it('ends in time, although neither Redis nor the broker takes its goodbye', async () => {
      const worker = await start('worker', { ...GROUPS, SHUTDOWN_TIMEOUT_SECONDS: '6' });
      await expect
        .poll(() => childrenOf(worker.pid, 'entrofleet-compressor'), SOON)
        .toHaveLength(1);
      const [compressor = 0] = await childrenOf(worker.pid, 'entrofleet-compressor');
      for (const { pid } of [redis, broker]) sendSignal(pid, 'SIGSTOP');
      try {
        const startMs = performance.now();
        await worker.stop();
        expect(performance.now() - startMs).toBeLessThan(9000);
        expect(await isAlive(compressor)).toBe(false);
      } finally {
        for (const { pid } of [redis, broker]) sendSignal(pid, 'SIGCONT');
      }
      // The lock on its key runs out, and then it is another's.
      await start('worker', GROUPS);
      const model = await api.finishedModel(name);
      expect(model.status.variants[0]?.phase).toBe('Ready');
    }, 120_000);
  });

  it('says first that it is not ready, serves on, and ends its watches cleanly', async () => {
    const server = await start('api', { SHUTDOWN_DELAY_SECONDS: '3' });
    const client = new ApiClient(server.url);
    expect((await client.get('/readyz')).status).toBe(200);
    const watch = await fetch(`${server.url}${MODELS}?watch=true`);
    const text = watch.text();
    // when it is asked to stop
    const stopped = server.stop();
    // then it is not ready, and yet answers, and keeps no connection
    const notReady = await eventually('it is not ready', async () => {
      const answer = await client.get('/readyz');
      return answer.status === 503 ? answer : undefined;
    });
    expect(notReady.body).toMatchObject({
      ready: false,
      checks: expect.arrayContaining([{ name: 'process', ok: false, message: 'it is stopping' }]),
    });
    expect((await client.get('/healthz')).status).toBe(204);
    const answer = await fetch(`${server.url}${MODELS}`);
    expect(answer.status).toBe(200);
    expect(answer.headers.get('connection')).toBe('close');
    await answer.text();
    // and the watch ends as an answer does that is complete
    expect(await text).toContain('BOOKMARK');
    await stopped;
    expect(await isStopped(server)).toBe(true);
    await expect(client.get('/healthz')).rejects.toThrow();
  });

  it('as a distributor leaves devices to another one', async () => {
    // given a device that fetches from one of two distributors, slowly
    const name = await post('u8');
    const worker = await start('worker');
    const model = await api.finishedModel(name);
    const { sizeBytes = 0 } = model.status.variants[0]?.quality ?? {};
    await worker.stop();
    const slowly = { DISTRIBUTION_BYTES_PER_SECOND: String(Math.round(sizeBytes / 5)) };
    const first = await start('distributor', slowly);
    const agent = await startAgent({ device: 'edge-1', mqttUrl: broker.url });
    others.push(agent);
    const spec = { selector: { matchLabels: {} }, model: name, variant: 'u8' };
    const created = await api.post('/api/v1/rollouts', { metadata: { name: 'slow' }, spec });
    expect(created.status, JSON.stringify(created.body)).toBe(202);
    const published = async () => {
      const { body } = await new ApiClient(first.url).get('/metrics');
      return Number(/^entrofleet_chunks_published_total (\d+)/m.exec(String(body))?.[1] ?? 0);
    };
    await expect.poll(published, SOON).toBeGreaterThan(2);
    await start('distributor');
    // when that one is asked to stop
    const startMs = performance.now();
    await first.stop();
    expect(await isStopped(first)).toBe(true);
    expect(performance.now() - startMs).toBeLessThan(5000);
    // then the device gets the rest, and everything is intact
    const device = await eventually('the device runs the model', async () => {
      const { body } = await api.get('/api/v1/devices/edge-1');
      const { report } = (body as { status: { report: Record<string, unknown> | null } }).status;
      return report?.phase === 'Active' && report.active !== null ? report : undefined;
    });
    expect(device).toMatchObject({ error: null, download: { chunksCorrupt: 0 } });
  }, 120_000);
});
