import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { openCheckpoint } from '@entrofleet/artifact';
import { loadModel, perplexity } from '@entrofleet/engine';
import { describe, expect, it } from 'vitest';
import { scratchFolder } from '../fixtures/scratch.folder.ts';
import { readGgufTensors } from './gguf.reader.ts';
import { writeGguf } from './gguf.writer.ts';

const LLAMA = resolve(import.meta.dirname, '../../.cache/llama/build/bin');
const MODEL = resolve(import.meta.dirname, '../../../shared/models/stories15M');
const ROWS = 4;
const hasPeer = existsSync(join(LLAMA, 'llama-peer')) && existsSync(MODEL);
const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

async function digests(path: string): Promise<Record<string, string>> {
  const tensors = await readGgufTensors(path);
  return Object.fromEntries(
    tensors.map(({ name, shape, type, bytes }) => [name, `${type} ${shape} ${sha256(bytes)}`]),
  );
}

/** Needs llama.cpp (`make bench-engine` compiles it) and the shared model. */
describe.skipIf(!hasPeer)('writeGguf, held against llama.cpp', () => {
  it.each(['Q8_0', 'Q4_0'] as const)('gives the bytes of llama-quantize in %s', async (format) => {
    const folder = await scratchFolder();
    const [floats, own, theirs] = [
      join(folder, 'f32'),
      join(folder, 'own'),
      join(folder, 'theirs'),
    ];
    await writeGguf(MODEL, floats, 'F32');
    await writeGguf(MODEL, own, format);
    const types = ['--token-embedding-type', format, '--output-tensor-type', format];
    const words = ['--pure', ...types, floats, theirs, format, '1'];
    execFileSync(join(LLAMA, 'llama-quantize'), words, { stdio: 'ignore' });
    expect(await digests(own)).toEqual(await digests(theirs));
  });

  it('is the model that our engine runs: the same perplexity', async () => {
    const folder = await scratchFolder();
    const [path, rowsPath] = [join(folder, 'model.gguf'), join(folder, 'rows')];
    const tokens = JSON.parse(await readFile(join(MODEL, 'eval-tokens.json'), 'utf8'));
    const rows: number[][] = (tokens.input_ids ?? tokens).slice(0, ROWS);
    await writeFile(rowsPath, rows.map((row) => `${row.join(' ')}\n`).join(''));
    await writeGguf(MODEL, path, 'F32');
    const words = ['score', path, rowsPath, '1'];
    const peer = JSON.parse(execFileSync(join(LLAMA, 'llama-peer'), words, { encoding: 'utf8' }));
    const checkpoint = await openCheckpoint(MODEL, { tokenizer: 'optional' });
    const model = await loadModel(checkpoint, { threads: 1 });
    const own = await perplexity(model, rows);
    model.close();
    await checkpoint.close();
    expect(peer.tokens).toBe(own.tokens);
    expect(peer.perplexity / own.perplexity).toBeCloseTo(1, 3);
  });
});
