import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { type FineTuning, writeFineTuned } from '../../../test/fixtures/fine.tuned.checkpoint.ts';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import {
  type TinyCheckpointOptions,
  writeTinyCheckpoint,
} from '../../../test/fixtures/tiny.checkpoint.ts';
import { encodeArtifact } from './artifact.encoder.ts';
import { openArtifact } from './artifact.reader.ts';
import { openCheckpoint } from './checkpoint.reader.ts';
import { sha256Now } from './chunk.hash.ts';
import { chunkTable } from './chunk.table.ts';
import { applyDelta, applyDeltaToFile, type DeltaUse } from './delta.apply.ts';
import { type EncodedDelta, encodeDelta } from './delta.encoder.ts';
import { DeltaFile } from './delta.file.ts';
import { parseDeltaHeader, writeDeltaHeader } from './delta.header.ts';
import type { EncodeOptions } from './encode.types.ts';

const CHUNK_BYTES = 16 * 1024;
const U8 = { kind: 'affine', bits: 8 } as const;
const U4 = { kind: 'affine', bits: 4 } as const;
const RATE = { kind: 'rate', targetBitsPerWeight: 4.2 } as const;
const TENSOR = 'model.layers.1.mlp.up_proj.weight';

type Coding = Pick<EncodeOptions, 'recipe'> & Partial<Pick<EncodeOptions, 'layout'>>;

interface Pair {
  readonly base: string;
  readonly target: string;
  readonly delta: string;
  readonly made: EncodedDelta;
  readonly use: DeltaUse;
}

async function encode(source: string, path: string, coding: Coding): Promise<void> {
  const checkpoint = await openCheckpoint(source, { tokenizer: 'optional' });
  const chunkSizeBytes = CHUNK_BYTES;
  await encodeArtifact({ checkpoint, path, threads: 2, chunkSizeBytes, ...coding });
  await checkpoint.close();
}

/** A model, a fine-tuning of it, and the delta from one to the other. */
async function pairOf(
  tuning: FineTuning,
  codings: { readonly base: Coding; readonly target: Coding },
  geometry: TinyCheckpointOptions = {},
): Promise<Pair> {
  const folder = await scratchFolder();
  const [source, tuned] = [join(folder, 'source'), join(folder, 'tuned')];
  await writeTinyCheckpoint(source, {
    ...{ hiddenSize: 128, intermediateSize: 256 },
    ...geometry,
  });
  await writeFineTuned(source, tuned, tuning);
  const [base, target, delta] = [join(folder, 'base'), join(folder, 'target'), join(folder, 'd')];
  await encode(source, base, codings.base);
  await encode(tuned, target, codings.target);
  const made = await encodeDelta({ base, target, path: delta, threads: 2 });
  return { base, target, delta, made, use: { base, delta, threads: 2 } };
}

const slight: FineTuning = { kind: 'relative', noise: 0.01 };
const both = (coding: Coding) => ({ base: coding, target: coding });

async function rebuilt({ use }: Pair): Promise<Buffer> {
  const path = join(await scratchFolder(), 'rebuilt');
  await applyDeltaToFile(use, path);
  return readFile(path);
}

/** A sink that keeps what it gets, and holds what it is told. */
function memorySink(held: ReadonlySet<number> = new Set()) {
  const chunks = new Map<number, Uint8Array>();
  return {
    chunks,
    holds: (index: number) => held.has(index),
    write: async (chunk: { index: number }, bytes: Uint8Array) => {
      chunks.set(chunk.index, bytes);
    },
  };
}

async function flipByte(path: string, offset: number): Promise<void> {
  const bytes = await readFile(path);
  bytes[offset] = (bytes[offset] ?? 0) ^ 0x10;
  await writeFile(path, bytes);
}

describe('a delta', () => {
  it.each([
    ['u8 in streams', { recipe: U8 }, 0.2],
    ['u8 with one code', { recipe: U8, layout: 'paper' } as const, 0.2],
    ['u8 in lanes', { recipe: U8, layout: 'lanes' } as const, 0.2],
    ['u4 in streams', { recipe: U4 }, 0.2],
    ['u4 in lanes', { recipe: U4, layout: 'lanes' } as const, 0.2],
    ['a rate in lanes', { recipe: RATE, layout: 'lanes' } as const, 0.2],
  ])('gives the same artifact for %s, in a fifth of its size', async (_, coding, share) => {
    const pair = await pairOf(slight, both(coding));
    expect(await rebuilt(pair)).toEqual(await readFile(pair.target));
    expect(pair.made.ref.sizeBytes).toBeLessThan(share * pair.made.targetSizeBytes);
  });

  it('gives another recipe from what there is of the same bits', async () => {
    const codings = { base: { recipe: RATE }, target: { recipe: U8 } };
    const pair = await pairOf(slight, codings);
    expect(await rebuilt(pair)).toEqual(await readFile(pair.target));
    const coded = pair.made.items.filter(({ kind }) => kind === 'coded');
    expect(coded.length).toBeGreaterThan(0);
  });

  it('gives tensors of several windows', async () => {
    const large = { vocabularySize: 9000 };
    const pair = await pairOf(slight, both({ recipe: U8 }), large);
    expect(await rebuilt(pair)).toEqual(await readFile(pair.target));
    expect(pair.made.ref.sizeBytes).toBeLessThan(0.15 * pair.made.targetSizeBytes);
  });

  it('stores what nothing predicts', async () => {
    const pair = await pairOf(slight, { base: { recipe: U4 }, target: { recipe: U8 } });
    expect(await rebuilt(pair)).toEqual(await readFile(pair.target));
    expect(pair.made.items.every(({ kind }) => kind === 'stored')).toBe(true);
  });

  it('is the same bytes for any number of threads', async () => {
    const pair = await pairOf(slight, both({ recipe: U8 }));
    const again = join(await scratchFolder(), 'again');
    await encodeDelta({ base: pair.base, target: pair.target, path: again, threads: 1 });
    expect(await readFile(again)).toEqual(await readFile(pair.delta));
  });

  it('of one tensor takes no more than its chunks and 1 %, even if nothing predicts it', async () => {
    const changes = (name: string) => name === TENSOR;
    for (const noise of [0.01, 100]) {
      const pair = await pairOf({ kind: 'spread', noise, changes }, both({ recipe: U8 }), {
        intermediateSize: 1024,
      });
      expect(await rebuilt(pair)).toEqual(await readFile(pair.target));
      expect(pair.made.items.map(({ name }) => name)).toEqual([TENSOR]);
      const lacked = pair.made.items.reduce((sum, item) => sum + item.lackedBytes, 0);
      expect(pair.made.ref.sizeBytes).toBeLessThan(1.01 * lacked);
    }
  });

  it('of equal artifacts is hardly more than its header', async () => {
    const pair = await pairOf({ ...slight, changes: () => false }, both({ recipe: U8 }));
    expect(pair.made.items).toEqual([]);
    expect(pair.made.ref.sizeBytes).toBeLessThan(200);
    expect(await rebuilt(pair)).toEqual(await readFile(pair.target));
  });
});

describe('applying a delta', () => {
  it('writes only chunks that the sink does not hold', async () => {
    const pair = await pairOf(slight, both({ recipe: U8 }));
    const reader = await openArtifact(pair.target);
    const table = chunkTable(reader.header);
    await reader.close();
    const held = new Set(table.map(({ index }) => index).filter((index) => index % 3 !== 1));
    const sink = memorySink(held);
    const outcome = await applyDelta(pair.use, sink);
    expect(outcome.failures).toEqual([]);
    expect([...sink.chunks.keys()].some((index) => held.has(index))).toBe(false);
    expect(sink.chunks.size).toBe(table.length - held.size);
    expect(outcome.rebuiltChunks).toBe(sink.chunks.size);
    const target = await readFile(pair.target);
    for (const { index, offset, sizeBytes } of table.filter((chunk) => !held.has(chunk.index))) {
      const expected = target.subarray(offset, offset + sizeBytes);
      expect(Buffer.from(sink.chunks.get(index) ?? [])).toEqual(expected);
    }
  });

  it('names the tensors whose base is damaged and gives all others', async () => {
    const pair = await pairOf(slight, both({ recipe: U8 }));
    const reader = await openArtifact(pair.base);
    const damaged = reader.header.tensors.find(({ name }) => name === TENSOR);
    await reader.close();
    await flipByte(pair.base, (damaged?.offset ?? 0) + 300);
    const sink = memorySink();
    const { failures } = await applyDelta(pair.use, sink);
    expect(failures).toMatchObject([{ item: TENSOR, reason: 'HashMismatch' }]);
    expect(failures[0]?.message).toContain(`${pair.base} is damaged`);
    const target = await openArtifact(pair.target);
    const table = chunkTable(target.header);
    const own = target.header.tensors.find(({ name }) => name === TENSOR);
    await target.close();
    expect(sink.chunks.size).toBe(table.length - (own?.chunks.length ?? 0));
    const path = join(await scratchFolder(), 'rebuilt');
    await expect(applyDeltaToFile(pair.use, path)).rejects.toMatchObject({
      reason: 'HashMismatch',
    });
    await expect(readFile(path)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  it('refuses another base, and a base whose header is damaged', async () => {
    const pair = await pairOf(slight, both({ recipe: U8 }));
    const other = { ...pair.use, base: pair.target };
    await expect(applyDelta(other, memorySink())).rejects.toMatchObject({ reason: 'WrongBase' });
    await flipByte(pair.base, 100);
    await expect(applyDelta(pair.use, memorySink())).rejects.toThrow();
  });

  it('ends with what the sink throws', async () => {
    const pair = await pairOf(slight, both({ recipe: U8 }));
    const full = { ...memorySink(), write: () => Promise.reject(new Error('the disk is full')) };
    await expect(applyDelta(pair.use, full)).rejects.toThrow('the disk is full');
  });

  it('ends when it is aborted', async () => {
    const pair = await pairOf(slight, both({ recipe: U8 }));
    const controller = new AbortController();
    const sink = memorySink();
    const stop = {
      ...sink,
      write: async (chunk: { index: number }, bytes: Uint8Array) => {
        await sink.write(chunk, bytes);
        controller.abort(new Error('enough'));
      },
    };
    const work = applyDelta({ ...pair.use, signal: controller.signal }, stop);
    await expect(work).rejects.toThrow('enough');
  });

  it('never gives wrong bytes for a delta that anyone altered', async () => {
    const pair = await pairOf(slight, both({ recipe: U8 }));
    const target = await readFile(pair.target);
    const good = await readFile(pair.delta);
    const header = parseDeltaHeader(good.subarray(0, (await headerOf(pair.delta)).headerSizeBytes));
    const path = join(await scratchFolder(), 'altered');
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.tuple(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 })), {
          minLength: 1,
          maxLength: 4,
        }),
        fc.boolean(),
        async (flips, isRehashed) => {
          const bytes = Buffer.from(good);
          for (const [at, by] of flips) bytes[at] = (bytes[at] ?? 0) ^ by;
          await writeFile(path, isRehashed ? rehashed(bytes, header) : bytes);
          const sink = memorySink();
          try {
            await applyDelta({ ...pair.use, delta: path }, sink);
          } catch (error) {
            expect(error).toHaveProperty('reason');
          }
          for (const [index, chunk] of sink.chunks) expectTargetChunk(target, index, chunk);
        },
      ),
      { numRuns: 60 },
    );

    function expectTargetChunk(whole: Buffer, index: number, chunk: Uint8Array): void {
      expect(whole.includes(Buffer.from(chunk)), `chunk ${index}`).toBe(true);
    }
  });
});

async function headerOf(path: string) {
  const file = await DeltaFile.open(path);
  await file.close();
  return file.ref;
}

/** The altered payload under a header that vouches for it, as a bad writer would send it. */
function rehashed(bytes: Buffer, header: ReturnType<typeof parseDeltaHeader>): Buffer {
  const { chunkSizeBytes, headerSizeBytes } = header.ref;
  const payload = bytes.subarray(headerSizeBytes);
  const chunkHashes = header.chunkHashes.map((_, i) =>
    sha256Now(payload.subarray(i * chunkSizeBytes, (i + 1) * chunkSizeBytes)),
  );
  return Buffer.concat([writeDeltaHeader({ ...header, chunkSizeBytes, chunkHashes }), payload]);
}
