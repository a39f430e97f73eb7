import { mkdir, mkdtemp, rename, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { floatSafetensors, safetensorsBytes } from '../../../test/fixtures/safetensors.bytes.ts';
import { writeTinyCheckpoint } from '../../../test/fixtures/tiny.checkpoint.ts';
import { CheckpointError } from './checkpoint.error.ts';
import { openCheckpoint } from './checkpoint.reader.ts';

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-checkpoint-'));
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A folder that opens, to be spoilt by one detail. */
async function writeSmall(weights: Uint8Array, config = '{"model_type":"llama"}'): Promise<void> {
  await writeFile(join(folder, 'config.json'), config);
  await writeFile(join(folder, 'tokenizer.json'), '{}');
  await writeFile(join(folder, 'model.safetensors'), weights);
}

async function failure(): Promise<CheckpointError> {
  const error = await openCheckpoint(folder).then(
    () => undefined,
    (cause: unknown) => cause,
  );
  if (!(error instanceof CheckpointError)) throw new Error(`no CheckpointError: ${error}`);
  return error;
}

const entry = (
  begin: number,
  end: number,
  shape: unknown = [(end - begin) / 4],
  dtype = 'F32',
) => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});
const GOOD = floatSafetensors({ w: { shape: [2, 2], values: [1, 2, 3, 4] } });

describe('a checkpoint that is fine', () => {
  it.each([1, 3])('reads the same tensors from %i files', async (shards) => {
    await writeTinyCheckpoint(folder, { shards });
    const checkpoint = await openCheckpoint(folder);
    const whole = await mkdtemp(join(tmpdir(), 'entrofleet-checkpoint-'));
    await writeTinyCheckpoint(whole);
    const reference = await openCheckpoint(whole);
    expect(checkpoint.tensors).toEqual(reference.tensors);
    expect(checkpoint.tensors.map((t) => t.name)).toEqual(
      checkpoint.tensors.map((t) => t.name).toSorted(),
    );
    for (const name of checkpoint.tensorNames) {
      expect(await checkpoint.readRaw(name)).toEqual(await reference.readRaw(name));
    }
    await checkpoint.close();
    await reference.close();
    await rm(whole, { recursive: true });
  });

  it('converts to float32 exactly and carries the tokenizer', async () => {
    await writeSmall(
      safetensorsBytes(
        { a: entry(0, 4, [2], 'BF16'), b: entry(4, 8, [2], 'F16'), c: entry(8, 12, [1]) },
        // bf16 1 and -2, f16 1 and 2^-24, f32 0.5
        Uint8Array.of(0x80, 0x3f, 0, 0xc0, 0, 0x3c, 1, 0, 0, 0, 0, 0x3f),
      ),
    );
    const checkpoint = await openCheckpoint(folder);
    const values = async (name: string) => {
      const tensor = await checkpoint.readResident(name);
      return tensor.format === 'f32' ? [...tensor.data] : [];
    };
    expect(await values('a')).toEqual([1, -2]);
    expect(await values('b')).toEqual([1, 2 ** -24]);
    expect(await values('c')).toEqual([0.5]);
    expect(Buffer.from(await checkpoint.readFile('tokenizer.json')).toString()).toBe('{}');
    await checkpoint.close();
  });

  it('follows symbolic links, as the Hugging Face cache has them', async () => {
    await writeSmall(GOOD);
    await rename(join(folder, 'model.safetensors'), join(folder, 'blob'));
    await symlink('blob', join(folder, 'model.safetensors'));
    const checkpoint = await openCheckpoint(folder);
    expect(checkpoint.tensorNames).toEqual(['w']);
    await checkpoint.close();
  });

  it('accepts a missing tokenizer when told so', async () => {
    await writeSmall(GOOD);
    await rm(join(folder, 'tokenizer.json'));
    const checkpoint = await openCheckpoint(folder, { tokenizer: 'optional' });
    expect(checkpoint.files).toEqual([]);
    await checkpoint.close();
  });
});

describe('the folder', () => {
  it.each([
    ['config.json', 'ConfigMissing'],
    ['model.safetensors', 'WeightsMissing'],
    ['tokenizer.json', 'TokenizerMissing'],
  ])('without %s fails with %s', async (file, reason) => {
    await writeSmall(GOOD);
    await rm(join(folder, file));
    const error = await failure();
    expect(error.reason).toBe(reason);
    expect(error.message).toContain(file);
    expect(error.message).toContain(folder);
  });

  it('must be a folder', async () => {
    const error = await openCheckpoint(join(folder, 'absent')).catch((cause: unknown) => cause);
    expect(error).toMatchObject({ reason: 'FolderMissing' });
    await writeFile(join(folder, 'file'), '');
    await expect(openCheckpoint(join(folder, 'file'))).rejects.toMatchObject({
      reason: 'FolderMissing',
    });
  });

  it('must not have a folder where a file belongs', async () => {
    await writeSmall(GOOD);
    await rm(join(folder, 'model.safetensors'));
    await mkdir(join(folder, 'model.safetensors'));
    expect(await failure()).toMatchObject({ reason: 'NotAFile' });
  });

  it.each([
    ['', 'BadConfig'],
    ['{', 'BadConfig'],
    ['[]', 'BadConfig'],
    ['{"x":1e999}', 'BadConfig'],
    ['{"x":"\\ud800"}', 'BadConfig'],
    [`{"x":${'['.repeat(30)}${']'.repeat(30)}}`, 'BadConfig'],
  ])('rejects config.json %j', async (config, reason) => {
    await writeSmall(GOOD, config);
    const error = await failure();
    expect(error.reason).toBe(reason);
    expect(error.message).toContain('config.json');
  });
});

describe('safetensors that are not valid', () => {
  const data = new Uint8Array(16);
  const cases: readonly [string, Uint8Array, string, RegExp][] = [
    ['empty file', new Uint8Array(0), 'BadSafetensors', /0 bytes/],
    ['short prefix', new Uint8Array(5), 'BadSafetensors', /5 bytes/],
    [
      'header past the end',
      Uint8Array.of(200, 0, 0, 0, 0, 0, 0, 0, 0x7b, 0x7d),
      'BadSafetensors',
      /200 reaches past the end/,
    ],
    ['huge header', new Uint8Array(64).fill(255, 0, 8), 'BadSafetensors', /is over 100000000/],
    ['header no JSON', safetensorsBytes('{"w":', data), 'BadSafetensors', /not JSON/],
    ['header no object', safetensorsBytes([], data), 'BadSafetensors', /no JSON object/],
    ['no tensors', safetensorsBytes({}, new Uint8Array(0)), 'EmptyModel', /no tensor/],
    [
      'overlap',
      safetensorsBytes({ a: entry(0, 12), b: entry(8, 16) }, data),
      'BadSafetensors',
      /"b" overlaps tensor "a"/,
    ],
    [
      'hole',
      safetensorsBytes({ a: entry(0, 4), b: entry(8, 16) }, data),
      'BadSafetensors',
      /"b" leaves a hole after tensor "a"/,
    ],
    [
      'bytes at the end',
      safetensorsBytes({ a: entry(0, 12) }, data),
      'BadSafetensors',
      /4 bytes after its last tensor/,
    ],
    [
      'offset past the end',
      safetensorsBytes({ a: entry(0, 20) }, data),
      'BadSafetensors',
      /"a" ends at byte/,
    ],
    [
      'size against shape',
      safetensorsBytes({ a: entry(0, 16, [5]) }, data),
      'BadSafetensors',
      /"a".* has 16 bytes, but shape \[5\] of F32 needs 20/,
    ],
    [
      'backward offsets',
      safetensorsBytes({ a: entry(16, 0, [4]) }, data),
      'BadSafetensors',
      /data_offsets/,
    ],
    ['zero side', safetensorsBytes({ a: entry(0, 0, [0]) }, data), 'BadSafetensors', /shape \[0\]/],
    [
      'fractional side',
      safetensorsBytes({ a: entry(0, 16, [1.5]) }, data),
      'BadSafetensors',
      /shape/,
    ],
    [
      'huge shape',
      safetensorsBytes({ a: entry(0, 16, [2 ** 30, 2 ** 30]) }, data),
      'TooLarge',
      /elements/,
    ],
    [
      'unknown dtype',
      safetensorsBytes({ 'x.weight': entry(0, 16, [16], 'I8') }, data),
      'UnsupportedType',
      /"x\.weight" .* dtype I8; supported are F32, F16 and BF16/,
    ],
    [
      'dtype of the prototype',
      safetensorsBytes({ a: entry(0, 16, [4], 'constructor') }, data),
      'UnsupportedType',
      /constructor/,
    ],
    ['no description', safetensorsBytes({ a: 1 }, data), 'BadSafetensors', /"a"/],
  ];

  it.each(cases)('%s', async (_, bytes, reason, message) => {
    await writeSmall(bytes);
    const error = await failure();
    expect(error.message).toMatch(message);
    expect(error.reason).toBe(reason);
  });
});

describe('shards', () => {
  const index = (map: unknown) =>
    writeFile(join(folder, 'model.safetensors.index.json'), JSON.stringify({ weight_map: map }));
  const shard = (name: string, ...tensors: string[]) =>
    writeFile(
      join(folder, name),
      floatSafetensors(Object.fromEntries(tensors.map((t) => [t, { shape: [1], values: [1] }]))),
    );

  beforeEach(async () => {
    await writeSmall(GOOD);
    await rm(join(folder, 'model.safetensors'));
    await shard('one.safetensors', 'a');
    await shard('two.safetensors', 'b');
  });

  it.each([
    ['a shard that is absent', { a: 'one.safetensors', c: 'six.safetensors' }, 'MissingShard'],
    ['a tensor that is absent', { a: 'one.safetensors', c: 'two.safetensors' }, 'BadIndex'],
    ['a shard outside the folder', { a: '../one.safetensors' }, 'BadIndex'],
    ['a shard that is no text', { a: 7 }, 'BadIndex'],
    ['no map', [], 'BadIndex'],
    ['no tensor', {}, 'EmptyModel'],
  ])('an index naming %s', async (_, map, reason) => {
    await index(map);
    expect((await failure()).reason).toBe(reason);
  });

  it('names the tensor a shard lacks', async () => {
    await index({ a: 'one.safetensors', b: 'two.safetensors', c: 'two.safetensors' });
    const error = await failure();
    expect(error.reason).toBe('MissingTensor');
    expect(error.message).toMatch(/"c" in two\.safetensors/);
  });

  it('rejects a tensor that two shards hold', async () => {
    await shard('two.safetensors', 'a', 'b');
    await index({ a: 'one.safetensors', b: 'two.safetensors' });
    const error = await failure();
    expect(error.reason).toBe('DuplicateTensor');
    expect(error.message).toMatch(/"a" .*one\.safetensors and two\.safetensors/);
  });
});

describe('values', () => {
  it('names tensor and index of a weight that is no number', async () => {
    await writeSmall(floatSafetensors({ w: { shape: [2, 2], values: [1, 2, Number.NaN, 4] } }));
    const checkpoint = await openCheckpoint(folder);
    const error: unknown = await checkpoint.readResident('w').catch((cause: unknown) => cause);
    expect(error).toMatchObject({ reason: 'NonFiniteWeight' });
    expect(String(error)).toMatch(/"w".*\b2\b/);
    await checkpoint.close();
  });

  it('notices a file that shrinks while open', async () => {
    await writeSmall(GOOD);
    const checkpoint = await openCheckpoint(folder);
    await truncate(join(folder, 'model.safetensors'), GOOD.length - 4);
    await expect(checkpoint.readRaw('w')).rejects.toMatchObject({ reason: 'SourceChanged' });
    await checkpoint.close();
  });
});
