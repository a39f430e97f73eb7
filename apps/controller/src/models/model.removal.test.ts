import { mkdtemp, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Artifact, modelSpecSchema } from '@entrofleet/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { KeyList } from '../../../../test/fixtures/key.list.ts';
import { BlobStore } from '../adapters/blobs.ts';
import { SystemClock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { ArtifactCollector } from '../artifacts/artifact.collector.ts';
import { ArtifactStore } from '../artifacts/artifact.store.ts';
import { DeltaStore } from '../artifacts/delta.store.ts';
import { EventStore } from '../events/event.store.ts';
import { ModelReferences } from './model.references.ts';
import { ModelService } from './model.service.ts';
import { ModelStore } from './model.store.ts';
import { plannedStatus, withVariant } from './variant.plan.ts';

const now = '2026-11-21T08:00:00.000Z';
const spec = modelSpecSchema.parse({ source: { path: '/m' }, variants: ['u8'] });
const [idA, idB] = ['a'.repeat(64), 'b'.repeat(64)] as const;

function artifact(model: string, id: string): Artifact {
  return {
    id,
    model,
    variant: 'u8',
    recipe: 'u8',
    createdAt: now,
    ref: {
      id,
      sizeBytes: 4,
      headerSizeBytes: 4,
      headerChunks: [id],
      chunkCount: 1,
      chunkSizeBytes: 4096,
    },
    memoryBytes: 1,
    contextLength: 256,
    kvCacheBytesPerToken: 0,
    quality: {
      sizeBytes: 4,
      weights: 1,
      codedWeights: 1,
      bitsPerWeight: 5,
      entropyBitsPerWeight: 5,
      sqnrDb: null,
      perplexity: 2,
      sourcePerplexity: 2,
      perplexityRatio: 1,
      evaluation: { origin: 'x', rows: 1, tokens: 1 },
      withinBound: true,
      tensors: [],
    },
    probe: {
      promptTokens: [1],
      generateTokens: 1,
      fingerprint: { tokenIds: [1], logits: [0], standardDeviation: 1, tolerance: 0.01 },
    },
  };
}

describe('removal of models', () => {
  let folder: string;
  let database: Database;
  let blobs: BlobStore;
  let models: ModelStore;
  let artifacts: ArtifactStore;
  let collector: ArtifactCollector;
  let service: ModelService;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrofleet-removal-'));
    const log = new Log('error');
    const clock = new SystemClock();
    database = await Database.inMemory(log);
    blobs = await BlobStore.open(folder);
    models = new ModelStore(database, clock);
    artifacts = new ArtifactStore(database);
    const references = new ModelReferences(database);
    const events = new EventStore(database, clock);
    const deltas = new DeltaStore(database);
    collector = new ArtifactCollector(artifacts, deltas, models, references, blobs, log);
    service = new ModelService(models, references, collector, events, new KeyList(), clock);
  });
  afterAll(async () => {
    await database.close();
    await rm(folder, { recursive: true });
  });
  beforeEach(async () => {
    for (const table of ['models', 'devices', 'rollouts', 'artifacts'] as const) {
      await database.query.deleteFrom(table).execute();
    }
  });

  async function readyModel(name: string, id: string): Promise<void> {
    const planned = plannedStatus({ spec, generation: 1, now }, undefined);
    const to = { phase: 'Ready', artifactId: id } as const;
    const status = withVariant({ spec, status: planned }, { name: 'u8', now, to });
    await models.create({ name, labels: {}, spec, status });
    await artifacts.save(artifact(name, id));
    await writeFile(blobs.path(id), 'test');
  }

  async function insert(table: 'devices' | 'rollouts', row: { spec: object; status: object }) {
    const common = { name: 'x', uid: crypto.randomUUID(), labels: '{}', generation: 1 };
    const json = { spec: JSON.stringify(row.spec), status: JSON.stringify(row.status) };
    await database.query
      .insertInto(table)
      .values({ ...common, ...json, created_at: new Date() })
      .execute();
  }

  it('is refused while a rollout names the model', async () => {
    await readyModel('m', idA);
    await insert('rollouts', { spec: { model: 'm' }, status: {} });
    await expect(service.remove('m', undefined)).rejects.toMatchObject({
      status: 409,
      reason: 'ModelInUse',
      message: expect.stringContaining('"x"'),
    });
    expect(await blobs.sizeBytes(idA)).toBe(4);
  });

  it.each([
    ['desired', { desired: { target: { artifact: { id: idA } } } }],
    ['active', { report: { active: { artifactId: idA } } }],
  ])('keeps an artifact that is %s on a device until it is not', async (_, status) => {
    await readyModel('m', idA);
    await insert('devices', { spec: {}, status });
    await service.remove('m', undefined);
    expect(await artifacts.findById(idA)).toBeDefined();
    expect(await blobs.sizeBytes(idA)).toBe(4);
    await database.query.deleteFrom('devices').execute();
    await collector.collect();
    expect(await artifacts.findById(idA)).toBeUndefined();
    expect(await blobs.sizeBytes(idA)).toBeUndefined();
  });

  it('keeps a file that another model shares', async () => {
    await readyModel('m', idA);
    await readyModel('n', idA);
    await readyModel('o', idB);
    await service.remove('m', undefined);
    const first = await artifacts.list({ limit: 1 });
    expect(first.items.map((a) => a.model)).toEqual(['n']);
    const second = await artifacts.list({ limit: 1, continue: first.continue });
    expect(second.items.map((a) => a.model)).toEqual(['o']);
    expect(second.continue).toBeUndefined();
    expect(await blobs.sizeBytes(idA)).toBe(4);
    await service.remove('n', undefined);
    expect(await blobs.sizeBytes(idA)).toBeUndefined();
    expect(await blobs.sizeBytes(idB)).toBe(4);
  });

  it('collects files without a row, but not one that was just written', async () => {
    await writeFile(blobs.path(idA), 'test');
    await writeFile(blobs.path(idB), 'test');
    await utimes(blobs.path(idB), new Date(0), new Date(0));
    await collector.collect();
    expect(await blobs.sizeBytes(idA)).toBe(4);
    expect(await blobs.sizeBytes(idB)).toBeUndefined();
  });
});
