import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { childrenOf, isAlive } from '../support/child.processes.ts';
import {
  type PrivateService,
  type RedisService,
  startController,
  startMosquitto,
  startRedis,
} from '../support/services.ts';

const MODELS = '/api/v1/models';
/** Generous: the promise is 100 ms, the machine of a test may be busy with anything. */
const LATENCY_BOUND_MS = 1000;
const SOON = { timeout: 20_000 };

describe('compression while things are killed', () => {
  let folder: string;
  let source: string;
  let redis: RedisService;
  let broker: PrivateService;
  let controller: PrivateService;
  let api: ApiClient;
  let count = 0;
  let name: string;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrofleet-recovery-'));
    // Large enough to take seconds, so that something can be killed in the middle.
    source = await writeTinyCheckpoint(join(folder, 'larger'), {
      hiddenSize: 320,
      intermediateSize: 960,
      layers: 6,
      heads: 5,
      keyValueHeads: 5,
      vocabularySize: 2048,
    });
    redis = await startRedis();
    broker = await startMosquitto();
    controller = await startController({
      redisUrl: redis.url,
      mqttUrl: broker.url,
      environment: { SWEEP_INTERVAL_SECONDS: '1' },
    });
    api = new ApiClient(controller.url);
  });
  afterAll(async () => {
    for (const service of [controller, broker, redis]) await service.stop();
    await rm(folder, { recursive: true, force: true });
  });
  beforeEach(async () => {
    name = `model-${count++}`;
    // Rows of another length each time: no evaluation is found in the cache.
    const evaluation = { rows: 8, rowTokens: 40 + count };
    const spec = { source: { path: source }, variants: ['rd'], evaluation };
    expect((await api.post(MODELS, { metadata: { name }, spec })).status).toBe(202);
    await api.modelWhere(name, (m) => m.status.variants[0]?.phase === 'Compressing');
    await expect.poll(() => compressors(), SOON).toHaveLength(1);
  });

  const compressors = () => childrenOf(controller.pid, 'entrofleet-compressor');

  async function expectReady(attempts: unknown): Promise<void> {
    const model = await api.finishedModel(name);
    expect(model.status.variants[0], JSON.stringify(model.status)).toMatchObject({
      phase: 'Ready',
      attempts,
    });
    const names = await readdir(join(controller.folder, 'blobs'));
    expect(names.filter((file) => file !== 'work' && !file.endsWith('.efa'))).toEqual([]);
    // The work files of this variant go as soon as it is done.
    await expect.poll(() => readdir(join(controller.folder, 'blobs/work')), SOON).toEqual([]);
  }

  it('answers quickly meanwhile', async () => {
    const latenciesMs: number[] = [];
    let busy = true;
    while (busy) {
      const start = performance.now();
      const { status } = await api.model(name);
      latenciesMs.push(performance.now() - start);
      busy = status.variants[0]?.phase !== 'Ready';
    }
    const sorted = latenciesMs.toSorted((a, b) => a - b);
    const at = (share: number) => (sorted[Math.floor(sorted.length * share)] ?? 0).toFixed(1);
    console.info(
      `API latency during compression over ${sorted.length} requests: ` +
        `median ${at(0.5)} ms, p99 ${at(0.99)} ms, longest ${sorted.at(-1)?.toFixed(1)} ms`,
    );
    expect(sorted.at(-1)).toBeLessThan(LATENCY_BOUND_MS);
  });

  it('survives kill -9 of the compressor', async () => {
    const [pid = 0] = await compressors();
    process.kill(pid, 'SIGKILL');
    await expectReady(2);
    const { body } = await api.get(`/api/v1/events?kind=Model&name=${name}`);
    expect(JSON.stringify(body)).toContain('CompressorDied');
  });

  it('survives FLUSHALL of Redis', async () => {
    await redis.flush();
    await expectReady(1);
  });

  it('survives kill -9 and loss of Redis', async () => {
    await redis.kill9();
    await redis.restart();
    await expectReady(1);
    // The queue works as before.
    const spec = { source: { path: source }, variants: ['u8'] };
    await api.post(MODELS, { metadata: { name: `${name}-b` }, spec });
    await api.finishedModel(`${name}-b`);
  });

  it('survives kill -9 of the controller, which takes the compressor with it', async () => {
    const [pid = 0] = await compressors();
    await controller.kill9();
    // It is gone: signal 0 only asks.
    await expect.poll(() => isAlive(pid), SOON).toBe(false);
    await controller.restart();
    // One attempt when the compressor had just ended a step, two when it was within one.
    await expectReady(expect.toBeOneOf([1, 2]));
  });

  it('gives the variant back when the controller is asked to stop', async () => {
    await controller.restart();
    await expectReady(1);
  });

  it('drops the work when the model is deleted', async () => {
    expect((await api.delete(`${MODELS}/${name}`)).status).toBe(204);
    await expect.poll(() => compressors(), SOON).toEqual([]);
    await expect.poll(() => readdir(join(controller.folder, 'blobs/work')), SOON).toEqual([]);
  });
});
