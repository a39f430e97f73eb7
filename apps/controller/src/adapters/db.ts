import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { PGlite } from '@electric-sql/pglite';
import { type Dialect, Kysely, PGliteDialect, PostgresDialect, sql } from 'kysely';
import type { Config } from '../config.ts';
import { messageOf, StartupError, Unavailable } from '../errors.ts';
import { lockFile } from './db.lock.ts';
import { migrate } from './db.migrations.ts';
import type { Schema } from './db.schema.ts';
import { makeFolder } from './folder.ts';
import type { Log } from './log.ts';
import { openPostgresPool } from './postgres.pool.ts';

const RETRY_MS = { first: 500, last: 10_000 };
const CLOCK_CHECK_MS = 30_000;
/** A difference as large as the way to the database and back may be none. */
const CLOCK_NOISE_MS = 1000;

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
  #clockOffsetMs = 0;

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

  /**
   * What the database's clock is ahead of this machine's: all processes of a controller go by that
   * one, so that times which one of them wrote mean the same to another. 0 for less than a second.
   */
  get clockOffsetMs(): number {
    return this.#clockOffsetMs;
  }

  get isReady(): boolean {
    return this.#migrated;
  }

  /** @throws Unavailable until migrations have run. */
  get query(): Kysely<Schema> {
    if (this.#migrated) return this.#kysely;
    throw new Unavailable('DatabaseUnavailable', 'the database is not reachable yet; try again');
  }

  /**
   * Resolves once migrations have run; rejects when the database is closed before.
   * @throws StartupError `SchemaNewer` when a newer controller has migrated the database.
   */
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
        await this.#checkClock();
        this.#migrated = true;
        this.#watchClock();
        if (lastError !== '') this.#log.info('database reachable');
      } catch (error) {
        if (error instanceof StartupError) throw error;
        const message = messageOf(error instanceof Unavailable ? error.cause : error);
        if (message !== lastError) this.#log.warn('database not usable yet', { error: message });
        lastError = message;
        await sleep(pauseMs, undefined, { signal: this.#stop.signal });
        pauseMs = Math.min(pauseMs * 2, RETRY_MS.last);
      }
    }
  }

  #watchClock(): void {
    const check = () => this.#checkClock().catch(() => undefined);
    const timer = setInterval(check, CLOCK_CHECK_MS).unref();
    this.#stop.signal.addEventListener('abort', () => clearInterval(timer));
  }

  async #checkClock(): Promise<void> {
    const startMs = Date.now();
    const { rows } = await sql<{ ms: string }>`
      select extract(epoch from clock_timestamp()) * 1000 as ms
    `.execute(this.#kysely);
    const endMs = Date.now();
    const offsetMs = Math.round(Number(rows[0]?.ms) - (startMs + endMs) / 2);
    const isNoise = Math.abs(offsetMs) < Math.max(CLOCK_NOISE_MS, endMs - startMs);
    const nextMs = isNoise ? 0 : offsetMs;
    const isNews = Math.abs(nextMs - this.#clockOffsetMs) >= CLOCK_NOISE_MS;
    this.#clockOffsetMs = nextMs;
    if (!isNews) return;
    const offsetSeconds = nextMs / 1000;
    this.#log.warn("the database's clock differs from this machine's; it is used", {
      offsetSeconds,
    });
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
