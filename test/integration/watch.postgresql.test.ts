import { setTimeout as sleep } from 'node:timers/promises';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { z } from 'zod';
import { SystemClock } from '../../apps/controller/src/adapters/clock.ts';
import { Database } from '../../apps/controller/src/adapters/db.ts';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import { readConfig } from '../../apps/controller/src/config.ts';
import { objectSubject } from '../../apps/controller/src/objects/object.lists.ts';
import { ObjectStore } from '../../apps/controller/src/objects/object.store.ts';
import { ChangeFeed } from '../../apps/controller/src/watch/change.feed.ts';
import { ObjectChanges } from '../../apps/controller/src/watch/object.changes.store.ts';
import { VersionStore } from '../../apps/controller/src/watch/version.store.ts';
import { watchMessages } from '../../apps/controller/src/watch/watch.messages.ts';
import { postgresqlPrograms, startPostgresql } from '../support/postgresql.ts';

const programs = await postgresqlPrograms();
if (programs === undefined) {
  console.warn('PostgreSQL is not installed: skipping watches beside concurrent writers');
}

const WRITERS = 6;
const ROUNDS = 25;
const DEVICES = Array.from({ length: 24 }, (_, i) => `d${i}`);
const anything = z.record(z.string(), z.unknown());

/** A controller process, as far as watching goes. */
async function openProcess(url: string) {
  const database = await Database.open(readConfig({ DATABASE_URL: url }), new Log('error'));
  await database.whenReady();
  const store = new ObjectStore(database, new SystemClock(), {
    kind: 'device',
    table: 'devices',
    spec: anything,
    status: anything,
  });
  const feed = new ChangeFeed(new VersionStore(database));
  return { database, store, feed, changes: new ObjectChanges(database) };
}
type Process = Awaited<ReturnType<typeof openProcess>>;

/** Follows everything into a map of names to versions, as a client that keeps a copy does. */
async function follow(process: Process, seen: Map<string, number>, signal: AbortSignal) {
  const subject = objectSubject(process.store, process.changes, {});
  let last = 0;
  for await (const text of watchMessages(process.feed, subject, { after: undefined, signal })) {
    const data = /^data: (.*)$/m.exec(text)?.[1];
    if (data === undefined) continue;
    const { type, object } = JSON.parse(data);
    expect(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK']).toContain(type);
    const version = Number(object.metadata.resourceVersion);
    if (/^id: /m.test(text)) {
      expect(version).toBeGreaterThanOrEqual(last);
      last = version;
    }
    if (type === 'DELETED') seen.delete(object.metadata.name);
    else if (type !== 'BOOKMARK') seen.set(object.metadata.name, version);
  }
}

/** Transactions that stay open for a while after they have drawn their versions. */
async function write({ database }: Process, random: () => number): Promise<void> {
  for (let round = 0; round < ROUNDS; round++) {
    const names = DEVICES.filter(() => random() < 0.2).toSorted();
    await database.query.transaction().execute(async (transaction) => {
      for (const name of names) {
        if (random() < 0.25) {
          await sql`delete from devices where name = ${name}`.execute(transaction);
          continue;
        }
        await sql`
          insert into devices (name, uid, labels, generation, created_at, spec, status)
          values (${name}, gen_random_uuid(), '{}', 1, now(), '{}', '{}')
          on conflict (name) do update set resource_version = nextval('resource_versions')
        `.execute(transaction);
      }
      await sleep(random() * 40);
    });
  }
}

/** A small generator of numbers in [0, 1), so that a failure can be repeated (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

it.skipIf(programs === undefined)(
  'watchers of two processes miss nothing that concurrent transactions commit out of order',
  async () => {
    const postgresql = await startPostgresql(programs ?? '');
    const processes: Process[] = [];
    try {
      processes.push(await openProcess(postgresql.url), await openProcess(postgresql.url));
      const stop = new AbortController();
      const copies = processes.map(() => new Map<string, number>());
      const following = processes.map((process, i) =>
        follow(process, copies[i] ?? new Map(), stop.signal),
      );
      const writing = Array.from({ length: WRITERS }, (_, i) => {
        const process = processes[i % 2];
        return process === undefined ? undefined : write(process, randomFrom(i + 1));
      });
      await Promise.all(writing);
      const rows = await sql<{ name: string; version: string }>`
        select name, resource_version as version from devices
      `.execute(processes[0]?.database.query ?? expect.fail());
      const truth = new Map(rows.rows.map(({ name, version }) => [name, Number(version)]));
      for (const copy of copies) {
        await expect
          .poll(() => [...copy].toSorted(), { timeout: 10_000 })
          .toEqual([...truth].toSorted());
      }
      stop.abort();
      await Promise.all(following);
    } finally {
      for (const { database } of processes) await database.close();
      await postgresql.stop();
    }
  },
);
