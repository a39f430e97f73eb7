import { chmod, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { quantizeTensor } from '@entrofleet/codec';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { floatSafetensors } from '../../../test/fixtures/safetensors.bytes.ts';
import { writeTinyCheckpoint } from '../../../test/fixtures/tiny.checkpoint.ts';
import { encodeArtifact } from './artifact.encoder.ts';
import { openArtifact } from './artifact.reader.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.reader.ts';
import { openChunks, readChunkTable } from './chunk.source.ts';
import { dequantize } from './dequantize.ts';
import type { EncodeProgress } from './encode.types.ts';
import { LAYOUTS } from './symbol.coding.ts';

const U8 = { kind: 'affine', bits: 8 } as const;
const RECIPES = [
  U8,
  { kind: 'affine', bits: 4 } as const,
  { kind: 'rate', targetBitsPerWeight: 4.2 } as const,
];

let folder: string;
let source: string;
let output: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-encode-'));
  source = join(folder, 'source');
  output = join(folder, 'model.artifact');
});

afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

async function withCheckpoint<T>(use: (checkpoint: Checkpoint) => Promise<T>): Promise<T> {
  const checkpoint = await openCheckpoint(source, { tokenizer: 'optional' });
  try {
    return await use(checkpoint);
  } finally {
    await checkpoint.close();
  }
}

const encode = (checkpoint: Checkpoint, more: Partial<Parameters<typeof encodeArtifact>[0]> = {}) =>
  encodeArtifact({ checkpoint, recipe: U8, path: output, threads: 2, ...more });

async function writeSource(
  tensors: Parameters<typeof floatSafetensors>[0],
  config: object = {},
): Promise<void> {
  await writeTinyCheckpoint(source);
  await writeFile(join(source, 'config.json'), JSON.stringify(config));
  await writeFile(join(source, 'model.safetensors'), floatSafetensors(tensors));
}

describe('an artifact', () => {
  it('carries the chat template where there is one', async () => {
    await writeTinyCheckpoint(source);
    const names = ['tokenizer.json', 'tokenizer_config.json'];
    const without = await withCheckpoint((checkpoint) => encode(checkpoint));
    const plain = await openArtifact(output);
    expect(plain.fileNames).toEqual(names);
    await plain.close();
    await writeFile(join(source, 'chat_template.jinja'), '{{ messages }}');
    await writeFile(join(source, 'notes.txt'), 'nothing');
    await rm(output);
    const carrying = await withCheckpoint((checkpoint) => encode(checkpoint));
    const artifact = await openArtifact(output);
    expect(artifact.fileNames).toEqual(['chat_template.jinja', ...names]);
    const text = Buffer.from(await artifact.readFile('chat_template.jinja')).toString();
    expect(text).toBe('{{ messages }}');
    expect(carrying.ref.id).not.toBe(without.ref.id);
    await artifact.close();
  });

  it.each(RECIPES)(
    'holds what $kind $bits $targetBitsPerWeight quantization gave',
    async (recipe) => {
      await writeTinyCheckpoint(source);
      await withCheckpoint(async (checkpoint) => {
        const encoded = await encode(checkpoint, { recipe, chunkSizeBytes: 4096 });
        const artifact = await openArtifact(output);
        expect(artifact.ref).toEqual(encoded.ref);
        expect(artifact.config).toEqual(checkpoint.config);
        expect(artifact.tensorNames).toEqual(checkpoint.tensorNames);
        for (const { name } of checkpoint.files) {
          expect(Buffer.from(await artifact.readFile(name))).toEqual(
            await readFile(join(source, name)),
          );
        }
        let resident = 0;
        for (const { name, shape } of checkpoint.tensors) {
          const tensor = await artifact.readResident(name, { threads: 2 });
          resident +=
            'data' in tensor
              ? tensor.data.byteLength
              : tensor.symbols.byteLength + tensor.steps.byteLength;
          if (shape.length === 1) {
            expect(tensor).toEqual(await checkpoint.readResident(name));
            continue;
          }
          const before = dequantize(await checkpoint.readResident(name));
          const after = await artifact.readFloat(name);
          const power = (values: Float32Array) => values.reduce((sum, v) => sum + v * v, 0);
          const noise = power(after.map((value, i) => value - (before[i] ?? 0)));
          const sqnrDb = 10 * Math.log10(power(before) / noise);
          const stats = encoded.tensors.find((s) => s.name === name);
          expect(stats?.sqnrDb).toBeCloseTo(sqnrDb, 1);
          expect(stats?.shape).toEqual(shape);
        }
        expect(artifact.memoryBytes).toBe(resident);
        await artifact.close();
      });
    },
  );

  it('equals the quantizer, symbol by symbol', async () => {
    await writeTinyCheckpoint(source);
    await withCheckpoint(async (checkpoint) => {
      await encode(checkpoint);
      const artifact = await openArtifact(output);
      const name = 'model.embed_tokens.weight';
      const weights = await checkpoint.readRaw(name);
      const matrix = { weights, type: 'bf16', rows: 512, columns: 64 } as const;
      const quantized = await quantizeTensor(matrix, U8, { threads: 1 });
      expect(await artifact.readResident(name)).toMatchObject({
        symbols: quantized.symbols,
        steps: quantized.steps,
        zeroPoint: quantized.zeroPoint,
      });
      await artifact.close();
    });
  });

  it.each(LAYOUTS)('holds the same weights in layout %s', async (layout) => {
    // Large enough for lanes, with an odd count; a lone symbol; and fewer symbols than lanes.
    const wave = Array.from({ length: 261 * 263 }, (_, i) => Math.sin(i * i) * Math.cos(i));
    await writeSource({
      'a.weight': { shape: [261, 263], values: wave },
      'b.weight': { shape: [300, 300], values: new Array(90_000).fill(0) },
      'c.weight': { shape: [3, 5], values: wave.slice(0, 15) },
    });
    await withCheckpoint(async (checkpoint) => {
      for (const recipe of RECIPES) {
        const plain = join(folder, 'streams.efa');
        await encode(checkpoint, { recipe, layout: 'streams', path: plain });
        await encode(checkpoint, { recipe, layout, chunkSizeBytes: 16_384 });
        const [expected, artifact] = [await openArtifact(plain), await openArtifact(output)];
        for (const name of ['a.weight', 'b.weight', 'c.weight']) {
          expect(await artifact.readFloat(name)).toEqual(await expected.readFloat(name));
        }
        await artifact.close();
        await expected.close();
      }
    });
  });

  it('is decoded no further once that is called off', async () => {
    const rows = 4096;
    await writeSource({
      'a.weight': {
        shape: [rows, 512],
        values: new Array(rows * 512).fill(1).map((_, i) => i % 7),
      },
    });
    await withCheckpoint(async (checkpoint) => {
      await encode(checkpoint, { layout: 'lanes' });
      const artifact = await openArtifact(output);
      const reason = new Error('enough');
      const gone = AbortSignal.abort(reason);
      await expect(artifact.readResident('a.weight', { signal: gone })).rejects.toBe(reason);
      const stop = new AbortController();
      const reading = artifact.readResident('a.weight', { signal: stop.signal });
      stop.abort(reason);
      await expect(reading).rejects.toBe(reason);
      expect(await artifact.readResident('a.weight')).toMatchObject({ rows });
      await artifact.close();
    });
  });

  it('names the codec that its layout asks for', async () => {
    const values = Array.from({ length: 512 * 1024 }, (_, i) => Math.sin(i * i));
    await writeSource({ 'a.weight': { shape: [1024, 512], values } });
    const rate = { kind: 'rate', targetBitsPerWeight: 3 } as const;
    await withCheckpoint(async (checkpoint) => {
      const codecOf = async (more: Parameters<typeof encode>[1]) =>
        (await encode(checkpoint, more)).tensors[0]?.codec;
      expect(await codecOf({ recipe: U8 })).toBe('huffman');
      expect(await codecOf({ recipe: rate })).toBe('lanes');
      expect(await codecOf({ recipe: U8, layout: 'lanes' })).toBe('lanes');
      expect(await codecOf({ recipe: rate, layout: 'paper' })).toBe('huffman');
    });
  });

  it('has the same bytes however the weights are sharded', async () => {
    const ids: string[] = [];
    for (const shards of [1, 4]) {
      await writeTinyCheckpoint(source, { shards });
      ids.push(await withCheckpoint(async (checkpoint) => (await encode(checkpoint)).ref.id));
      await rm(source, { recursive: true });
    }
    expect(new Set(ids).size).toBe(1);
  });

  it('meets the target rate', async () => {
    await writeTinyCheckpoint(source);
    const recipe = { kind: 'rate', targetBitsPerWeight: 3.5 } as const;
    const { totals } = await withCheckpoint((checkpoint) => encode(checkpoint, { recipe }));
    expect(totals.entropyBitsPerWeight).toBeCloseTo(3.5, 2);
    expect(totals.codedWeights).toBeLessThan(totals.weights);
  });

  it('codes a constant, a negative and a zero matrix', async () => {
    const values = (value: number) => ({ shape: [3, 5], values: Array(15).fill(value) });
    await writeSource({ constant: values(2.5), negative: values(-1), zero: values(0) });
    for (const recipe of RECIPES) {
      await withCheckpoint((checkpoint) => encode(checkpoint, { recipe }));
      const artifact = await openArtifact(output);
      for (const [name, value] of [
        ['constant', 2.5],
        ['negative', -1],
        ['zero', 0],
      ] as const) {
        for (const weight of await artifact.readFloat(name)) expect(weight).toBeCloseTo(value, 1);
      }
      await artifact.close();
    }
  });
});

describe('a head that repeats the embedding', () => {
  const head = { shape: [2, 2], values: [1, 2, 3, 4] };
  const name = 'model.embed_tokens.weight';

  it('is left out of a tied model', async () => {
    await writeSource({ [name]: head, 'lm_head.weight': head }, { tie_word_embeddings: true });
    const { tensors } = await withCheckpoint((checkpoint) => encode(checkpoint));
    expect(tensors.map((tensor) => tensor.name)).toEqual([name]);
  });

  it('stays in a model that is not tied', async () => {
    await writeSource({ [name]: head, 'lm_head.weight': head }, { tie_word_embeddings: false });
    const { tensors } = await withCheckpoint((checkpoint) => encode(checkpoint));
    expect(tensors).toHaveLength(2);
  });

  it('must be equal', async () => {
    const other = { shape: [2, 2], values: [1, 2, 3, 5] };
    await writeSource({ [name]: head, 'lm_head.weight': other }, { tie_word_embeddings: true });
    await expect(withCheckpoint((checkpoint) => encode(checkpoint))).rejects.toMatchObject({
      reason: 'TiedHeadDiffers',
    });
  });
});

describe('progress', () => {
  it.each(RECIPES)('of $kind grows to the whole', async (recipe) => {
    await writeTinyCheckpoint(source);
    const seen: EncodeProgress[] = [];
    const onProgress = (progress: EncodeProgress) => seen.push(progress);
    await withCheckpoint((checkpoint) => encode(checkpoint, { recipe, onProgress }));
    const done = seen.map((progress) => progress.doneBytes);
    expect(done).toEqual(done.toSorted((a, b) => a - b));
    expect(seen.at(-1)?.doneBytes).toBe(seen.at(-1)?.totalBytes);
  });
});

describe('a failure leaves nothing behind', () => {
  const leftovers = async () => (await readdir(folder)).filter((name) => name !== 'source');

  it.each([
    ['matrix', { shape: [1, 3], values: [1, Number.NaN, 2] }],
    ['vector', { shape: [3], values: [1, Number.POSITIVE_INFINITY, 2] }],
  ])('when a %s holds a weight that is no number', async (name, tensor) => {
    await writeSource({ a: { shape: [2, 2], values: [1, 2, 3, 4] }, [name]: tensor });
    const error: unknown = await withCheckpoint((checkpoint) => encode(checkpoint)).catch(
      (cause: unknown) => cause,
    );
    expect(error).toMatchObject({ name: 'CheckpointError', reason: 'NonFiniteWeight' });
    expect(String(error)).toMatch(new RegExp(`"${name}".*\\b1\\b`));
    expect(await leftovers()).toEqual([]);
  });

  it('when it is aborted, in every phase', async () => {
    await writeTinyCheckpoint(source);
    const recipe = { kind: 'rate', targetBitsPerWeight: 4 } as const;
    for (const phase of ['measure', 'encode'] as const) {
      const abort = new AbortController();
      const onProgress = (progress: EncodeProgress) => {
        if (progress.phase === phase) abort.abort(new Error('enough'));
      };
      const { signal } = abort;
      await expect(
        withCheckpoint((checkpoint) => encode(checkpoint, { recipe, onProgress, signal })),
      ).rejects.toThrow('enough');
      expect(await leftovers()).toEqual([]);
    }
  });

  it('and keeps the artifact that stood there', async () => {
    await writeTinyCheckpoint(source);
    await writeFile(output, 'old');
    const signal = AbortSignal.abort(new Error('enough'));
    await expect(withCheckpoint((c) => encode(c, { signal }))).rejects.toThrow('enough');
    expect(await readFile(output, 'utf8')).toBe('old');
  });

  it('when the folder is absent', async () => {
    await writeTinyCheckpoint(source);
    const path = join(folder, 'absent', 'model.artifact');
    await expect(withCheckpoint((c) => encode(c, { path }))).rejects.toMatchObject({
      reason: 'WriteFailed',
    });
  });

  it('when a process was killed: the next run clears up', async () => {
    await writeTinyCheckpoint(source);
    const dead = 2 ** 22 + 1;
    await writeFile(`${output}.${hostname()}-${dead}-1.partial`, 'half');
    await writeFile(`${output}.elsewhere-${dead}-1.partial`, 'half');
    await withCheckpoint((checkpoint) => encode(checkpoint));
    expect((await leftovers()).toSorted()).toEqual([
      'model.artifact',
      `model.artifact.elsewhere-${dead}-1.partial`,
    ]);
  });

  it('when the arguments are wrong', async () => {
    await writeTinyCheckpoint(source);
    for (const more of [{ chunkSizeBytes: 100 }, { chunkSizeBytes: 2 ** 30 }, { threads: 0 }]) {
      await expect(withCheckpoint((c) => encode(c, more))).rejects.toMatchObject({
        reason: 'BadArgument',
      });
    }
  });
});

describe('chunks for distribution', () => {
  it('rebuild the file, and no other artifact is taken for it', async () => {
    await writeTinyCheckpoint(source);
    const { ref } = await withCheckpoint((c) => encode(c, { chunkSizeBytes: 4096 }));
    const chunks = await openChunks(output, ref);
    const parts = await Promise.all(Array.from({ length: chunks.count }, (_, i) => chunks.read(i)));
    expect(Buffer.concat(parts)).toEqual(await readFile(output));
    expect(ref.headerChunks.length).toBeGreaterThan(1);
    await expect(chunks.read(chunks.count)).rejects.toMatchObject({ reason: 'UnknownChunk' });
    await expect(chunks.read(-1)).rejects.toMatchObject({ reason: 'UnknownChunk' });
    await chunks.close();
    await expect(chunks.read(0)).rejects.toMatchObject({ reason: 'Closed' });
    await expect(openChunks(output, { id: 'f'.repeat(64) })).rejects.toMatchObject({
      reason: 'HashMismatch',
    });
  });

  it('are listed with their hashes, without reading them', async () => {
    await writeTinyCheckpoint(source);
    const { ref } = await withCheckpoint((c) => encode(c, { chunkSizeBytes: 4096 }));
    const table = await readChunkTable(output, ref);
    expect(table).toHaveLength(ref.chunkCount);
    expect(table.reduce((sum, chunk) => sum + chunk.sizeBytes, 0)).toBe(ref.sizeBytes);
    expect(table.map((chunk) => chunk.sha256).slice(0, ref.headerChunks.length)).toEqual(
      ref.headerChunks,
    );
    const other = readChunkTable(output, { id: 'f'.repeat(64) });
    await expect(other).rejects.toMatchObject({ reason: 'HashMismatch' });
  });

  it('are refused when the file was damaged', async () => {
    await writeTinyCheckpoint(source);
    const { ref } = await withCheckpoint((checkpoint) => encode(checkpoint));
    const bytes = await readFile(output);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
    await chmod(output, 0o644);
    await writeFile(output, bytes);
    const chunks = await openChunks(output, ref);
    await expect(chunks.read(chunks.count - 1)).rejects.toMatchObject({ reason: 'HashMismatch' });
    await chunks.close();
    const artifact = await openArtifact(output);
    await expect(artifact.verify()).rejects.toMatchObject({ reason: 'HashMismatch' });
    await artifact.close();
  });
});
