import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { deviceSchema, rolloutSchema } from '@entrofleet/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type PrivateService,
  type RedisService,
  startAgent,
  startMosquitto,
  startRedis,
} from '../../deploy/private/services.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import {
  type PrivatePostgresql,
  postgresqlPrograms,
  startPostgresql,
} from '../support/postgresql.ts';
import { parseMetrics } from '../support/prometheus.text.ts';
import { startRole } from '../support/role.processes.ts';

const ROLES = ['api', 'worker', 'distributor', 'reconciler'] as const;
/** What each cannot do without. */
const NEEDS = {
  api: ['database'],
  worker: ['database', 'redis'],
  distributor: ['database', 'broker'],
  reconciler: ['database', 'redis', 'broker'],
} as const;
const DEVICES = ['edge-1', 'edge-2', 'edge-3'];

const programs = await postgresqlPrograms();
if (programs === undefined) console.warn('PostgreSQL is not installed: SKIPPED a process a role');

describe.skipIf(programs === undefined)('a controller whose roles are processes', () => {
  let folder: string;
  let redis: RedisService;
  let broker: PrivateService;
  let postgresql: PrivatePostgresql;
  let processes: Readonly<Record<(typeof ROLES)[number], PrivateService>>;
  let agents: PrivateService[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrofleet-roles-'));
    redis = await startRedis();
    broker = await startMosquitto();
    postgresql = await startPostgresql(programs ?? '');
    const site = { redisUrl: redis.url, mqttUrl: broker.url, databaseUrl: postgresql.url, folder };
    const environment = { SWEEP_INTERVAL_SECONDS: '1' };
    const [api, worker, distributor, reconciler] = await Promise.all([
      startRole(site, 'api', environment),
      startRole(site, 'worker', environment),
      startRole(site, 'distributor', environment),
      startRole(site, 'reconciler', environment),
    ]);
    processes = { api, worker, distributor, reconciler };
    agents = await Promise.all(
      DEVICES.map((device) => startAgent({ device, mqttUrl: broker.url, labels: { site: 'a' } })),
    );
  }, 120_000);
  afterAll(async () => {
    for (const service of [...agents, ...Object.values(processes ?? {}), broker, redis]) {
      await service?.stop();
    }
    await postgresql?.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const client = (role: (typeof ROLES)[number]) => new ApiClient(processes[role].url);
  const metrics = async (role: (typeof ROLES)[number]) =>
    parseMetrics(String((await client(role).get('/metrics')).body));

  it.each(ROLES)('%s lives, is ready, and says what for', async (role) => {
    expect((await client(role).get('/healthz')).status).toBe(204);
    const { status, body } = await client(role).get('/readyz');
    expect(status).toBe(200);
    expect(body).toEqual({
      ready: true,
      checks: NEEDS[role].map((name) => ({ name, ok: true, message: '' })),
    });
    for (const other of ROLES) {
      const is = (await metrics(role)).get(`entrofleet_role_enabled{role="${other}"}`);
      expect(is, other).toBe(other === role ? 1 : 0);
    }
    const answer = await client(role).get('/api/v1/models');
    expect(answer.status).toBe(role === 'api' ? 200 : 404);
  });

  it('compresses a model and rolls it out to agents', async () => {
    const api = client('api');
    const path = await writeTinyCheckpoint(join(folder, 'tiny'), { hiddenSize: 128, layers: 4 });
    const evaluation = { rows: 2, rowTokens: 32 };
    const quality = { maxPerplexityRatio: 10 };
    const model = { source: { path }, variants: ['u8'], evaluation, quality };
    await api.post('/api/v1/models', { metadata: { name: 'tiny' }, spec: model });
    expect((await api.finishedModel('tiny')).status.variants[0]?.phase).toBe('Ready');
    const spec = {
      selector: { matchLabels: { site: 'a' } },
      model: 'tiny',
      variant: 'u8',
      samplePrompt: 'once upon a time',
      strategy: { waves: [{ count: 1 }, { percent: 100 }] },
    };
    const posted = await api.post('/api/v1/rollouts', { metadata: { name: 'demo' }, spec });
    expect(posted.status, JSON.stringify(posted.body)).toBe(202);
    const rollout = await eventually('the rollout is complete', async () => {
      const seen = rolloutSchema.parse((await api.get('/api/v1/rollouts/demo')).body);
      return seen.status.phase === 'Complete' ? seen : undefined;
    });
    expect(rollout.status.counts).toMatchObject({ active: 3, failed: 0 });
    for (const name of DEVICES) {
      const { status } = deviceSchema.parse((await api.get(`/api/v1/devices/${name}`)).body);
      expect(status.report).toMatchObject({ phase: 'Active', error: null });
    }
    // Each process has done its own part, and only that.
    const [worker, distributor, reconciler] = await Promise.all([
      metrics('worker'),
      metrics('distributor'),
      metrics('reconciler'),
    ]);
    const handled = (queue: string) => `entrofleet_jobs_total{queue="${queue}",outcome="handled"}`;
    expect(worker.get(handled('compression'))).toBeGreaterThan(0);
    expect(worker.has(handled('reconcile'))).toBe(false);
    expect(reconciler.get(handled('reconcile'))).toBeGreaterThan(0);
    expect(reconciler.has(handled('compression'))).toBe(false);
    expect(reconciler.get('entrofleet_devices{liveness="online"}')).toBe(3);
    expect(worker.has('entrofleet_devices{liveness="online"}')).toBe(false);
    expect(distributor.get('entrofleet_chunks_published_total')).toBeGreaterThan(0);
    expect(reconciler.get('entrofleet_chunks_published_total')).toBe(0);
  });

  it('stays ready where it does not need what is away', async () => {
    await broker.kill9();
    const readiness = async () => {
      const answers = await Promise.all(ROLES.map((role) => client(role).get('/readyz')));
      return answers.map(({ status }) => status).join();
    };
    await expect.poll(readiness, { timeout: 20_000 }).toBe('200,200,503,503');
    await broker.restart();
    await redis.kill9();
    await expect.poll(readiness, { timeout: 20_000 }).toBe('200,503,200,503');
    const { body } = await client('worker').get('/readyz');
    expect(body).toMatchObject({
      ready: false,
      checks: [{ ok: true }, { name: 'redis', ok: false }],
    });
    await redis.restart();
    await expect.poll(readiness, { timeout: 20_000 }).toBe('200,200,200,200');
  });
});
