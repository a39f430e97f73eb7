import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { PGlite } from '@electric-sql/pglite';
import { type Dialect, Kysely, PGliteDialect, PostgresDialect, sql } from 'kysely';
import type { Config } from '../config.ts';
import { messageOf, StartupError, Unavailable } from '../errors.ts';
import { lockFile } from './db.lock.ts';
import type { Schema } from './db.schema.ts';
import { makeFolder } from './folder.ts';
import type { Log } from './log.ts';
import { openPostgresPool } from './postgres.pool.ts';

const MIGRATIONS = fileURLToPath(new URL('../../migrations/', import.meta.url));
const RETRY_MS = { first: 500, last: 10_000 };
/** Any number, the same in every controller: who holds it may migrate. */
const MIGRATION_LOCK = 7_246_113;

/**
 * The record: PostgreSQL by `DATABASE_URL`, else PGlite in the data folder. Both run the same SQL.
 * PGlite has one connection, so a transaction must never wait for anything but the database.
 */
export class Database {
  readonly #kysely: Kysely<Schema>;
  readonly #unlock: () => Promise<void>;
  readonly #log: Log;
  readonly #stop = new AbortController();
  readonly #ready: Promise<void>;
  #migrated = false;

  private constructor(dialect: Dialect, unlock: () => Promise<void>, log: Log) {
    this.#kysely = new Kysely<Schema>({ dialect });
    this.#unlock = unlock;
    this.#log = log;
    this.#ready = this.#migrateUntilDone();
    // Callers of whenReady see a failure; without any, a shutdown must not end in a rejection.
    this.#ready.catch(() => undefined);
  }

  /**
   * Opens the database; migrations then run in the background, retried while it is away.
   * @throws StartupError when the embedded database is in use or its folder unusable.
   */
  static async open(config: Config, log: Log): Promise<Database> {
    if (config.databaseUrl !== undefined) {
      const { databaseUrl: url, databasePoolSize: size } = config;
      const pool = openPostgresPool({ url, size, log });
      return new Database(new PostgresDialect({ pool }), async () => undefined, log);
    }
    const unlock = await openFolder(config.dataFolder);
    try {
      const folder = join(config.dataFolder, 'db');
      const pglite = await PGlite.create(folder);
      return new Database(new PGliteDialect({ pglite }), unlock, log);
    } catch (cause) {
      await unlock();
      throw new StartupError(
        'DatabaseUnusable',
        `cannot open the embedded database in ${config.dataFolder}/db: ${messageOf(cause)}`,
        { cause },
      );
    }
  }

  /** An embedded database in memory, for tests. */
  static async inMemory(log: Log): Promise<Database> {
    const pglite = await PGlite.create();
    const database = new Database(new PGliteDialect({ pglite }), async () => undefined, log);
    await database.whenReady();
    return database;
  }

  get isReady(): boolean {
    return this.#migrated;
  }

  /** @throws Unavailable until migrations have run. */
  get query(): Kysely<Schema> {
    if (this.#migrated) return this.#kysely;
    throw new Unavailable('DatabaseUnavailable', 'the database is not reachable yet; try again');
  }

  /** Resolves once migrations have run; rejects when the database is closed before. */
  whenReady(): Promise<void> {
    return this.#ready;
  }

  /** @throws when the database does not answer now. */
  async ping(): Promise<void> {
    await sql`select 1`.execute(this.query);
  }

  async close(): Promise<void> {
    this.#stop.abort();
    await this.#ready.catch(() => undefined);
    await this.#kysely.destroy();
    await this.#unlock();
  }

  async #migrateUntilDone(): Promise<void> {
    let pauseMs = RETRY_MS.first;
    let lastError = '';
    while (!this.#migrated) {
      try {
        await migrate(this.#kysely);
        this.#migrated = true;
        if (lastError !== '') this.#log.info('database reachable');
      } catch (error) {
        const message = messageOf(error instanceof Unavailable ? error.cause : error);
        if (message !== lastError) this.#log.warn('database not usable yet', { error: message });
        lastError = message;
        await sleep(pauseMs, undefined, { signal: this.#stop.signal });
        pauseMs = Math.min(pauseMs * 2, RETRY_MS.last);
      }
    }
  }
}

async function openFolder(dataFolder: string): Promise<() => Promise<void>> {
  try {
    await makeFolder(dataFolder);
    return await lockFile(join(dataFolder, 'db.lock'));
  } catch (cause) {
    if (cause instanceof StartupError) throw cause;
    throw new StartupError(
      'DataFolderUnusable',
      `cannot write to ENTROFLEET_DATA_DIR ${dataFolder}: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** Runs each file of migrations/ once, in the order of names, all in one locked transaction. */
async function migrate(kysely: Kysely<Schema>): Promise<void> {
  const files = (await readdir(MIGRATIONS)).filter((file) => file.endsWith('.sql')).sort();
  await kysely.transaction().execute(async (transaction) => {
    // Should this machine vanish now, the lock must not stay with the server for hours.
    await sql`set local idle_in_transaction_session_timeout = '60s'`.execute(transaction);
    await sql`select pg_advisory_xact_lock(${sql.lit(MIGRATION_LOCK)})`.execute(transaction);
    await sql`
      create table if not exists migrations (name text primary key, run_at timestamptz not null)
    `.execute(transaction);
    const done = await sql<{ name: string }>`select name from migrations`.execute(transaction);
    for (const file of files) {
      if (done.rows.some((row) => row.name === file)) continue;
      for (const statement of statements(await readFile(join(MIGRATIONS, file), 'utf8'))) {
        await sql.raw(statement).execute(transaction);
      }
      await sql`insert into migrations values (${file}, now())`.execute(transaction);
    }
  });
}

/** A migration's statements end with a semicolon at the end of a line, but not within `$$`. */
function statements(text: string): string[] {
  const found: string[] = [];
  let open = '';
  for (const piece of text.split(/(?<=;)[ \t]*$/m)) {
    open += piece;
    if (open.split('$$').length % 2 === 0) continue;
    if (open.trim() !== '') found.push(open.trim());
    open = '';
  }
  return found;
}
