import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { encodeArtifact, openCheckpoint } from '@entrofleet/artifact';
import { createTokenizer } from '@entrofleet/engine';
import { expect, it } from 'vitest';
import { z } from 'zod';

const ROOT = resolve(import.meta.dirname, '../..');
const IMPORTED = join(ROOT, '.cache/models/stories15M');
const SHARED = resolve(ROOT, '../shared/models/stories15M');

const absent = [IMPORTED, SHARED].filter((folder) => !existsSync(folder));
if (absent.length > 0) {
  console.warn(
    `SKIPPED: stories15M against its golden outputs, for want of ${absent.join(' and ')}; ` +
      'node deploy/models/import.ts fetches the first',
  );
}

const goldenSchema = z.object({
  texts: z.array(z.string()),
  input_ids: z.array(z.array(z.int())),
});

const modelSchema = z.object({
  model: z.object({ vocab: z.record(z.string(), z.int()), merges: z.array(z.array(z.string())) }),
});

async function readJson(...path: string[]): Promise<unknown> {
  return JSON.parse(await readFile(join(...path), 'utf8'));
}

it.skipIf(absent.length > 0)('has the golden weights, within the rounding to f16', async () => {
  const imported = await openCheckpoint(IMPORTED);
  const shared = await openCheckpoint(SHARED);
  expect(imported.tensors.map(({ name, shape }) => ({ name, shape }))).toEqual(
    shared.tensors.map(({ name, shape }) => ({ name, shape })),
  );
  for (const name of imported.tensorNames) {
    const ours = await imported.readResident(name);
    const theirs = await shared.readResident(name);
    if (ours.format !== 'f32' || theirs.format !== 'f32') throw new Error('not float32');
    // Half a unit in the last of f16's 11 bits, or half the smallest subnormal.
    const outside = ours.data.findIndex((value, i) => {
      const tolerance = Math.max(Math.abs(value) * 2 ** -11, 2 ** -25);
      return !(Math.abs(value - (theirs.data[i] ?? Number.NaN)) <= tolerance);
    });
    expect({ name, outside }).toEqual({ name, outside: -1 });
  }
  await imported.close();
  await shared.close();
});

it.skipIf(absent.length > 0)('has the golden tokenizer', async () => {
  const golden = goldenSchema.parse(await readJson(SHARED, 'golden.json'));
  const tokenizer = createTokenizer({
    tokenizerJson: await readJson(IMPORTED, 'tokenizer.json'),
    tokenizerConfig: await readJson(IMPORTED, 'tokenizer_config.json'),
  });
  expect(golden.texts.map((text) => tokenizer.encode(text))).toEqual(golden.input_ids);
  const ours = modelSchema.parse(await readJson(IMPORTED, 'tokenizer.json')).model;
  const theirs = modelSchema.parse(await readJson(SHARED, 'tokenizer.json')).model;
  const byId = ({ vocab }: typeof ours) => Object.entries(vocab).sort(([, a], [, b]) => a - b);
  expect(JSON.stringify(byId(ours)) === JSON.stringify(byId(theirs))).toBe(true);
  expect(JSON.stringify(ours.merges) === JSON.stringify(theirs.merges)).toBe(true);
});

it.skipIf(!existsSync(SHARED))('costs as many bits as were measured of it', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-stories-'));
  const checkpoint = await openCheckpoint(SHARED);
  const path = join(folder, 'model.artifact');
  const totalsOf = async (recipe: Parameters<typeof encodeArtifact>[0]['recipe']) =>
    (await encodeArtifact({ checkpoint, recipe, path, threads: 2 })).totals;
  const u8 = await totalsOf({ kind: 'affine', bits: 8 });
  expect(u8.entropyBitsPerWeight).toBeCloseTo(5.66, 2);
  // Huffman codes, tables, segments and header entries together.
  expect(u8.bitsPerWeight / u8.entropyBitsPerWeight).toBeLessThan(1.02);
  const u4 = await totalsOf({ kind: 'affine', bits: 4 });
  expect(u4.entropyBitsPerWeight).toBeCloseTo(1.76, 2);
  expect(u4.bitsPerWeight / u4.entropyBitsPerWeight).toBeLessThan(1.02);
  const rate = await totalsOf({ kind: 'rate', targetBitsPerWeight: 4.2 });
  expect(Math.abs(rate.entropyBitsPerWeight - 4.2)).toBeLessThan(0.01);
  await checkpoint.close();
  await rm(folder, { recursive: true });
});
