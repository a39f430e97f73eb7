import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Device, deviceSchema, type Model } from '@entrofleet/protocol';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeFineTuned } from '../fixtures/fine.tuned.checkpoint.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { startAgentFromSource } from '../support/agent.process.ts';
import { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import {
  type PrivateService,
  type RedisService,
  startController,
  startMosquitto,
  startRedis,
} from '../support/services.ts';

const ROLLOUTS = '/api/v1/rollouts';
const WAIT = { timeoutMs: 60_000 };

let folder: string;
let redis: RedisService;
let broker: PrivateService;
let controller: PrivateService;
let api: ApiClient;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-delta-'));
  redis = await startRedis();
  broker = await startMosquitto();
  controller = await startController({
    redisUrl: redis.url,
    mqttUrl: broker.url,
    environment: { SWEEP_INTERVAL_SECONDS: '1', ENTROFLEET_BLOB_DIR: join(folder, 'blobs') },
  });
  api = new ApiClient(controller.url);
}, 60_000);
afterAll(async () => {
  for (const service of [controller, broker, redis]) await service?.stop();
  await rm(folder, { recursive: true, force: true });
});

/** @returns the id of the model's artifact. */
async function register(name: string, path: string): Promise<string> {
  const evaluation = { rows: 2, rowTokens: 32 };
  const spec = { source: { path }, variants: ['u8'], evaluation };
  await api.post('/api/v1/models', { metadata: { name }, spec });
  const model: Model = await api.finishedModel(name);
  const [variant] = model.status.variants;
  expect(variant?.phase).toBe('Ready');
  return variant?.artifactId ?? '';
}

/** Rolls the model out and waits until the devices serve it. */
async function rollOut(model: string, artifactId: string, names: readonly string[]) {
  const selector = { matchLabels: { site: 'test' } };
  const body = { metadata: { name: model }, spec: { selector, model, variant: 'u8' } };
  expect((await api.post(ROLLOUTS, body)).status).toBe(202);
  const devices: Device[] = [];
  for (const name of names) {
    const ask = async () => {
      const { body: answer } = await api.get(`/api/v1/devices/${name}`);
      const device = deviceSchema.parse(answer);
      return device.status.report?.active?.artifactId === artifactId ? device : undefined;
    };
    devices.push(await eventually(`${name} to serve ${model}`, ask, WAIT));
  }
  await api.delete(`${ROLLOUTS}/${model}`);
  return devices;
}

it('moves devices to a fine-tune by a delta, and those without the base without it', async () => {
  const source = await writeTinyCheckpoint(join(folder, 'source'), {
    ...{ hiddenSize: 256, intermediateSize: 768, layers: 4 },
  });
  const tuned = join(folder, 'tuned');
  await writeFineTuned(source, tuned, { kind: 'relative', noise: 0.01 });
  await startAgentFromSource({ device: 'edge-1', mqttUrl: broker.url });
  await eventually(
    'the first device',
    async () => ((await api.get('/api/v1/devices/edge-1')).status === 200 ? true : undefined),
    WAIT,
  );
  const baseId = await register('base', source);
  await rollOut('base', baseId, ['edge-1']);
  const tunedId = await register('tuned', tuned);
  const files = async () =>
    (await readdir(join(folder, 'blobs'))).filter((n) => n.endsWith('.efa'));
  await eventually(
    'the delta',
    async () => ((await files()).length === 3 ? true : undefined),
    WAIT,
  );
  await startAgentFromSource({ device: 'edge-2', mqttUrl: broker.url });
  await eventually(
    'the second device',
    async () => ((await api.get('/api/v1/devices/edge-2')).status === 200 ? true : undefined),
    WAIT,
  );
  const [first, second] = await rollOut('tuned', tunedId, ['edge-1', 'edge-2']);
  const offered = first?.status.desired?.target?.deltas?.[0];
  const whole = first?.status.desired?.target?.artifact.sizeBytes ?? 0;
  expect(offered?.baseArtifactId).toBe(baseId);
  expect(first?.status.report?.delta).toMatchObject({ baseArtifactId: baseId, outcome: 'Applied' });
  expect(first?.status.report?.download?.bytesReceived).toBe(offered?.file.sizeBytes);
  expect(offered?.file.sizeBytes).toBeLessThan(0.2 * whole);
  expect(second?.status.report?.delta ?? null).toBeNull();
  expect(second?.status.report?.download?.bytesReceived).toBe(whole);
}, 240_000);
