import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { z } from 'zod';
import { SystemClock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { DEVICE_FIELDS } from '../devices/device.fields.ts';
import { fieldsMatch, parseFieldSelector } from './field.selector.ts';
import { ObjectStore } from './object.store.ts';

const anything = z.record(z.string(), z.unknown());
const parse = (text: string) => parseFieldSelector(text, DEVICE_FIELDS);

describe('field selectors', () => {
  let database: Database;
  let store: ObjectStore<Record<string, unknown>, Record<string, unknown>>;

  beforeAll(async () => {
    database = await Database.inMemory(new Log('error'));
    const kind = { kind: 'device', table: 'devices', spec: anything, status: anything } as const;
    store = new ObjectStore(database, new SystemClock(), kind);
    const serving = (model: string) => ({ phase: 'Active', active: { model, variant: 'u8' } });
    const add = (name: string, spec: object, status: object) =>
      store.create({ name, labels: {}, spec: { ...spec }, status: { ...status } });
    await add('idle', { pinned: true }, { online: true, report: { phase: 'Idle', active: null } });
    await add('story', { pinned: false }, { online: true, report: serving('stories') });
    await add('poem', {}, { online: false, report: serving('poems') });
    await add('unheard', {}, { online: false, report: null });
  });
  afterAll(() => database.close());

  it.each([
    ['status.online=true', ['idle', 'story']],
    ['status.online==false,status.phase=Active', ['poem']],
    ['status.phase!=Active', ['idle', 'unheard']],
    ['status.report.active.model=stories', ['story']],
    ['status.report.active.model=', ['idle', 'unheard']],
    ['spec.pinned=false', ['poem', 'story', 'unheard']],
    ['spec.pinned!=false', ['idle']],
    ['metadata.name=poem', ['poem']],
    ['', ['idle', 'poem', 'story', 'unheard']],
  ])('%j selects the same in the database and in memory', async (text, names) => {
    const fields = parse(text);
    const found = await store.list({ fields });
    expect(found.items.map((o) => o.metadata.name)).toEqual(names);
    const all = await store.list();
    const matching = all.items.filter((object) => fieldsMatch(fields, object));
    expect(matching.map((o) => o.metadata.name)).toEqual(names);
  });

  it.each([
    ['status.colour=red', 'field "status.colour" is not supported'],
    ['status.online', '"status.online" is no field requirement'],
    ['status.online=true,', '"" is no field requirement'],
    ['toString=1', 'field "toString" is not supported'],
  ])('%j is refused, and the fields there are named', (text, message) => {
    expect(() => parse(text)).toThrow(message);
    expect(() => parse(text)).toThrow('status.report.active.model');
  });
});
