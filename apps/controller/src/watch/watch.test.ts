import { selectorTextSchema } from '@entrofleet/protocol';
import { sql } from 'kysely';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SystemClock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { EventStore } from '../events/event.store.ts';
import { eventSubject } from '../events/event.subject.ts';
import { objectSubject } from '../objects/object.lists.ts';
import { ObjectStore } from '../objects/object.store.ts';
import { ChangeFeed } from './change.feed.ts';
import { ObjectChanges } from './object.changes.store.ts';
import { VersionStore } from './version.store.ts';
import { type WatchSubject, watchMessages } from './watch.messages.ts';

const anything = z.record(z.string(), z.unknown());

interface Told {
  readonly type: string;
  readonly name?: string;
  readonly id?: string | undefined;
  readonly object: {
    readonly metadata: { readonly resourceVersion: string };
    readonly status: { readonly phase: string };
    readonly reason: string;
  };
}

describe('a watch', () => {
  let database: Database;
  let versions: VersionStore;
  let store: ObjectStore<Record<string, unknown>, Record<string, unknown>>;
  let changes: ObjectChanges;
  let feed: ChangeFeed;
  let stop: AbortController;

  beforeAll(async () => {
    database = await Database.inMemory(new Log('error'));
    versions = new VersionStore(database);
    changes = new ObjectChanges(database);
    store = new ObjectStore(database, new SystemClock(), {
      kind: 'device',
      table: 'devices',
      spec: anything,
      status: anything,
    });
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    await database.query.deleteFrom('devices').execute();
    feed = new ChangeFeed(versions);
    stop = new AbortController();
  });
  afterEach(() => stop.abort());

  const create = (name: string, labels: Record<string, string> = {}) =>
    store.create({ name, labels, spec: {}, status: { phase: 'Idle' } });
  const setPhase = (name: string, phase: string) => store.updateStatus(name, () => ({ phase }));
  const devices = (selector?: string) =>
    objectSubject(store, changes, {
      selector: selector === undefined ? undefined : selectorTextSchema.parse(selector),
    });

  /** Reads on from a watch, one event a call. */
  function reader(subject: WatchSubject, after?: number): () => Promise<Told> {
    const messages = watchMessages(feed, subject, { after, signal: stop.signal });
    return async () => {
      for (;;) {
        const { value, done } = await messages.next();
        if (done === true) throw new Error('the watch has ended');
        const data = /^data: (.*)$/m.exec(value)?.[1];
        if (data === undefined) continue;
        const event = JSON.parse(data);
        const id = /^id: (.*)$/m.exec(value)?.[1];
        return { ...event, id, name: event.object.metadata?.name };
      }
    };
  }
  const tell = ({ type, name }: Told): string => `${type} ${name}`;

  it('tells what is there, then what happens', async () => {
    await create('a');
    const next = reader(devices());
    expect(tell(await next())).toBe('ADDED a');
    expect((await next()).type).toBe('BOOKMARK');
    await create('b');
    const added = await next();
    expect(tell(added)).toBe('ADDED b');
    expect(added.id).toBe(added.object.metadata.resourceVersion);
    await setPhase('a', 'Active');
    const modified = await next();
    expect(tell(modified)).toBe('MODIFIED a');
    expect(modified.object.status.phase).toBe('Active');
    await store.delete('b');
    const deleted = await next();
    expect(tell(deleted)).toBe('DELETED b');
    expect(deleted.object.metadata.resourceVersion).toBe(deleted.id);
  });

  it('says nothing of a write that keeps the version', async () => {
    await create('a');
    const next = reader(devices(), await feed.current());
    await sql`update devices set status = '{"phase": "Active"}' where name = 'a'`.execute(
      database.query,
    );
    await create('b');
    expect(tell(await next())).toBe('ADDED b');
  });

  it('resumes where a client was, and tells all that it missed', async () => {
    await create('a');
    await create('b');
    const first = reader(devices());
    await first();
    await first();
    const { id } = await first();
    await store.delete('a');
    await create('c');
    await setPhase('b', 'Active');
    await create('a');
    await store.delete('c');
    const again = reader(devices(), Number(id));
    // c came and went unseen.
    const missed = [tell(await again()), tell(await again()), tell(await again())];
    expect(missed).toEqual(['DELETED a', 'MODIFIED b', 'ADDED a']);
  });

  it('follows labels and fields: what no longer matches is deleted for the client', async () => {
    await create('in', { site: 'lab' });
    await create('out', { site: 'roof' });
    const next = reader(devices('site=lab'));
    expect(tell(await next())).toBe('ADDED in');
    const { id } = await next();
    await store.update('out', () => ({ labels: { site: 'lab' } }));
    expect(tell(await next())).toBe('ADDED out');
    await store.update('in', () => ({ labels: { site: 'roof' } }));
    expect(tell(await next())).toBe('DELETED in');
    const resumed = reader(devices('site=lab'), Number(id));
    const told = [tell(await resumed()), tell(await resumed())];
    expect(told).toEqual(['MODIFIED out', 'DELETED in']);
  });

  it('ends with 410 when deletions since then are forgotten', async () => {
    await create('a');
    const before = await feed.current();
    await store.delete('a');
    await create('b');
    const late = reader(devices(), before);
    await versions.prune({ olderThanMs: 3_600_000, most: 0 });
    const gone = { status: 410, reason: 'Expired' };
    expect(await late()).toMatchObject({ type: 'ERROR', object: gone });
    await expect(feed.assertKept('devices', before)).rejects.toMatchObject(gone);
    await expect(feed.assertKept('devices', 1e12)).rejects.toMatchObject(gone);
    await feed.assertKept('devices', (await versions.observe()).last);
    await feed.assertKept('models', before);
  });

  it('keeps young tombstones, and no more than are asked for', async () => {
    await database.query.deleteFrom('tombstones').execute();
    for (const name of ['a', 'b', 'c']) {
      await create(name);
      await store.delete(name);
    }
    await versions.prune({ olderThanMs: 3_600_000, most: 2 });
    const kept = await database.query.selectFrom('tombstones').select('name').execute();
    expect(kept.map(({ name }) => name).toSorted()).toEqual(['b', 'c']);
    await versions.prune({ olderThanMs: 0, most: 100 });
    expect(await database.query.selectFrom('tombstones').selectAll().execute()).toEqual([]);
  });

  it('reads pages that are longer than what has changed at once', async () => {
    const names = Array.from({ length: 600 }, (_, i) => `d${String(i).padStart(3, '0')}`);
    const next = reader(devices(), await feed.current());
    await sql`
      insert into devices (name, uid, labels, generation, created_at, spec, status)
      select 'd' || lpad(i::text, 3, '0'), gen_random_uuid(), '{}', 1, now(), '{}', '{}'
      from generate_series(0, 599) i
    `.execute(database.query);
    const told: string[] = [];
    while (told.length < names.length) told.push((await next()).name ?? '');
    expect(told.toSorted()).toEqual(names);
  });

  it('of events: each once, as they come, of one object', async () => {
    const events = new EventStore(database, new SystemClock());
    const record = (name: string, reason: string) =>
      events.record({ object: { kind: 'Rollout', name }, type: 'Normal', reason, message: '' });
    await record('r', 'First');
    await record('other', 'Elsewhere');
    const next = reader(eventSubject(events, { kind: 'Rollout', name: 'r' }));
    expect((await next()).object.reason).toBe('First');
    expect((await next()).type).toBe('BOOKMARK');
    await record('other', 'Again');
    await record('r', 'Second');
    expect(await next()).toMatchObject({ type: 'ADDED', object: { reason: 'Second' } });
    await events.collect(new Date(Date.now() + 1000));
    expect((await events.list({})).items).toEqual([]);
  });

  it('of events that came at once: in order, without repeating what was said last', async () => {
    const events = new EventStore(database, new SystemClock());
    const object = { kind: 'Rollout', name: 'many' } as const;
    const told = (...reasons: string[]) =>
      reasons.map((reason) => ({ type: 'Normal' as const, reason, message: '' }));
    await events.recordAll(object, told('First', 'First', 'Second', 'First'));
    await events.recordAll(object, told('First', 'Third'));
    await events.recordAll(object, []);
    const reasons = async () =>
      (await events.list({ kind: 'Rollout', name: 'many' })).items.map(({ reason }) => reason);
    expect(await reasons()).toEqual(['Third', 'First', 'Second', 'First']);
    await events.recordAll(object, told(...Array.from({ length: 1000 }, (_, i) => `Of${i}`)));
    expect(await reasons()).toHaveLength(200);
    expect((await reasons())[0]).toBe('Of999');
  });
});
