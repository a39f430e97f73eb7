import { copyFile, mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import fc from 'fast-check';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openArtifact } from './artifact.reader.ts';
import { type EvaluationRecord, formatEvaluation, parseEvaluation } from './evaluation.record.ts';

const GOLDEN = resolve(import.meta.dirname, '../../../test/fixtures/artifacts/u8-streams.efa');
const ID = 'ab'.repeat(32);
const RECORD: EvaluationRecord = {
  artifact: ID,
  perplexity: 3.25,
  sourcePerplexity: 3,
  origin: 'eval-tokens.json',
  rows: 32,
  tokens: 8160,
  tokensSha256: 'cd'.repeat(32),
};

let folder: string;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-evaluation-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true });
});

describe('an evaluation record', () => {
  it('is read back', () => {
    expect(parseEvaluation(formatEvaluation(RECORD), ID)).toEqual(RECORD);
  });

  it('is not taken for another artifact', () => {
    expect(parseEvaluation(formatEvaluation(RECORD), 'ba'.repeat(32))).toBeUndefined();
  });

  it('is refused when a byte differs or is missing or added', () => {
    const good = formatEvaluation(RECORD);
    fc.assert(
      fc.property(fc.nat(good.length - 1), fc.integer({ min: 1, max: 255 }), (at, by) => {
        const bytes = Uint8Array.from(good);
        bytes[at] = (bytes[at] ?? 0) ^ by;
        expect(parseEvaluation(bytes, ID)).toBeUndefined();
        expect(parseEvaluation(good.subarray(0, at), ID)).toBeUndefined();
        expect(parseEvaluation(Buffer.concat([good, bytes]), ID)).toBeUndefined();
      }),
    );
  });

  it('refuses perplexities that are none', () => {
    const odd = { ...RECORD, perplexity: 0.5 };
    expect(parseEvaluation(formatEvaluation(odd), ID)).toBeUndefined();
  });
});

describe('an artifact file', () => {
  it('carries its evaluation, the last one written, and keeps its id', async () => {
    const path = join(folder, 'evaluated.efa');
    await copyFile(GOLDEN, path);
    const bare = await openArtifact(path);
    expect(bare.evaluation).toBeUndefined();
    const record = { ...RECORD, artifact: bare.ref.id };
    await bare.writeEvaluation({ ...record, perplexity: 9 });
    await bare.writeEvaluation(record);
    await bare.close();

    const evaluated = await openArtifact(path);
    expect(evaluated.evaluation).toEqual(record);
    expect(evaluated.ref).toEqual(bare.ref);
    await evaluated.verify();
    await evaluated.close();
    const golden = await readFile(GOLDEN);
    expect((await readFile(path)).subarray(0, golden.length)).toEqual(golden);
  });

  it('takes no evaluation of another artifact', async () => {
    const path = join(folder, 'other.efa');
    await copyFile(GOLDEN, path);
    const artifact = await openArtifact(path);
    await expect(artifact.writeEvaluation(RECORD)).rejects.toMatchObject({ reason: 'BadArgument' });
    await artifact.close();
    expect(await readFile(path)).toEqual(await readFile(GOLDEN));
  });
});
