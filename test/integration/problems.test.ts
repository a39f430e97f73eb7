import { copyFile, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { problemSchema } from '@entrofleet/protocol';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { startController, startMosquitto, startRedis } from '../support/services.ts';

const MODELS = '/api/v1/models';
const FILES = ['config.json', 'tokenizer.json', 'tokenizer_config.json', 'model.safetensors'];

describe('bad input to the REST API', () => {
  let folder: string;
  let good: string;
  let api: ApiClient;
  const services: { stop(): Promise<void> }[] = [];

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'entrofleet-problems-'));
    good = await writeTinyCheckpoint(join(folder, 'good'));
    const redis = await startRedis();
    const broker = await startMosquitto();
    const controller = await startController({ redisUrl: redis.url, mqttUrl: broker.url });
    services.push(controller, broker, redis);
    api = new ApiClient(controller.url);
  });
  afterAll(async () => {
    for (const service of services) await service.stop();
    await rm(folder, { recursive: true, force: true });
  });

  const body = (spec: object, metadata: object = {}) => ({
    metadata: { name: 'm', ...metadata },
    spec: { source: { path: good }, variants: ['u8'], ...spec },
  });

  async function expectProblem(
    answer: { status: number; contentType: string; body: unknown },
    wanted: { status: number; reason: string; pointers?: string[]; says?: string },
  ): Promise<void> {
    const problem = problemSchema.parse(answer.body);
    expect(problem, JSON.stringify(problem)).toMatchObject({
      status: wanted.status,
      reason: wanted.reason,
    });
    expect(answer.status).toBe(wanted.status);
    expect(answer.contentType).toContain('application/problem+json');
    if (wanted.pointers !== undefined) {
      expect(problem.errors?.map((error) => error.pointer)).toEqual(wanted.pointers);
    }
    if (wanted.says !== undefined) expect(JSON.stringify(problem)).toContain(wanted.says);
  }

  it.each([
    ['an empty name', { metadata: { name: '' } }, ['/metadata/name']],
    ['a name in capitals', { metadata: { name: 'Big' } }, ['/metadata/name']],
    ['an unknown field', { metadata: { name: 'm', colour: 'red' } }, ['/metadata/colour']],
    ['a bad label', { metadata: { name: 'm', labels: { a: 'not ok' } } }, ['/metadata/labels/a']],
    ['no variants', { spec: { variants: [] } }, ['/spec/variants']],
    ['an unknown recipe', { spec: { variants: ['u8', 'u3'] } }, ['/spec/variants/1']],
    ['a rate out of bounds', { spec: { variants: ['rd-9'] } }, ['/spec/variants/0']],
    ['a name given twice', { spec: { variants: ['u8', 'u8'] } }, ['/spec/variants']],
    ['no path', { spec: { source: {} } }, ['/spec/source/path']],
    [
      'a bound below 1',
      { spec: { quality: { maxPerplexityRatio: 0.5 } } },
      ['/spec/quality/maxPerplexityRatio'],
    ],
    [
      'two mistakes',
      { metadata: { name: '-' }, spec: { variants: 5 } },
      ['/metadata/name', '/spec/variants'],
    ],
  ])('names the field of %s', async (_, change: { metadata?: object; spec?: object }, pointers) => {
    const whole = body(change.spec ?? {}, change.metadata);
    await expectProblem(await api.post(MODELS, whole), {
      status: 422,
      reason: 'Invalid',
      pointers,
    });
  });

  it('tells malformed, missing, oversized and foreign bodies apart', async () => {
    const malformed = await api.send('POST', MODELS, '{"metadata":');
    await expectProblem(malformed, { status: 400, reason: 'MalformedJson' });
    await expectProblem(await api.post(MODELS), { status: 422, reason: 'Invalid', pointers: [''] });
    const huge = await api.post(MODELS, body({}, { labels: { a: 'x'.repeat(2 ** 21) } }));
    await expectProblem(huge, { status: 413, reason: 'RequestTooLarge' });
    const text = await api.send('POST', MODELS, 'name: m', { 'content-type': 'application/yaml' });
    await expectProblem(text, { status: 415, reason: 'UnsupportedMediaType' });
  });

  it('refuses what it would ignore', async () => {
    const unknown = await api.get(`${MODELS}?labelselector=a`);
    await expectProblem(unknown, { status: 400, reason: 'BadQuery', says: 'labelselector' });
    const selector = await api.get(`${MODELS}?labelSelector=a%20b`);
    await expectProblem(selector, { status: 400, reason: 'BadQuery', says: 'labelSelector' });
    const limit = await api.get(`${MODELS}?limit=0`);
    await expectProblem(limit, { status: 400, reason: 'BadQuery', says: 'limit' });
    const token = await api.get(`${MODELS}?continue=zzz`);
    await expectProblem(token, { status: 400, reason: 'BadContinue' });
  });

  it('knows what does not exist', async () => {
    for (const path of [`${MODELS}/none`, `/api/v1/artifacts/${'0'.repeat(64)}`]) {
      await expectProblem(await api.get(path), { status: 404, reason: 'NotFound' });
    }
    await expectProblem(await api.delete(`${MODELS}/none`), { status: 404, reason: 'NotFound' });
    const retry = await api.post(`${MODELS}/none/retry`);
    await expectProblem(retry, { status: 404, reason: 'NotFound' });
    await expectProblem(await api.get('/api/v1/nonsense'), { status: 404, reason: 'NoSuchRoute' });
  });

  it('refuses a name that is taken, and a body that is about another object', async () => {
    expect((await api.post(MODELS, body({}, { name: 'taken' }))).status).toBe(202);
    const again = await api.post(MODELS, body({}, { name: 'taken' }));
    await expectProblem(again, { status: 409, reason: 'AlreadyExists' });
    const other = await api.put(`${MODELS}/taken`, body({}, { name: 'other' }));
    await expectProblem(other, { status: 422, reason: 'Invalid', pointers: ['/metadata/name'] });
  });

  const config = async (change: object): Promise<string> => {
    const whole = JSON.parse(await readFile(join(good, 'config.json'), 'utf8'));
    return JSON.stringify({ ...whole, ...change });
  };
  const largerTokenizer = async (): Promise<string> => {
    const whole = JSON.parse(await readFile(join(good, 'tokenizer.json'), 'utf8'));
    whole.model.vocab.zebra = 99_999;
    return JSON.stringify(whole);
  };
  const safetensors = (header: object | string, payloadBytes = 0): Buffer => {
    const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
    const length = Buffer.alloc(8);
    length.writeBigUInt64LE(BigInt(json.length));
    return Buffer.concat([length, json, Buffer.alloc(payloadBytes)]);
  };

  it.each([
    ['a missing config.json', 'ConfigMissing', 'config.json', async () => undefined],
    ['a malformed config.json', 'BadConfig', 'config.json', async () => '{'],
    [
      'an unknown architecture',
      'UnsupportedArchitecture',
      'config.json',
      () => config({ model_type: 'mamba' }),
    ],
    ['a config of another model', 'BadShape', 'config.json', () => config({ vocab_size: 400 })],
    [
      'a config with more layers',
      'MissingTensor',
      'config.json',
      () => config({ num_hidden_layers: 3 }),
    ],
    ['a missing tokenizer', 'TokenizerMissing', 'tokenizer.json', async () => undefined],
    ['a tokenizer of another model', 'TokenizerMismatch', 'tokenizer.json', largerTokenizer],
    ['a malformed tokenizer', 'BadTokenizer', 'tokenizer.json', async () => '{"model":5}'],
    ['missing weights', 'WeightsMissing', 'model.safetensors', async () => undefined],
    [
      'a wrong header length',
      'BadSafetensors',
      'model.safetensors',
      async () => Buffer.alloc(64, 255),
    ],
    [
      'a header that is no JSON',
      'BadSafetensors',
      'model.safetensors',
      async () => safetensors('{{{{'),
    ],
    [
      'overlapping tensors',
      'BadSafetensors',
      'model.safetensors',
      async () =>
        safetensors(
          {
            a: { dtype: 'F32', shape: [2], data_offsets: [0, 8] },
            b: { dtype: 'F32', shape: [2], data_offsets: [4, 12] },
          },
          12,
        ),
    ],
    [
      'an unknown dtype',
      'UnsupportedType',
      'model.safetensors',
      async () => safetensors({ a: { dtype: 'F8_E4M3', shape: [2], data_offsets: [0, 2] } }, 2),
    ],
    ['bad evaluation tokens', 'BadEvaluationTokens', 'eval-tokens.json', async () => '[[1]]'],
    [
      'evaluation tokens of another model',
      'BadEvaluationTokens',
      'eval-tokens.json',
      async () => '[[1, 99999]]',
    ],
  ])('explains %s', async (_, reason, file, content) => {
    const path = await mkdtemp(join(folder, 'bad-'));
    await mkdir(path, { recursive: true });
    for (const name of FILES) await copyFile(join(good, name), join(path, name));
    const bytes = await content();
    if (bytes === undefined) await rm(join(path, file));
    else await writeFile(join(path, file), bytes);
    const answer = await api.post(MODELS, body({ source: { path } }, { name: 'never' }));
    const pointer =
      reason === 'BadEvaluationTokens' ? '/spec/evaluation/tokensPath' : '/spec/source/path';
    await expectProblem(answer, { status: 422, reason, pointers: [pointer] });
    expect((await api.get(`${MODELS}/never`)).status).toBe(404);
  });

  it('explains a folder that does not exist', async () => {
    const answer = await api.post(MODELS, body({ source: { path: '/no/such/folder' } }));
    const pointers = ['/spec/source/path'];
    await expectProblem(answer, {
      status: 422,
      reason: 'FolderMissing',
      pointers,
      says: '/no/such/folder',
    });
  });

  it('fails a variant whose weights are not finite, until the source is repaired', async () => {
    const path = await writeTinyCheckpoint(join(folder, 'nan'));
    const file = join(path, 'model.safetensors');
    const bytes = await readFile(file);
    const repaired = Buffer.from(bytes);
    bytes.fill(0xff, bytes.length - 64);
    await writeFile(file, bytes);
    const posted = await api.post(MODELS, body({ source: { path } }, { name: 'nan' }));
    expect(posted.status).toBe(202);
    const failed = await api.finishedModel('nan');
    expect(failed.status.variants[0]).toMatchObject({
      phase: 'Failed',
      attempts: 1,
      message: expect.stringMatching(/no finite number/),
    });
    expect(failed.status.conditions.find((c) => c.type === 'Ready')).toMatchObject({
      status: 'False',
      reason: 'VariantFailed',
    });
    await writeFile(file, repaired);
    expect((await api.post(`${MODELS}/nan/retry`)).status).toBe(202);
    expect((await api.finishedModel('nan')).status.variants[0]?.phase).toBe('Ready');
  });
});
