import { randomUUID } from 'node:crypto';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { StatisticsNames, TensorStatistics } from '@entrofleet/codec';
import type { GramFactor } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import { sha256Now } from './chunk.hash.ts';

/** What calibration found out about a checkpoint; plain JSON. Its files lie in one folder. */
export interface CalibrationStatistics {
  /** SHA-256 of the token rows as canonical JSON. */
  readonly tokensSha256: string;
  readonly tensors: readonly CalibratedTensor[];
}

export interface CalibratedTensor {
  readonly name: string;
  readonly statistics: StatisticsNames;
  /** Mean of the factor's pivots; 1 without a factor. */
  readonly meanPivot: number;
  /**
   * Sum of squared outputs over all tokens, of each function whose rows the tensor holds, from top
   * to bottom; empty when rows are used one at a time, and the mean pivot says all.
   */
  readonly functions: readonly { readonly rows: number; readonly outputPower: number }[];
}

/**
 * Writes a factor: order (32 bits each), pivots (64), feedback (32), little endian.
 * @returns the name of the file, which is the SHA-256 of its content.
 */
export async function writeFactor(folder: string, factor: GramFactor): Promise<string> {
  const { order, pivots, feedback } = factor;
  return writeNamed(folder, [bytesOf(order), bytesOf(pivots), bytesOf(feedback)]);
}

/** Writes spreads, 32 bits each, as {@link writeFactor} does. */
export async function writeSpreads(folder: string, spreads: Float32Array): Promise<string> {
  return writeNamed(folder, [bytesOf(spreads)]);
}

/**
 * Reads the files of one tensor.
 * @throws ArtifactError `BadArgument` when a file is missing, damaged, or of another shape.
 */
export async function readStatistics(
  names: StatisticsNames,
  at: { readonly folder: string; readonly rows: number; readonly columns: number },
): Promise<TensorStatistics> {
  const { folder, rows } = at;
  return {
    factor: names.factor === null ? null : await readFactor(names.factor, at),
    spreads:
      names.spreads === null
        ? null
        : new Float32Array(await readNamed(folder, names.spreads, 4 * rows)),
  };
}

/** Reads a factor of `columns` columns; throws as {@link readStatistics} does. */
export async function readFactor(
  name: string,
  { folder, columns: n }: { readonly folder: string; readonly columns: number },
): Promise<GramFactor> {
  const bytes = await readNamed(folder, name, 12 * n + 2 * n * (n - 1));
  return {
    order: new Uint32Array(bytes, 0, n),
    // 4 n bytes need not be a multiple of 8.
    pivots: new Float64Array(bytes.slice(4 * n, 12 * n)),
    feedback: new Float32Array(bytes, 12 * n),
  };
}

function bytesOf(array: Uint32Array | Float32Array | Float64Array): Uint8Array {
  return new Uint8Array(array.buffer, array.byteOffset, array.byteLength);
}

async function writeNamed(folder: string, parts: readonly Uint8Array[]): Promise<string> {
  const content = Buffer.concat(parts);
  const name = sha256Now(content);
  const draft = join(folder, `${name}.${randomUUID()}`);
  try {
    const file = await open(draft, 'wx');
    try {
      await file.writeFile(content);
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, join(folder, name));
  } finally {
    await rm(draft, { force: true });
  }
  return name;
}

async function readNamed(folder: string, name: string, sizeBytes: number): Promise<ArrayBuffer> {
  const path = join(folder, name);
  const refuse = (reason: string, cause?: unknown) =>
    new ArtifactError('BadArgument', `calibration file ${path} ${reason}; calibrate again`, {
      cause,
    });
  const content = await readFile(path).catch((cause: unknown) => {
    throw refuse('cannot be read', cause);
  });
  if (content.length !== sizeBytes) throw refuse(`has not ${sizeBytes} bytes`);
  if (sha256Now(content) !== name) throw refuse('is damaged');
  const bytes = new ArrayBuffer(sizeBytes);
  new Uint8Array(bytes).set(content);
  return bytes;
}
