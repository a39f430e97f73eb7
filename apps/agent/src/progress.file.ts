import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { Bitmap } from '@entrofleet/protocol';
import { writeDurably } from './durable.file.ts';
import { systemCode } from './errors.ts';

/** What has come in for an artifact, kept over restarts. */
export interface TransferCounters {
  /** Payload of chunks that were lacking. */
  readonly bytesReceived: number;
  /** Payload of chunks that were held already. */
  readonly bytesDuplicate: number;
  readonly chunksCorrupt: number;
}

export interface Progress {
  readonly held: Bitmap;
  readonly counters: TransferCounters;
}

const MAGIC = Buffer.from('EFPROG1\n', 'latin1');
const HEAD_BYTES = MAGIC.length + 4 + 3 * 8;
const SUM_BYTES = 32;

export const NO_TRANSFER: TransferCounters = {
  bytesReceived: 0,
  bytesDuplicate: 0,
  chunksCorrupt: 0,
};

/**
 * Reads which chunks a partial file holds. A missing, torn or foreign file claims nothing: chunks
 * that are on disk all the same are found again by their hashes.
 */
export async function readProgress(path: string, chunkCount: number): Promise<Progress> {
  const nothing = { held: new Bitmap(chunkCount), counters: NO_TRANSFER };
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return nothing;
    throw error;
  }
  const bitmapBytes = (chunkCount + 7) >> 3;
  if (bytes.length !== HEAD_BYTES + bitmapBytes + SUM_BYTES) return nothing;
  const body = bytes.subarray(0, -SUM_BYTES);
  if (!sumOf(body).equals(bytes.subarray(-SUM_BYTES))) return nothing;
  if (!body.subarray(0, MAGIC.length).equals(MAGIC)) return nothing;
  if (body.readUInt32LE(MAGIC.length) !== chunkCount) return nothing;
  const counter = (i: number) => body.readDoubleLE(MAGIC.length + 4 + 8 * i);
  return {
    held: Bitmap.fromBytes(body.subarray(HEAD_BYTES), chunkCount),
    counters: {
      bytesReceived: counter(0),
      bytesDuplicate: counter(1),
      chunksCorrupt: counter(2),
    },
  };
}

/** Claims chunks as held. Their bytes must be on disk already. */
export async function writeProgress(path: string, progress: Progress): Promise<void> {
  const { held, counters } = progress;
  const head = Buffer.alloc(HEAD_BYTES);
  MAGIC.copy(head);
  head.writeUInt32LE(held.length, MAGIC.length);
  const values = [counters.bytesReceived, counters.bytesDuplicate, counters.chunksCorrupt];
  for (const [i, value] of values.entries()) head.writeDoubleLE(value, MAGIC.length + 4 + 8 * i);
  const body = Buffer.concat([head, held.toBytes()]);
  await writeDurably(path, Buffer.concat([body, sumOf(body)]));
}

function sumOf(body: Uint8Array): Buffer {
  return createHash('sha256').update(body).digest();
}
