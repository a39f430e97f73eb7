import { spawnSync } from 'node:child_process';
import { beforeEach, describe, expect, it } from 'vitest';
import { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import { FakeDevice } from '../support/fake.device.ts';
import { parseMetrics } from '../support/prometheus.text.ts';
import {
  type PrivateService,
  type RedisService,
  startController,
  startMosquitto,
  startRedis,
} from '../support/services.ts';

const hasPromtool = spawnSync('promtool', ['--version']).status === 0;
if (!hasPromtool) console.warn('SKIPPED: promtool check metrics: not installed (apt: prometheus)');

let redis: RedisService;
let broker: PrivateService;
let controller: PrivateService;
let api: ApiClient;

beforeEach(async () => {
  redis = await startRedis();
  broker = await startMosquitto();
  controller = await startController({
    redisUrl: redis.url,
    mqttUrl: broker.url,
    environment: { SWEEP_INTERVAL_SECONDS: '1' },
  });
  api = new ApiClient(controller.url);
}, 120_000);

async function text(): Promise<string> {
  const { status, contentType, body } = await api.get('/metrics');
  expect(status).toBe(200);
  expect(contentType).toMatch(/^text\/plain; version=0\.0\.4/);
  return String(body);
}
const metrics = async () => parseMetrics(await text());

/** Waits until a sample has this value, `undefined`: until there is none. */
function sample(name: string, value: number | undefined): Promise<ReadonlyMap<string, number>> {
  return eventually(`${name} is ${value}`, async () => {
    const all = await metrics();
    return all.get(name) === value ? all : undefined;
  });
}

describe('GET /metrics', () => {
  it('tells what the process is, what it reaches, and the fleet in figures', async () => {
    const device = await FakeDevice.start({ device: 'edge-1', url: broker.url });
    const all = await sample('entrofleet_devices{liveness="online"}', 1);
    expect(Object.fromEntries(all)).toMatchObject({
      'entrofleet_devices{liveness="offline"}': 0,
      'entrofleet_dependency_up{dependency="database"}': 1,
      'entrofleet_dependency_up{dependency="redis"}': 1,
      'entrofleet_dependency_up{dependency="broker"}': 1,
      'entrofleet_role_enabled{role="worker"}': 1,
      'entrofleet_role_enabled{role="kubernetes"}': 0,
      entrofleet_leader: 1,
      'entrofleet_queue_keys{queue="compression",state="waiting"}': 0,
      'entrofleet_queue_keys{queue="reconcile",state="failed"}': 0,
      'entrofleet_rollouts{phase="Paused"}': 0,
      'entrofleet_model_variants{phase="Failed"}': 0,
      'entrofleet_device_messages_total{kind="report"}': expect.any(Number),
      entrofleet_watchers: 0,
    });
    const sweptAt = all.get('entrofleet_sweep_last_success_timestamp_seconds') ?? 0;
    expect(Math.abs(sweptAt - Date.now() / 1000)).toBeLessThan(30);
    expect(all.get('process_resident_memory_bytes')).toBeGreaterThan(1e7);
    await device.stop();
  });

  it('counts requests by route, however many objects they name', async () => {
    for (let i = 0; i < 30; i++) await api.get(`/api/v1/models/model-${i}`);
    for (let i = 0; i < 30; i++) await api.get(`/nothing/here-${i}`);
    const name = 'entrofleet_http_request_duration_seconds_count';
    const of = (route: string) => `${name}{method="GET",route="${route}",status="4xx"}`;
    const all = await sample(of('/api/v1/models/:name'), 30);
    expect(all.get(of('none'))).toBe(30);
    const series = [...all.keys()].filter((key) => key.startsWith(name));
    expect(series.length).toBeLessThan(10);
  });

  it.skipIf(!hasPromtool)('passes promtool check metrics', async () => {
    await sample('entrofleet_devices{liveness="online"}', 0);
    const { stdout, stderr, status } = spawnSync('promtool', ['check', 'metrics'], {
      input: await text(),
      encoding: 'utf8',
    });
    expect({ status, said: stdout + stderr }).toEqual({ status: 0, said: '' });
  });

  it('answers while Redis and the broker are away, and says so', async () => {
    await sample('entrofleet_queue_keys{queue="compression",state="waiting"}', 0);
    await redis.kill9();
    await broker.kill9();
    const all = await sample('entrofleet_dependency_up{dependency="redis"}', 0);
    expect(all.get('entrofleet_dependency_up{dependency="database"}')).toBe(1);
    await sample('entrofleet_dependency_up{dependency="broker"}', 0);
    await sample('entrofleet_queue_keys{queue="compression",state="waiting"}', undefined);
    await redis.restart();
    await broker.restart();
    await sample('entrofleet_dependency_up{dependency="redis"}', 1);
    await sample('entrofleet_queue_keys{queue="compression",state="waiting"}', 0);
  });

  it('counts what was done with the keys of queues', async () => {
    const selector = { matchLabels: { site: 'none' } };
    const rollout = { metadata: { name: 'r' }, spec: { selector, model: 'none', variant: 'u8' } };
    expect((await api.post('/api/v1/rollouts', rollout)).status).toBe(202);
    await sample('entrofleet_rollouts{phase="Pending"}', 1);
    await eventually('jobs are counted', async () => {
      const done = (await metrics()).get(
        'entrofleet_jobs_total{queue="reconcile",outcome="handled"}',
      );
      return (done ?? 0) > 0 ? true : undefined;
    });
  });
});

describe('GET /metrics, while the database is away from the start on', () => {
  it('answers and says so', async () => {
    const lonely = await startController({
      redisUrl: redis.url,
      mqttUrl: broker.url,
      environment: { DATABASE_URL: 'postgresql://nobody@127.0.0.1:1/none' },
      isUnready: true,
    });
    api = new ApiClient(lonely.url);
    const all = await sample('entrofleet_dependency_up{dependency="broker"}', 1);
    expect(all.get('entrofleet_dependency_up{dependency="database"}')).toBe(0);
    expect(all.has('entrofleet_devices{liveness="online"}')).toBe(false);
    expect((await api.get('/readyz')).status).toBe(503);
    expect((await api.get('/healthz')).status).toBe(204);
  });
});
