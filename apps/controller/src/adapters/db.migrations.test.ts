import { PGlite } from '@electric-sql/pglite';
import { Kysely, PGliteDialect, sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { controllerVersion } from '../version.ts';
import { migrate } from './db.migrations.ts';
import type { Schema } from './db.schema.ts';

let kysely: Kysely<Schema>;

beforeEach(async () => {
  kysely = new Kysely<Schema>({ dialect: new PGliteDialect({ pglite: await PGlite.create() }) });
});
afterEach(() => kysely.destroy());

async function done(): Promise<unknown[]> {
  return (await sql`select * from migrations order by name`.execute(kysely)).rows;
}

describe('migrate', () => {
  test('runs each migration once and keeps which version did', async () => {
    await migrate(kysely);
    const first = await done();
    expect(first[0]).toMatchObject({ name: '0001_objects.sql', version: controllerVersion() });
    await migrate(kysely);
    expect(await done()).toEqual(first);
  });

  test('goes on in a database whose migrations do not say which version ran them', async () => {
    await migrate(kysely);
    await sql`alter table migrations drop column version`.execute(kysely);
    await migrate(kysely);
    expect((await done())[0]).toMatchObject({ name: '0001_objects.sql', version: null });
  });

  test('refuses a newer schema, naming both versions and the way out', async () => {
    await migrate(kysely);
    await sql`insert into migrations values ('9999_future.sql', now(), '7.8.9')`.execute(kysely);
    const before = await done();
    const refusal = await migrate(kysely).catch((error: unknown) => error);
    expect(refusal).toMatchObject({ name: 'StartupError', reason: 'SchemaNewer' });
    for (const part of ['9999_future.sql', '7.8.9', controllerVersion(), 'Start 7.8.9', 'backup']) {
      expect(String(refusal)).toContain(part);
    }
    expect(await done()).toEqual(before);
  });
});
