import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Kysely, sql, type Transaction } from 'kysely';
import { StartupError } from '../errors.ts';
import { controllerVersion } from '../version.ts';
import type { Schema } from './db.schema.ts';

const MIGRATIONS = fileURLToPath(new URL('../../migrations/', import.meta.url));
/** Any number, the same in every controller: who holds it may migrate. */
const MIGRATION_LOCK = 7_246_113;

interface DoneMigration {
  readonly name: string;
  /** Of the controller that ran it; null where that was not kept yet. */
  readonly version: string | null;
}

/**
 * Runs each file of migrations/ once, in the order of names, all in one locked transaction.
 * @throws StartupError `SchemaNewer` when the database has migrations that are not there; it is
 *   left as it is then.
 */
export async function migrate(kysely: Kysely<Schema>): Promise<void> {
  const files = (await readdir(MIGRATIONS)).filter((file) => file.endsWith('.sql')).sort();
  await kysely.transaction().execute(async (transaction) => {
    // Should this machine vanish now, the lock must not stay with the server for hours.
    await sql`set local idle_in_transaction_session_timeout = '60s'`.execute(transaction);
    await sql`select pg_advisory_xact_lock(${sql.lit(MIGRATION_LOCK)})`.execute(transaction);
    const done = await doneMigrations(transaction);
    refuseNewer(done, files);
    for (const file of files) {
      if (done.some(({ name }) => name === file)) continue;
      for (const statement of statements(await readFile(join(MIGRATIONS, file), 'utf8'))) {
        await sql.raw(statement).execute(transaction);
      }
      await sql`
        insert into migrations (name, run_at, version) values (${file}, now(), ${controllerVersion()})
      `.execute(transaction);
    }
  });
}

async function doneMigrations(transaction: Transaction<Schema>): Promise<DoneMigration[]> {
  await sql`
    create table if not exists migrations (
      name text primary key, run_at timestamptz not null, version text
    )
  `.execute(transaction);
  // It takes a lock that waits for all readers, so it must not run at every start.
  const { rows: columns } = await sql`
    select from pg_attribute where attrelid = 'migrations'::regclass and attname = 'version'
  `.execute(transaction);
  if (columns.length === 0) {
    await sql`alter table migrations add column version text`.execute(transaction);
  }
  const { rows } = await sql<DoneMigration>`
    select name, version from migrations order by name
  `.execute(transaction);
  return rows;
}

function refuseNewer(done: readonly DoneMigration[], files: readonly string[]): void {
  const newest = done.findLast(({ name }) => !files.includes(name));
  if (newest === undefined) return;
  const own = controllerVersion();
  const writer = newest.version ?? 'a newer version';
  throw new StartupError(
    'SchemaNewer',
    `the database's schema is newer than this controller: its migration ${newest.name} was made by ` +
      `entrofleet ${writer}, and this is ${own}, which ends with ${files.at(-1)}. Start ` +
      `${newest.version ?? 'that version'} or a later one, or restore a backup from before the upgrade`,
  );
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
