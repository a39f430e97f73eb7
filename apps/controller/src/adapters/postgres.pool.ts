import type { PostgresPool } from 'kysely';
import pg from 'pg';
import { Unavailable } from '../errors.ts';
import type { Log } from './log.ts';

const CONNECT_TIMEOUT_MS = 5000;
/** A connection whose other end has vanished without a word is given up after so long. */
const QUERY_TIMEOUT_MS = 20_000;
const KEEPALIVE_MS = 10_000;
/** SQLSTATE classes of a server that is going down, out of resources, or lost on the way. */
const AWAY = /^(08|53|57P)/;

/**
 * A pool of connections to PostgreSQL for Kysely. Trouble with a connection, as opposed to trouble
 * with a statement, is `Unavailable` with reason `DatabaseUnavailable`, and the connection is
 * thrown away: whether the statement was carried out is not known, so whoever asked reads again.
 */
export function openPostgresPool(options: {
  readonly url: string;
  readonly size: number;
  readonly log: Log;
  readonly queryTimeoutMs?: number;
}): PostgresPool {
  const { url, size, log, queryTimeoutMs = QUERY_TIMEOUT_MS } = options;
  const settings: pg.PoolConfig = {
    connectionString: url,
    max: size,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    query_timeout: queryTimeoutMs,
    keepAlive: true,
    keepAliveInitialDelayMillis: KEEPALIVE_MS,
    application_name: 'entrofleet-controller',
  };
  const pool = new pg.Pool(settings);
  pool.on('error', (error) => log.warn('database connection lost', { error: error.message }));
  // A connection that breaks while somebody holds it fails that query; that is word enough.
  pool.on('connect', (client) => client.on('error', () => undefined));
  return {
    options: settings,
    connect: async () => lease(await pool.connect().catch(rethrowAway)),
    end: () => pool.end(),
  };
}

type Lease = Awaited<ReturnType<PostgresPool['connect']>>;

function lease(client: pg.PoolClient): Lease {
  let isBroken = false;
  const query = async (sql: string, parameters: readonly unknown[]): Promise<unknown> => {
    try {
      return await client.query(sql, [...parameters]);
    } catch (error) {
      isBroken ||= isAway(error);
      return rethrowAway(error);
    }
  };
  // Kysely also knows cursors, which we do not use; its type asks for both forms.
  return {
    query: query as Lease['query'],
    release: (discard?: boolean) => client.release(isBroken || discard === true),
  } as Lease;
}

/** True for every failure that is not the server's verdict on a statement. */
function isAway(error: unknown): boolean {
  if (error instanceof pg.DatabaseError) return AWAY.test(error.code ?? '');
  return !(error instanceof TypeError);
}

function rethrowAway(error: unknown): never {
  if (!isAway(error)) throw error;
  const message = 'the database does not answer; try again';
  throw new Unavailable('DatabaseUnavailable', message, { cause: error });
}
