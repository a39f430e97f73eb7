import { mkdtemp, readdir, readFile, rm, stat, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../../../test/fixtures/tiny.checkpoint.ts';
import { assembleParts } from './artifact.assembler.ts';
import { encodeArtifact } from './artifact.encoder.ts';
import { type Checkpoint, openCheckpoint } from './checkpoint.reader.ts';
import { type EncodingPlan, parsePlan, planEncoding, planText } from './encoding.plan.ts';
import { ARTIFACT_LIMITS } from './limits.ts';
import { encodePart, hasPart } from './part.file.ts';

const RATE = { kind: 'rate', targetBitsPerWeight: 4.2 } as const;

let folder: string;
let source: string;
let checkpoint: Checkpoint;
let plan: EncodingPlan;

const pathOf = (index: number) => join(folder, `part-${index}`);
const indexes = () => [...plan.groups.keys()];
const encode = (index: number, threads = 1) =>
  encodePart(index, { checkpoint, plan, threads, path: pathOf(index) });
const isThere = (index: number, of = plan) => hasPart({ plan: of, index, path: pathOf(index) });
const output = () => join(folder, 'assembled');
const assemble = () => assembleParts({ checkpoint, plan, path: output() }, pathOf);

async function planned(groupSizeBytes: number): Promise<EncodingPlan> {
  const chunkSizeBytes = ARTIFACT_LIMITS.chunkSizeBytesMin;
  return planEncoding({ checkpoint, recipe: RATE, chunkSizeBytes, groupSizeBytes, threads: 1 });
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-part-'));
  source = await writeTinyCheckpoint(join(folder, 'source'), { shards: 2 });
  checkpoint = await openCheckpoint(source);
  plan = await planned(50_000);
});

afterEach(async () => {
  await checkpoint.close();
  await rm(folder, { recursive: true, force: true });
});

describe('parts', () => {
  it('give the bytes of one process, in whatever order and of whatever size', async () => {
    const whole = join(folder, 'whole');
    const { chunkSizeBytes } = plan;
    const one = { checkpoint, recipe: RATE, path: whole, threads: 1, chunkSizeBytes };
    const expected = await encodeArtifact(one);
    for (const groupSizeBytes of [1, 50_000, 2 ** 30]) {
      plan = parsePlan(planText(await planned(groupSizeBytes))) ?? plan;
      for (const index of indexes().reverse()) await encode(index, 1 + (index % 3));
      expect(await assemble()).toEqual(expected);
      expect((await readFile(output())).equals(await readFile(whole))).toBe(true);
    }
  });

  it('are there only for their own place of their own plan', async () => {
    expect(plan.groups.length).toBeGreaterThan(3);
    await encode(1);
    expect(await isThere(1)).toBe(true);
    expect(await isThere(0)).toBe(false);
    await writeFile(pathOf(2), await readFile(pathOf(1)));
    expect(await isThere(2)).toBe(false);
    const other = await planned(40_000);
    expect(await isThere(1, other)).toBe(false);
  });

  it('are no parts with any byte of their description changed, or cut short', async () => {
    await encode(0);
    const good = await readFile(pathOf(0));
    const payloadBytes = Number(good.readBigUInt64LE(good.length - 40));
    const change = fc.record({
      at: fc.integer({ min: payloadBytes, max: good.length - 1 }),
      by: fc.integer({ min: 1, max: 255 }),
    });
    await fc.assert(
      fc.asyncProperty(change, async ({ at, by }) => {
        const bad = Buffer.from(good);
        bad[at] = (bad[at] ?? 0) ^ by;
        await writeFile(pathOf(0), bad);
        expect(await isThere(0)).toBe(false);
      }),
      { numRuns: 60 },
    );
    const lengths = fc.integer({ min: 0, max: good.length - 1 });
    await fc.assert(
      fc.asyncProperty(lengths, async (length) => {
        await writeFile(pathOf(0), good.subarray(0, length));
        expect(await isThere(0)).toBe(false);
      }),
      { numRuns: 40 },
    );
    await writeFile(pathOf(0), good);
    expect(await isThere(0)).toBe(true);
  });

  it('with a damaged payload are found out when assembled, and removed', async () => {
    for (const index of indexes()) await encode(index);
    const bytes = await readFile(pathOf(1));
    const payloadBytes = Number(bytes.readBigUInt64LE(bytes.length - 40));
    for (const at of [0, payloadBytes >> 1, payloadBytes - 1]) {
      const bad = Buffer.from(bytes);
      bad[at] = (bad[at] ?? 0) ^ 1;
      await writeFile(pathOf(1), bad);
      await expect(assemble()).rejects.toMatchObject({ reason: 'BadPart' });
      expect(await isThere(1)).toBe(false);
      expect(await readdir(folder)).not.toContain('assembled');
    }
    await expect(assemble()).rejects.toMatchObject({ reason: 'BadPart' });
    await encode(1);
    await expect(assemble()).resolves.toMatchObject({ ref: { chunkCount: expect.any(Number) } });
  });

  it('leave nothing behind when they are given up', async () => {
    const signal = AbortSignal.abort(new Error('enough'));
    const work = { checkpoint, plan, threads: 1, path: pathOf(0), signal };
    await expect(encodePart(0, work)).rejects.toThrow('enough');
    expect(await readdir(folder)).toEqual(['source']);
  });
});

describe('a source that is written to', () => {
  const weights = () => join(source, 'model-00002-of-00002.safetensors');

  it('gives no part and no artifact', async () => {
    for (const index of indexes()) await encode(index);
    const { atime } = await stat(weights());
    await utimes(weights(), atime, new Date(0));
    await expect(encode(0)).rejects.toMatchObject({ reason: 'SourceChanged' });
    await expect(assemble()).rejects.toMatchObject({ reason: 'SourceChanged' });
    await expect(planned(50_000)).rejects.toMatchObject({ reason: 'SourceChanged' });
    expect(await readdir(folder)).not.toContain('assembled');
  });

  it('does not fit the plan when it is opened again', async () => {
    const { atime } = await stat(weights());
    await utimes(weights(), atime, new Date(0));
    await checkpoint.close();
    checkpoint = await openCheckpoint(source);
    await expect(encode(0)).rejects.toMatchObject({ reason: 'SourceChanged' });
  });
});

describe('a plan', () => {
  it('is read back as it was, and not when anything in it changed', () => {
    const text = planText(plan);
    expect(parsePlan(text)).toEqual(plan);
    for (const bad of [
      '',
      '[]',
      '{}',
      text.slice(0, -1),
      text.replace('"version":1', '"version":0'),
      text.replace('"chunkSizeBytes":4096', '"chunkSizeBytes":8192'),
    ]) {
      expect(parsePlan(bad)).toBeUndefined();
    }
  });
});
