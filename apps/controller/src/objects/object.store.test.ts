import { selectorTextSchema } from '@entrofleet/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SystemClock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { ObjectStore } from './object.store.ts';

const spec = z.strictObject({ size: z.number(), note: z.string().optional() });
const status = z.strictObject({ phase: z.string(), seen: z.array(z.number()) });

describe('ObjectStore', () => {
  let database: Database;
  let store: ObjectStore<z.infer<typeof spec>, z.infer<typeof status>>;

  beforeAll(async () => {
    database = await Database.inMemory(new Log('error'));
    store = new ObjectStore(database, new SystemClock(), {
      kind: 'model',
      table: 'models',
      spec,
      status,
    });
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    await database.query.deleteFrom('models').execute();
  });

  const create = (name: string, labels: Record<string, string> = {}) =>
    store.create({ name, labels, spec: { size: 1 }, status: { phase: 'New', seen: [] } });

  it('creates an object once', async () => {
    const made = await create('a', { site: 'berlin' });
    expect(made.metadata).toMatchObject({ name: 'a', generation: 1, labels: { site: 'berlin' } });
    expect(await store.get('a')).toEqual(made);
    await expect(create('a')).rejects.toMatchObject({ status: 409, reason: 'AlreadyExists' });
  });

  it('says what does not exist', async () => {
    expect(await store.find('b')).toBeUndefined();
    const missing = { status: 404, message: 'model "b" does not exist' };
    await expect(store.get('b')).rejects.toMatchObject(missing);
    await expect(store.updateStatus('b', (o) => o.status)).rejects.toMatchObject(missing);
    await expect(store.delete('b')).rejects.toMatchObject(missing);
  });

  it('counts spec changes in generation and every change in resourceVersion', async () => {
    const first = await create('a');
    const grown = await store.updateSpec('a', { spec: { size: 2 } });
    expect(grown.metadata.generation).toBe(2);
    const seen = await store.updateStatus('a', (o) => ({ ...o.status, seen: [1, 2] }));
    expect(seen.metadata.generation).toBe(2);
    expect(seen.status.seen).toEqual([1, 2]);
    const versions = [first, grown, seen].map((o) => o.metadata.resourceVersion);
    expect(new Set(versions).size).toBe(3);
  });

  it('does not write what is the same', async () => {
    const before = await store.create({
      name: 'a',
      labels: {},
      spec: { size: 1, note: 'x' },
      status: { phase: 'New', seen: [] },
    });
    expect(await store.updateSpec('a', { spec: { note: 'x', size: 1 } })).toEqual(before);
    expect(await store.updateStatus('a', (o) => ({ ...o.status }))).toEqual(before);
    expect(await store.updateStatus('a', () => undefined)).toEqual(before);
  });

  it('refuses a stale resourceVersion, also after delete and create', async () => {
    const { metadata } = await create('a');
    const { resourceVersion } = metadata;
    await store.updateSpec('a', { spec: { size: 2 }, resourceVersion });
    const conflict = { status: 409, reason: 'ResourceVersionConflict' };
    const stale = store.updateSpec('a', { spec: { size: 3 }, resourceVersion });
    await expect(stale).rejects.toMatchObject(conflict);
    await expect(store.delete('a', { resourceVersion })).rejects.toMatchObject(conflict);
    await store.delete('a');
    const again = await create('a');
    expect(again.metadata.resourceVersion).not.toBe(resourceVersion);
    expect(again.metadata.uid).not.toBe(metadata.uid);
  });

  it('loses no write of many at once', async () => {
    await create('a');
    const numbers = Array.from({ length: 8 }, (_, i) => i);
    await Promise.all(
      numbers.map((n) =>
        store.updateStatus('a', (o) => ({ ...o.status, seen: [...o.status.seen, n] })),
      ),
    );
    const { seen } = (await store.get('a')).status;
    expect(seen.toSorted()).toEqual(numbers);
  });

  it('lists by selector, in pages, in the order of names', async () => {
    for (const n of [3, 1, 2, 5, 4]) await create(`m${n}`, { n: String(n), odd: String(n % 2) });
    await create('other');
    const selector = selectorTextSchema.parse('odd in (0,1), n!=5, n');
    const names: string[] = [];
    let token: string | undefined;
    let pages = 0;
    do {
      const page = await store.list({ selector, limit: 2, continue: token });
      names.push(...page.items.map((o) => o.metadata.name));
      token = page.continue;
      pages++;
    } while (token !== undefined);
    expect(names).toEqual(['m1', 'm2', 'm3', 'm4']);
    expect(pages).toBe(2);
    const absent = await store.list({ selector: selectorTextSchema.parse('!n') });
    expect(absent.items.map((o) => o.metadata.name)).toEqual(['other']);
  });

  it('refuses a continue token that is none', async () => {
    const bad = store.list({ continue: 'bm90IGpzb24' });
    await expect(bad).rejects.toMatchObject({ status: 400, reason: 'BadContinue' });
  });
});
