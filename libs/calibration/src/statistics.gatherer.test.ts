import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type CalibrationStatistics,
  type Checkpoint,
  encodeArtifact,
  openArtifact,
  openCheckpoint,
} from '@entrofleet/artifact';
import { ISA_NAMES, native } from '@entrofleet/native';
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../../../test/fixtures/tiny.checkpoint.ts';
import { gatherStatistics } from './statistics.gatherer.ts';
import { lookUp, predictions } from './vocabulary.pass.ts';

const original = native.cpu().isa;
const found = ISA_NAMES.filter((isa) => native.forceIsa(isa));

const rows = Array.from({ length: 6 }, (_, r) =>
  Array.from({ length: 40 + r }, (_, i) => (7 * i * (r + 1) + i * i) % 300),
);

let folder = '';
let untied: Checkpoint;
let tied: Checkpoint;

beforeAll(async () => {
  native.forceIsa(original);
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-calibration-'));
  untied = await openCheckpoint(await writeTinyCheckpoint(join(folder, 'untied')));
  const options = { tiedEmbeddings: true, seed: 2 };
  tied = await openCheckpoint(await writeTinyCheckpoint(join(folder, 'tied'), options));
});

afterEach(() => {
  native.forceIsa(original);
});

afterAll(async () => {
  await untied.close();
  await tied.close();
  await rm(folder, { recursive: true, force: true });
});

const gather = (checkpoint: Checkpoint, name: string, threads = 2) =>
  gatherStatistics({ checkpoint, rows, folder: join(folder, name), threads });

const byName = ({ tensors }: CalibrationStatistics, end: string) =>
  tensors.find(({ name }) => name.endsWith(end));

describe('the statistics of a model', () => {
  it('are the same on every instruction set and for every number of threads', async () => {
    let first: CalibrationStatistics | undefined;
    for (const isa of found) {
      native.forceIsa(isa);
      for (const threads of [1, 3]) {
        const statistics = await gather(untied, 'same', threads);
        first ??= statistics;
        expect(statistics).toEqual(first);
      }
    }
    // Files are named by their content: other bits would have left more of them.
    const names = (first?.tensors ?? []).flatMap(({ statistics }) => [
      statistics.factor,
      statistics.spreads,
    ]);
    const distinct = new Set(names.filter((name) => name !== null));
    expect((await readdir(join(folder, 'same'))).sort()).toEqual([...distinct].sort());
  });

  it('cover every matrix; what shares its inputs shares a factor', async () => {
    const statistics = await gather(untied, 'cover');
    const matrices = untied.tensors.filter(({ shape }) => shape.length === 2);
    expect(statistics.tensors.map(({ name }) => name).sort()).toEqual(
      matrices.map(({ name }) => name),
    );
    const factorOf = (end: string) => byName(statistics, end)?.statistics.factor;
    expect(factorOf('layers.0.self_attn.q_proj.weight')).toBe(
      factorOf('layers.0.self_attn.v_proj.weight'),
    );
    expect(factorOf('layers.0.self_attn.q_proj.weight')).not.toBe(
      factorOf('layers.1.self_attn.q_proj.weight'),
    );
    expect(byName(statistics, 'embed_tokens.weight')?.statistics).toMatchObject({
      factor: null,
      spreads: expect.stringMatching(/^[0-9a-f]{64}$/),
    });
    expect(factorOf('lm_head.weight')).toMatch(/^[0-9a-f]{64}$/);
    for (const { functions, meanPivot } of statistics.tensors) {
      expect(meanPivot).toBeGreaterThan(0);
      for (const { outputPower } of functions) expect(outputPower).toBeGreaterThan(0);
    }
  });

  it('look tokens up and predict as plain arithmetic does', async () => {
    const place = { rows: 512, columns: 64, firstRow: 0, rowCount: 512 };
    const embedding = { ...place, name: 'model.embed_tokens.weight' };
    const hidden = await lookUp(tied, embedding, [5, 500, 5]);
    const tensor = await tied.readResident(embedding.name);
    if (tensor.format !== 'f32') throw new Error('not float32');
    expect(hidden.subarray(64, 128)).toEqual(tensor.data.subarray(500 * 64, 501 * 64));
    expect(hidden.subarray(128)).toEqual(hidden.subarray(0, 64));
    const { probabilities } = await predictions(tied, embedding, {
      normalized: hidden,
      threads: 2,
    });
    const logitsOf = (t: number) =>
      Array.from({ length: 512 }, (_, v) => {
        let sum = 0;
        for (let c = 0; c < 64; c++) {
          sum += (hidden[t * 64 + c] ?? 0) * (tensor.data[v * 64 + c] ?? 0);
        }
        return Math.exp(sum);
      });
    const shareOf = (t: number, v: number) => {
      const powers = logitsOf(t);
      return (powers[v] ?? 0) / powers.reduce((sum, p) => sum + p, 0);
    };
    const expected = shareOf(0, 9) + shareOf(1, 9) + shareOf(2, 9);
    expect(probabilities[9]).toBeCloseTo(expected, 5);
  });

  it('make a calibrated artifact, with the same bytes everywhere, that says so', async () => {
    for (const checkpoint of [untied, tied]) {
      const statistics = await gather(checkpoint, 'artifact');
      const calibration = { statistics, folder: join(folder, 'artifact') };
      const recipe = { kind: 'rate', targetBitsPerWeight: 3.5 } as const;
      const ids = new Set<string>();
      for (const threads of [1, 3]) {
        const path = join(folder, 'model.efa');
        const { ref, totals } = await encodeArtifact({
          ...{ checkpoint, recipe, calibration, path, threads },
        });
        ids.add(ref.id);
        expect(Math.abs(totals.entropyBitsPerWeight - 3.5)).toBeLessThan(0.01);
        const reader = await openArtifact(path);
        expect(reader.header.recipe).toEqual({
          ...recipe,
          calibration: { tokensSha256: statistics.tokensSha256 },
        });
        await reader.close();
      }
      expect(ids.size).toBe(1);
    }
  });

  it('are refused once a file is damaged', async () => {
    const statistics = await gather(tied, 'damaged');
    const { factor } = statistics.tensors[0]?.statistics ?? {};
    const path = join(folder, 'damaged', factor ?? '');
    const content = await readFile(path);
    content[100] = (content[100] ?? 0) ^ 1;
    await writeFile(path, content);
    const encoding = encodeArtifact({
      checkpoint: tied,
      recipe: { kind: 'rate', targetBitsPerWeight: 4 },
      calibration: { statistics, folder: join(folder, 'damaged') },
      path: join(folder, 'never.efa'),
      threads: 1,
    });
    await expect(encoding).rejects.toMatchObject({ reason: 'BadArgument', message: /damaged/ });
  });
});
