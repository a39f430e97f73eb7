import { execFile } from 'node:child_process';
import { open, readFile, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { encodeArtifact, type Layout, openArtifact, openCheckpoint } from '@entrofleet/artifact';
import type { TensorRecipe } from '@entrofleet/codec';
import { type LoadOptions, loadModel, type ResidencyForm } from '@entrofleet/engine';
import { describe, expect, it, onTestFinished } from 'vitest';
import { scratchFolder } from '../fixtures/scratch.folder.ts';
import { type TinyCheckpointOptions, writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';

const PROMPT = [1, 5, 9, 200, 300, 17, 5];
const MIB = 1024 * 1024;

const RECIPES = {
  u8: { kind: 'affine', bits: 8 },
  u4: { kind: 'affine', bits: 4 },
  'rd-4.5': { kind: 'rate', targetBitsPerWeight: 4.5 },
  'rd-2.5': { kind: 'rate', targetBitsPerWeight: 2.5 },
} as const satisfies Record<string, TensorRecipe>;

interface Encoding {
  readonly recipe: keyof typeof RECIPES;
  readonly layout: Layout;
  readonly geometry?: TinyCheckpointOptions;
  readonly chunkSizeBytes?: number;
}

async function encoded(encoding: Encoding): Promise<string> {
  const folder = await scratchFolder();
  const source = await writeTinyCheckpoint(join(folder, 'source'), encoding.geometry ?? {});
  const checkpoint = await openCheckpoint(source, { threads: 2 });
  const path = join(folder, 'model.efa');
  // Small chunks cut segments that end within rows.
  const { layout, chunkSizeBytes = 4096 } = encoding;
  const recipe = RECIPES[encoding.recipe];
  await encodeArtifact({ checkpoint, recipe, layout, path, chunkSizeBytes, threads: 2 });
  await checkpoint.close();
  return path;
}

async function load(path: string, options: Partial<LoadOptions> = {}, isCoded = true) {
  const reader = await openArtifact(path);
  try {
    const model = await loadModel(
      {
        config: reader.config,
        tensorNames: reader.tensorNames,
        readResident: (name, { signal } = {}) => reader.readResident(name, { threads: 2, signal }),
        ...(isCoded ? { coded: reader } : {}),
      },
      { threads: 2, ...options },
    );
    onTestFinished(() => model.close());
    return model;
  } finally {
    await reader.close();
  }
}

type Model = Awaited<ReturnType<typeof load>>;

/** Logits of a prompt at once, and of single tokens after it. */
async function logitsOf(model: Model): Promise<Float32Array[]> {
  const session = model.createSession(32);
  const all = [await session.allLogits(PROMPT)];
  for (const token of [7, 8, 400]) all.push(await session.append([token]));
  session.close();
  return all;
}

describe('a model gives the same bits however its matrices are held', () => {
  it.each<Encoding>([
    { recipe: 'rd-4.5', layout: 'lanes' },
    { recipe: 'u8', layout: 'streams' },
    { recipe: 'u4', layout: 'paper' },
    { recipe: 'rd-2.5', layout: 'lanes', geometry: { tiedEmbeddings: true } },
    {
      recipe: 'u4',
      layout: 'lanes',
      geometry: { hiddenSize: 60, heads: 6, keyValueHeads: 2, intermediateSize: 151 },
    },
    // Rows longer than segments.
    { recipe: 'u8', layout: 'lanes', geometry: { hiddenSize: 64, intermediateSize: 9000 } },
  ])('$recipe in $layout, $geometry', async (encoding) => {
    const path = await encoded(encoding);
    const expected = await logitsOf(await load(path, {}, false));
    for (const form of ['plain', 'window', 'coded', 'disk'] as const) {
      const model = await load(path, { form });
      expect(model.residency?.matrices[form]).toBeGreaterThan(10);
      expect(await logitsOf(model), form).toEqual(expected);
    }
  });

  it('and when many are read from disk by more threads than it has buffers ahead', async () => {
    const path = await encoded({ recipe: 'u8', layout: 'lanes' });
    const expected = await logitsOf(await load(path, { threads: 1, form: 'window' }));
    const model = await load(path, { threads: 7, form: 'disk' });
    for (let i = 0; i < 5; i++) expect(await logitsOf(model)).toEqual(expected);
  });

  it('and when their file is deleted while it runs', async () => {
    const path = await encoded({ recipe: 'u8', layout: 'streams' });
    const model = await load(path, { form: 'disk' });
    const expected = await logitsOf(await load(path, { form: 'window' }));
    await promisify(execFile)('rm', [path]);
    expect(await logitsOf(model)).toEqual(expected);
  });
});

describe('a budget', () => {
  const geometry = { hiddenSize: 512, intermediateSize: 1536, layers: 6, vocabularySize: 8192 };
  const process_ = fileURLToPath(new URL('../support/loaded.form.ts', import.meta.url));

  async function loadedWithin(path: string, budgetBytes: number) {
    const { stdout } = await promisify(execFile)(process.execPath, [
      ...['--conditions=entrofleet-source', process_, path, String(Math.floor(budgetBytes))],
    ]);
    return JSON.parse(stdout);
  }

  it('is kept by the process, which holds less and less decoded as it shrinks', async () => {
    const path = await encoded({
      ...{ recipe: 'u8', layout: 'lanes', geometry },
      chunkSizeBytes: 256 * 1024,
    });
    const rich = await loadedWithin(path, 100 * MIB);
    expect(rich.matrices).toMatchObject({ coded: 0, disk: 0 });
    let onDisk = 0;
    for (const budgetMib of [34, 31, 28]) {
      const { grownBytes, matrices, logits } = await loadedWithin(path, budgetMib * MIB);
      expect(logits).toEqual(rich.logits);
      expect(matrices.window).toBeLessThan(rich.matrices.window);
      expect(matrices.disk).toBeGreaterThanOrEqual(onDisk);
      onDisk = matrices.disk;
      // Beside the model there is what JavaScript comes to hold for loading it.
      expect(grownBytes).toBeLessThan((budgetMib + 12) * MIB);
    }
    expect(onDisk).toBeGreaterThan(10);
  });

  it('that nothing fits is refused with the arithmetic, and takes nothing', async () => {
    const path = await encoded({ recipe: 'u8', layout: 'lanes' });
    await expect(load(path, { memoryBudgetBytes: MIB / 2 })).rejects.toMatchObject({
      reason: 'OutOfMemory',
      message: expect.stringMatching(/at least .* the budget is 0\.5 MiB/),
    });
  });
});

describe('a file that is damaged, in whatever form it is loaded,', () => {
  const FORMS: readonly ResidencyForm[] = ['window', 'coded', 'disk'];

  async function damaged(damage: (path: string, payloadAt: number) => Promise<void>) {
    const path = await encoded({ recipe: 'u8', layout: 'lanes' });
    const reader = await openArtifact(path);
    const entry = reader.header.tensors.find(({ codec }) => codec === 'lanes');
    await reader.close();
    await damage(path, (entry?.offset ?? 0) + (entry?.payloadBytes ?? 0) - 20);
    return path;
  }

  it.each(FORMS)('is refused with HashMismatch: %s', async (form) => {
    const path = await damaged(async (path, at) => {
      const bytes = await readFile(path);
      bytes[at] = (bytes[at] ?? 0) ^ 1;
      await writeFile(path, bytes);
    });
    await expect(load(path, { form })).rejects.toMatchObject({ reason: 'HashMismatch' });
  });

  it('is refused with BadTensor where its chunks are what was written', async () => {
    const path = await damaged(async (path, at) => {
      const bytes = await readFile(path);
      bytes.fill(0xff, at, at + 20);
      await writeFile(path, bytes);
    });
    const reader = await openArtifact(path);
    const requests = reader.codedMatrices.map(({ name, rows }) => ({
      ...{ name, form: 'window' as const },
      parts: [{ firstRow: 0, rows }],
    }));
    await expect(
      reader.loadMatrices(requests, { threads: 2, trusted: true }),
    ).rejects.toMatchObject({ reason: 'BadTensor', message: /segment \d+ of \d+ is corrupt/ });
    await reader.close();
  });

  it('is refused with Truncated when it was cut after it was opened', async () => {
    const path = await encoded({ recipe: 'u8', layout: 'lanes' });
    const reader = await openArtifact(path);
    const requests = reader.codedMatrices.map(({ name, rows }) => ({
      ...{ name, form: 'coded' as const },
      parts: [{ firstRow: 0, rows }],
    }));
    await truncate(path, reader.ref.sizeBytes - 3000);
    const loading = reader.loadMatrices(requests, { threads: 2 });
    await expect(loading).rejects.toMatchObject({ reason: 'Truncated' });
    await reader.close();
    await expect(reader.loadMatrices(requests, { threads: 2 })).rejects.toMatchObject({
      reason: 'Closed',
    });
  });

  it('fails a pass, not the process, when it is damaged on disk while a model runs', async () => {
    const path = await encoded({ recipe: 'u8', layout: 'lanes' });
    const model = await load(path, { form: 'disk' });
    const file = await open(path, 'r+');
    const { size } = await file.stat();
    await file.write(Buffer.alloc(size, 0xff), 0, size, 0);
    await file.sync();
    await file.close();
    const session = model.createSession(16);
    await expect(
      (async () => {
        for (let i = 0; i < 4; i++) await session.append(PROMPT.slice(0, 3));
      })(),
    ).rejects.toMatchObject({
      reason: 'NativeFailure',
      message: expect.stringContaining('can no longer be read'),
    });
  });
});

describe('loading', () => {
  it('tells how far it is, and ends when it is cancelled', async () => {
    const path = await encoded({ recipe: 'u8', layout: 'lanes' });
    const progress: number[] = [];
    let total = 0;
    await load(path, {
      onProgress: ({ tensorsRead, tensorsTotal }) => {
        progress.push(tensorsRead);
        total = tensorsTotal;
      },
    });
    expect(progress.at(-1)).toBe(total);
    expect(progress).toEqual(progress.toSorted((a, b) => a - b));
    const abort = new AbortController();
    const loading = load(path, { signal: abort.signal });
    abort.abort();
    await expect(loading).rejects.toMatchObject({ reason: 'Cancelled' });
  });
});
