import { open } from 'node:fs/promises';
import { join } from 'node:path';
import { encodeArtifact, openCheckpoint } from '@entrofleet/artifact';
import { native } from '@entrofleet/native';

/** Segment and chunk sizes are the artifact's defaults, libs/artifact/src/limits.ts. */
const SEGMENT_SYMBOLS = 64 * 1024;
const CHUNK_BYTES = 256 * 1024;
const HASHES_IN_FLIGHT = 4;

export const RECIPES = {
  u8: { kind: 'affine', bits: 8 },
  'rd-4.2': { kind: 'rate', targetBitsPerWeight: 4.2 },
} as const;
export type RecipeName = keyof typeof RECIPES;

/** Of one run; CPU time is of all threads. */
export interface Cost {
  readonly wallSeconds: number;
  readonly cpuSeconds: number;
}

export interface CompressRun {
  readonly sourceBytes: number;
  readonly artifactBytes: number;
  readonly whole: Cost;
  /** Each stage by itself over the same tensors, as `encodeArtifact` calls it for recipe u8. */
  readonly stages?: Readonly<Record<string, Cost>>;
}

/** Compresses a checkpoint as `entrofleet compress` does. */
export async function compressWhole(
  folder: string,
  options: { recipe: RecipeName; threads: number },
): Promise<CompressRun> {
  const path = join(folder, 'bench.artifact');
  const checkpoint = await openCheckpoint(folder, { tokenizer: 'optional' });
  try {
    const sourceBytes = checkpoint.tensors.reduce((sum, tensor) => sum + tensor.sizeBytes, 0);
    let artifactBytes = 0;
    const recipe = RECIPES[options.recipe];
    const whole = await costOf(async () => {
      const { threads } = options;
      const { ref } = await encodeArtifact({ checkpoint, recipe, path, threads });
      artifactBytes = ref.sizeBytes;
    });
    return { sourceBytes, artifactBytes, whole };
  } finally {
    await checkpoint.close();
  }
}

/** Runs the stages one after the other, so that none hides behind another. */
export async function compressStages(
  folder: string,
  threads: number,
): Promise<Record<string, Cost>> {
  const checkpoint = await openCheckpoint(folder, { tokenizer: 'optional' });
  const file = await open(join(folder, 'bench.payload'), 'w');
  const stages: Record<string, Cost> = {};
  const stage = async <T>(name: string, work: () => Promise<T>): Promise<T> => {
    let result: T | undefined;
    const cost = await costOf(async () => {
      result = await work();
    });
    const before = stages[name] ?? { wallSeconds: 0, cpuSeconds: 0 };
    stages[name] = {
      wallSeconds: before.wallSeconds + cost.wallSeconds,
      cpuSeconds: before.cpuSeconds + cost.cpuSeconds,
    };
    if (result === undefined) throw new Error(`stage ${name} gave nothing`);
    return result;
  };
  try {
    const memory = new Uint8Array(Math.max(...checkpoint.tensors.map((t) => t.sizeBytes)));
    for (const { name, type } of checkpoint.tensors) {
      const weights = await stage('read', () => checkpoint.readRaw(name, memory));
      const { symbols } = await stage('convert, measure, quantize, count', () =>
        native.quantizeAffine({ weights, type, bits: 8, threads }),
      );
      const segmentSymbols = SEGMENT_SYMBOLS;
      const { payload } = await stage('count, encode', () =>
        native.encodeHuffman({ symbols, segmentSymbols, threads }),
      );
      await stage('sha256', () => hashChunks(payload));
      await stage('write', () => file.write(payload));
    }
    await stage('fsync', async () => {
      await file.sync();
      return true;
    });
  } finally {
    await file.close();
    await checkpoint.close();
  }
  return stages;
}

async function hashChunks(payload: Uint8Array<ArrayBuffer>): Promise<number> {
  let begin = 0;
  const lane = async () => {
    while (begin < payload.length) {
      const chunk = payload.subarray(begin, begin + CHUNK_BYTES);
      begin += CHUNK_BYTES;
      await crypto.subtle.digest('SHA-256', chunk);
    }
  };
  await Promise.all(Array.from({ length: HASHES_IN_FLIGHT }, lane));
  return payload.length;
}

async function costOf(work: () => Promise<void>): Promise<Cost> {
  const cpuBefore = process.cpuUsage();
  const begin = performance.now();
  await work();
  const wallSeconds = (performance.now() - begin) / 1000;
  const { user, system } = process.cpuUsage(cpuBefore);
  return { wallSeconds, cpuSeconds: (user + system) / 1e6 };
}
