import { copyFile, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeArtifact, openCheckpoint } from '@entrofleet/artifact';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { temporaryFolder } from '../../../../deploy/private/temporary.folder.ts';
import { writeFineTuned } from '../../../../test/fixtures/fine.tuned.checkpoint.ts';
import { KeyList } from '../../../../test/fixtures/key.list.ts';
import { writeTinyCheckpoint } from '../../../../test/fixtures/tiny.checkpoint.ts';
import { BlobStore } from '../adapters/blobs.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { DeltaCollector } from '../artifacts/delta.collector.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { readConfig } from '../config.ts';
import { ModelReferences } from '../models/model.references.ts';
import { deltaKey } from './delta.key.ts';
import { DeltaWorker } from './delta.worker.ts';

const log = new Log('error');
const { signal } = new AbortController();

let database: Database;
let blobs: BlobStore;
let deltas: DeltaStore;
let worker: DeltaWorker;
let collector: DeltaCollector;
/** Ids of artifacts in the blob folder. */
let base: string;
let tuned: string;
let other: string;

beforeAll(async () => {
  const folder = await temporaryFolder('delta-worker');
  database = await Database.inMemory(log);
  blobs = await BlobStore.open(join(folder, 'blobs'));
  deltas = new DeltaStore(database);
  const config = readConfig({ ENTROFLEET_DATA_DIR: folder });
  worker = new DeltaWorker(config, new KeyList(), database, blobs, deltas, log);
  const references = new ModelReferences(database);
  collector = new DeltaCollector(deltas, new ArtifactStore(database), references, blobs, log);
  const encoded = async (source: string): Promise<string> => {
    const checkpoint = await openCheckpoint(source);
    const path = join(folder, 'draft');
    const recipe = { kind: 'affine', bits: 8 } as const;
    const { ref } = await encodeArtifact({ checkpoint, recipe, path, threads: 2 });
    await checkpoint.close();
    await copyFile(path, blobs.path(ref.id));
    return ref.id;
  };
  const source = await writeTinyCheckpoint(join(folder, 'source'));
  base = await encoded(source);
  await writeFineTuned(source, join(folder, 'tuned'), { kind: 'relative', noise: 0.01 });
  tuned = await encoded(join(folder, 'tuned'));
  other = await encoded(await writeTinyCheckpoint(join(folder, 'other'), { seed: 2 }));
});
afterAll(() => database.close());
beforeEach(async () => {
  await database.query.deleteFrom('artifact_deltas').execute();
});

const make = (pair: { base: string; target: string }) => worker.reconcile(deltaKey(pair), signal);

describe('a delta', () => {
  it('is made once, offered with its target and found by its own id', async () => {
    const pair = { base, target: tuned };
    await make(pair);
    const record = await deltas.find(pair);
    if (record?.state !== 'Ready') throw new Error(`it is ${JSON.stringify(record)}`);
    expect(record.ref.sizeBytes).toBeLessThan(0.4 * record.reuseSizeBytes);
    expect(await deltas.offers(tuned)).toEqual([{ baseArtifactId: base, file: record.ref }]);
    expect(await deltas.findRef(record.ref.id)).toEqual(record.ref);
    expect(await blobs.sizeBytes(record.ref.id)).toBe(record.ref.sizeBytes);
    await make(pair);
    expect(await deltas.find(pair)).toEqual(record);
    await blobs.remove(record.ref.id);
    await make(pair);
    expect(await deltas.find(pair)).toEqual(record);
    expect(await blobs.sizeBytes(record.ref.id)).toBe(record.ref.sizeBytes);
  });

  it('that saves nothing is given up, and leaves no file', async () => {
    const before = await readdir(blobs.folder);
    await make({ base, target: other });
    expect(await deltas.find({ base, target: other })).toMatchObject({ state: 'NotSmaller' });
    expect(await deltas.offers(other)).toEqual([]);
    expect((await readdir(blobs.folder)).sort()).toEqual(before.sort());
  });

  it('of a file that is no artifact fails for good, and says why', async () => {
    const bad = 'f'.repeat(64);
    await writeFile(blobs.path(bad), 'no artifact');
    await make({ base: bad, target: tuned });
    const record = await deltas.find({ base: bad, target: tuned });
    expect(record).toMatchObject({ state: 'Failed', reason: 'BadMagic' });
  });

  it('that never gets finished is given up', async () => {
    const pair = { base, target: tuned };
    await deltas.save(pair, { state: 'Making', starts: 3 });
    await make(pair);
    expect(await deltas.find(pair)).toMatchObject({ state: 'Failed', reason: 'TooManyAttempts' });
  });

  it('that is interrupted has not begun', async () => {
    const pair = { base, target: tuned };
    const interrupted = worker.reconcile(deltaKey(pair), AbortSignal.abort(new Error('stopping')));
    await expect(interrupted).rejects.toThrow('stopping');
    expect(await deltas.find(pair)).toBeUndefined();
    await deltas.save(pair, { state: 'Making', starts: 2 });
    const again = worker.reconcile(deltaKey(pair), AbortSignal.abort(new Error('stopping')));
    await expect(again).rejects.toThrow('stopping');
    expect(await deltas.find(pair)).toEqual({ state: 'Making', starts: 2 });
  });

  it('waits for artifacts whose files are not there', async () => {
    const pair = { base, target: 'e'.repeat(64) };
    await make(pair);
    expect(await deltas.find(pair)).toBeUndefined();
  });

  it('is collected when no device has its base', async () => {
    const pair = { base, target: tuned };
    await make(pair);
    const [offer] = await deltas.offers(tuned);
    await collector.collect();
    expect(await deltas.find(pair)).toBeUndefined();
    expect(await blobs.sizeBytes(offer?.file.id ?? '')).toBeUndefined();
  });
});
