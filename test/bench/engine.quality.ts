import { execFileSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { openArtifact } from '@entrofleet/artifact';
import { loadModel, perplexity } from '@entrofleet/engine';
import { LLAMA_BIN } from './engine.variants.ts';

export interface PerplexityOf {
  readonly path: string;
  readonly rows: readonly (readonly number[])[];
  readonly threads: number;
}

/** Perplexity of an artifact by our engine. */
export async function ownPerplexity({ path, rows, threads }: PerplexityOf): Promise<number> {
  const reader = await openArtifact(path);
  try {
    const { config, tensorNames } = reader;
    const readResident = (name: string) => reader.readResident(name, { threads });
    const model = await loadModel({ config, tensorNames, readResident }, { threads });
    try {
      return (await perplexity(model, rows)).perplexity;
    } finally {
      model.close();
    }
  } finally {
    await reader.close();
  }
}

/** Perplexity of a GGUF file by llama.cpp over the same rows. */
export async function peerPerplexity(
  { path, rows }: Omit<PerplexityOf, 'threads'>,
  folder: string,
): Promise<number> {
  const rowsPath = join(folder, `${basename(path)}.rows`);
  await writeFile(rowsPath, rows.map((row) => `${row.join(' ')}\n`).join(''));
  // One thread: two wait for each other in loops, which a busy machine makes very long.
  const words = ['score', path, rowsPath, '1'];
  return JSON.parse(
    execFileSync(join(LLAMA_BIN, 'llama-peer'), words, {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'inherit'],
    }),
  ).perplexity;
}
