import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { postgresqlPrograms, startPostgresql } from '../support/postgresql.ts';
import { startController, startMosquitto, startRedis } from '../support/services.ts';

const programs = await postgresqlPrograms();
if (programs === undefined) {
  console.warn('PostgreSQL is not installed: skipping the controller on a PostgreSQL server');
}

it.skipIf(programs === undefined)('two controllers share one PostgreSQL', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-pg-'));
  const postgresql = await startPostgresql(programs ?? '');
  try {
    const redis = await startRedis();
    const broker = await startMosquitto();
    const shared = {
      DATABASE_URL: postgresql.url,
      ENTROFLEET_BLOB_DIR: join(folder, 'blobs'),
    };
    const urls = { redisUrl: redis.url, mqttUrl: broker.url };
    const [front, worker] = await Promise.all([
      startController({ ...urls, environment: { ...shared, ENTROFLEET_ROLES: 'api' } }),
      startController({
        ...urls,
        environment: { ...shared, ENTROFLEET_ROLES: 'worker,reconciler' },
      }),
    ]);
    const api = new ApiClient(front.url);
    const source = await writeTinyCheckpoint(join(folder, 'tiny'));
    const evaluation = { rows: 2, rowTokens: 32 };
    const spec = { source: { path: source }, variants: ['u8'], evaluation };
    const posted = await api.post('/api/v1/models', { metadata: { name: 'shared' }, spec });
    expect(posted.status).toBe(202);
    const model = await api.finishedModel('shared');
    expect(model.status.variants[0]?.phase).toBe('Ready');
    expect((await new ApiClient(worker.url).get('/api/v1/models')).status).toBe(404);
    await worker.stop();
    await front.stop();
  } finally {
    await postgresql.stop();
    await rm(folder, { recursive: true, force: true });
  }
});
