import { createHash } from 'node:crypto';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openArtifact } from '@entrofleet/artifact';
import { artifactSchema, eventSchema, listSchema, modelSchema } from '@entrofleet/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { startController, startMosquitto, startRedis } from '../support/services.ts';

const MODELS = '/api/v1/models';
const ARTIFACTS = '/api/v1/artifacts';
const EVALUATION = { rows: 4, rowTokens: 32 };

describe('models over the REST API', () => {
  let folder: string;
  let source: string;
  let dataFolder: string;
  let api: ApiClient;
  let url: string;
  const services: { stop(): Promise<void> }[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrofleet-models-'));
    source = await writeTinyCheckpoint(join(folder, 'tiny'));
    const redis = await startRedis();
    const broker = await startMosquitto();
    const controller = await startController({ redisUrl: redis.url, mqttUrl: broker.url });
    services.push(controller, broker, redis);
    dataFolder = controller.folder;
    url = controller.url;
    api = new ApiClient(url);
  });
  afterAll(async () => {
    for (const service of services) await service.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const body = (name: string, change: object = {}) => ({
    metadata: { name },
    spec: { source: { path: source }, variants: ['u8'], evaluation: EVALUATION, ...change },
  });

  it('compresses, measures and reports every variant', async () => {
    const posted = await api.post(MODELS, body('first', { variants: ['u8', 'u4', 'rd'] }));
    expect(posted.status).toBe(202);
    expect(modelSchema.parse(posted.body).status.variants[0]?.phase).toBe('Pending');
    const model = modelSchema.parse(await api.finishedModel('first'));
    expect(model.status.variants.map((v) => [v.name, v.phase, v.progress])).toEqual([
      ['u8', 'Ready', 1],
      ['u4-paper', 'Ready', 1],
      ['rd-4.2', 'Ready', 1],
    ]);
    const [u8, u4, rd] = model.status.variants.map((variant) => variant.quality);
    expect(u8?.perplexityRatio).toBeCloseTo(1, 1);
    expect(u8?.withinBound).toBe(true);
    expect(u8?.bitsPerWeight).toBeGreaterThan(rd?.bitsPerWeight ?? Number.NaN);
    expect(rd?.entropyBitsPerWeight).toBeCloseTo(4.2, 1);
    expect(u4?.bitsPerWeight).toBeLessThan(rd?.bitsPerWeight ?? Number.NaN);
    expect(u8?.evaluation).toMatchObject({ rows: 4, tokens: 4 * 31 });
    expect(model.status.conditions.find((c) => c.type === 'Ready')?.status).toBe('True');
    expect(await readdir(join(dataFolder, 'evaluations')), 'evaluated once').toHaveLength(1);
  });

  it('serves artifacts with their evidence and content', async () => {
    const { body: list } = await api.get(`${ARTIFACTS}?model=first`);
    const { items } = listSchema(artifactSchema).parse(list);
    expect(items.map((item) => item.variant)).toEqual(['rd-4.2', 'u4-paper', 'u8']);
    const [artifact] = items;
    if (artifact === undefined) throw new Error('no artifact');
    const { id, ref, quality, probe } = artifact;
    expect(quality.tensors.length).toBeGreaterThan(10);
    expect(probe.fingerprint.logits.length).toBeGreaterThan(0);
    const response = await fetch(`${url}${ARTIFACTS}/${id}/content`);
    const bytes = Buffer.from(await response.arrayBuffer());
    const file = join(dataFolder, 'downloaded.efa');
    await writeFile(file, bytes);
    const reader = await openArtifact(file);
    await reader.verify();
    expect(reader.ref).toEqual(ref);
    expect(reader.evaluation).toMatchObject({
      perplexity: quality.perplexity,
      sourcePerplexity: quality.sourcePerplexity,
    });
    await reader.close();
    const header = bytes.subarray(0, ref.headerSizeBytes);
    expect(createHash('sha256').update(header).digest('hex')).toBe(id);
    const range = { range: 'bytes=10-19' };
    const part = await fetch(`${url}${ARTIFACTS}/${id}/content`, { headers: range });
    expect(part.status).toBe(206);
    expect(Buffer.from(await part.arrayBuffer())).toEqual(bytes.subarray(10, 20));
  });

  it('tells what happened', async () => {
    const { body: list } = await api.get('/api/v1/events?kind=Model&name=first');
    const reasons = listSchema(eventSchema)
      .parse(list)
      .items.map((event) => event.reason);
    expect(reasons.at(-1)).toBe('Created');
    expect(reasons.filter((reason) => reason === 'VariantReady')).toHaveLength(3);
  });

  it('calibrates a variant on the tokens it names', async () => {
    const tokensPath = join(folder, 'calibration.json');
    await writeFile(
      tokensPath,
      JSON.stringify([
        [9999, 9999],
        [1, 300, 301],
        [5, 6, 7],
      ]),
    );
    const variant = { recipe: 'rd-4', calibration: { tokensPath, skipRows: 1 } };
    const paper = { ...variant, name: 'paper', recipe: 'u8' };
    expect((await api.post(MODELS, body('paper', { variants: [paper] }))).status).toBe(422);
    const variants = [
      { ...variant, name: 'tuned' },
      { ...variant, name: 'untokened', calibration: { tokensPath: '/no/such/file' } },
    ];
    const posted = await api.post(MODELS, body('calibrated', { variants }));
    expect(posted.status).toBe(202);
    const model = modelSchema.parse(await api.finishedModel('calibrated'));
    const [tuned, untokened] = model.status.variants;
    expect(tuned).toMatchObject({ phase: 'Ready', recipe: 'rd-4' });
    expect(untokened?.phase).toBe('Failed');
    expect(untokened?.message).toContain('calibration tokens /no/such/file cannot be read');
    const response = await fetch(`${url}${ARTIFACTS}/${tuned?.artifactId}/content`);
    const file = join(dataFolder, 'calibrated.efa');
    await writeFile(file, Buffer.from(await response.arrayBuffer()));
    const reader = await openArtifact(file);
    expect(reader.header.recipe).toMatchObject({
      targetBitsPerWeight: 4,
      calibration: { tokensSha256: expect.stringMatching(/^[0-9a-f]{64}$/) },
    });
    await reader.close();
  });

  it('warns of a variant beyond the bound, and judges again when the bound changes', async () => {
    const strict = { variants: ['u4'], quality: { maxPerplexityRatio: 1 } };
    await api.post(MODELS, body('strict', strict));
    const model = await api.finishedModel('strict');
    expect(model.status.variants[0]?.quality?.withinBound).toBe(false);
    const bound = model.status.conditions.find((c) => c.type === 'QualityBound');
    expect(bound).toMatchObject({ status: 'False', reason: 'PerplexityBeyondBound' });
    const { body: events } = await api.get('/api/v1/events?kind=Model&name=strict');
    expect(listSchema(eventSchema).parse(events).items[0]).toMatchObject({
      type: 'Warning',
      reason: 'PerplexityBeyondBound',
      message: expect.stringContaining('u4-paper has perplexity'),
    });
    const loose = { variants: ['u4'], quality: { maxPerplexityRatio: 1000 } };
    const put = await api.put(`${MODELS}/strict`, body('strict', loose));
    const judged = modelSchema.parse(put.body);
    expect(judged.status.variants[0]).toMatchObject({
      phase: 'Ready',
      quality: { withinBound: true },
    });
  });

  it('applies the same spec twice without a change, and refuses stale writes', async () => {
    const created = await api.put(`${MODELS}/applied`, body('applied'));
    expect(created.status).toBe(202);
    const { metadata } = await api.finishedModel('applied');
    const again = await api.put(`${MODELS}/applied`, body('applied'));
    expect(again.status).toBe(200);
    expect(modelSchema.parse(again.body).metadata).toEqual(metadata);
    const changed = body('applied', { variants: ['u8', 'rd-5'] });
    const { body: next } = await api.put(`${MODELS}/applied`, changed);
    expect(modelSchema.parse(next).metadata.generation).toBe(2);
    const stale = {
      ...changed,
      metadata: { name: 'applied', resourceVersion: metadata.resourceVersion },
    };
    const refused = await api.put(`${MODELS}/applied`, stale);
    expect(refused.status).toBe(409);
    expect(refused.body).toMatchObject({ reason: 'ResourceVersionConflict' });
    const model = await api.finishedModel('applied');
    expect(model.status.variants.map((v) => v.name)).toEqual(['u8', 'rd-5']);
  });

  it('shares the file of equal artifacts until the last model goes', async () => {
    await api.post(MODELS, body('one'));
    await api.post(MODELS, body('two'));
    const ids = new Set<string | null | undefined>();
    for (const name of ['one', 'two', 'first', 'applied']) {
      const model = await api.finishedModel(name);
      ids.add(model.status.variants.find((v) => v.name === 'u8')?.artifactId);
    }
    expect(ids.size).toBe(1);
    const content = `${ARTIFACTS}/${[...ids][0]}/content`;
    for (const name of ['one', 'two', 'first', 'applied']) {
      expect((await fetch(`${url}${content}`)).status, `before ${name} goes`).toBe(200);
      expect((await api.delete(`${MODELS}/${name}`)).status).toBe(204);
      expect((await api.get(`${MODELS}/${name}`)).status).toBe(404);
    }
    expect((await fetch(`${url}${content}`)).status).toBe(404);
  });

  it('is not deleted while a rollout names it', async () => {
    await api.post(MODELS, body('held'));
    const spec = { selector: { matchLabels: { site: 'nowhere' } }, model: 'held', variant: 'u8' };
    const rollout = await api.post('/api/v1/rollouts', { metadata: { name: 'holder' }, spec });
    expect(rollout.status).toBe(202);
    const refused = await api.delete(`${MODELS}/held`);
    expect(refused.status).toBe(409);
    expect(refused.body).toMatchObject({
      reason: 'ModelInUse',
      detail: expect.stringContaining('"holder"'),
    });
    expect((await api.delete('/api/v1/rollouts/holder')).status).toBe(204);
    expect((await api.delete(`${MODELS}/held`)).status).toBe(204);
  });

  it('lists by label in pages', async () => {
    for (const name of ['p1', 'p2', 'p3']) {
      const labelled = { ...body(name), metadata: { name, labels: { team: 'edge' } } };
      expect((await api.post(MODELS, labelled)).status).toBe(202);
    }
    const pageSchema = listSchema(modelSchema);
    const page = pageSchema.parse(
      (await api.get(`${MODELS}?labelSelector=team%3Dedge&limit=2`)).body,
    );
    expect(page.items.map((m) => m.metadata.name)).toEqual(['p1', 'p2']);
    const token = page.metadata.continue ?? '';
    const rest = await api.get(`${MODELS}?labelSelector=team%3Dedge&limit=2&continue=${token}`);
    expect(pageSchema.parse(rest.body).items.map((m) => m.metadata.name)).toEqual(['p3']);
  });

  it('has a Swagger page and its document', async () => {
    expect((await api.get('/docs')).body).toContain('swagger');
    expect((await api.get('/openapi.json')).body).toMatchObject({ openapi: '3.1.0' });
  });
});
