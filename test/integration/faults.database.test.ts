import { afterEach, beforeEach, expect, it } from 'vitest';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import { openPostgresPool } from '../../apps/controller/src/adapters/postgres.pool.ts';
import { type PostgresqlProcess, startPostgresqlProcess } from '../chaos/postgresql.process.ts';
import { eventually } from '../support/eventually.ts';
import { type FaultyLink, faultyLink } from '../support/faulty.link.ts';
import { postgresqlPrograms } from '../support/postgresql.ts';

const QUERY_TIMEOUT_MS = 700;

const programs = await postgresqlPrograms();
if (programs === undefined) console.warn('SKIPPED faults of PostgreSQL: it is not installed');
const test = it.skipIf(programs === undefined);

let server: PostgresqlProcess;
let link: FaultyLink;
let pool: ReturnType<typeof openPostgresPool>;

beforeEach(async () => {
  if (programs === undefined) return;
  server = await startPostgresqlProcess(programs);
  link = await faultyLink({ toPort: server.port });
  pool = openPostgresPool({
    url: `postgres://entrofleet@127.0.0.1:${link.port}/postgres`,
    size: 2,
    log: new Log('error'),
    queryTimeoutMs: QUERY_TIMEOUT_MS,
  });
});
afterEach(async () => {
  if (programs === undefined) return;
  await link.close();
  await pool.end();
  await server.remove();
});

async function ask(sql: string): Promise<unknown> {
  const client = await pool.connect();
  try {
    return (await client.query(sql, [])).rows;
  } finally {
    client.release();
  }
}

const AWAY = { reason: 'DatabaseUnavailable', status: 503 };

test('a connection on which nothing comes back is given up, and not used again', async () => {
  expect(await ask('select 1 as one')).toEqual([{ one: 1 }]);
  link.set({ kind: 'Silent' });
  const startMs = performance.now();
  await expect(ask('select 2 as two')).rejects.toMatchObject(AWAY);
  expect(performance.now() - startMs).toBeGreaterThan(QUERY_TIMEOUT_MS - 50);
  // Only what stood is broken: a new connection, once there is a way again, serves at once.
  link.set({ kind: 'Clear' });
  expect(await ask('select 3 as three')).toEqual([{ three: 3 }]);
});

test('a server killed in the middle of a transaction is a typed error, and comes back', async () => {
  await ask('create table numbers (n int)');
  const client = await pool.connect();
  await client.query('begin', []);
  await client.query('insert into numbers values (1)', []);
  await server.process.kill9();
  await expect(client.query('commit', [])).rejects.toMatchObject(AWAY);
  client.release();
  await expect(ask('select 1')).rejects.toMatchObject(AWAY);
  await eventually('PostgreSQL starts again', async () =>
    server.process.start().then(
      () => true,
      () => undefined,
    ),
  );
  const rows = await eventually('it answers', () =>
    ask('select * from numbers').catch(() => undefined),
  );
  expect(rows).toEqual([]);
});

test('a verdict of the server on a statement stays what it is', async () => {
  await expect(ask('select * from nowhere')).rejects.toMatchObject({ code: '42P01' });
  expect(await ask('select 1 as one')).toEqual([{ one: 1 }]);
});
