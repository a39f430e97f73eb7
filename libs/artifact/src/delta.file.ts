import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ArtifactError } from './artifact.error.ts';
import { hashMismatch, readFailed } from './artifact.file.ts';
import type { ArtifactRef } from './artifact.header.ts';
import { forEachParallel } from './bounded.parallel.ts';
import { sha256 } from './chunk.hash.ts';
import type { ChunkLocation } from './chunk.table.ts';
import {
  DELTA_PREAMBLE_BYTES,
  type DeltaHeader,
  deltaChunkTable,
  deltaHeaderBytes,
  parseDeltaHeader,
} from './delta.header.ts';
import { readAt } from './positional.read.ts';

const HASHES_IN_FLIGHT = 4;

/** A delta file open for positional reads, with its checked header. */
export class DeltaFile {
  readonly path: string;
  readonly header: DeltaHeader;
  readonly #handle: FileHandle;
  readonly #table: readonly ChunkLocation[];

  private constructor(path: string, handle: FileHandle, header: DeltaHeader) {
    this.path = path;
    this.header = header;
    this.#handle = handle;
    this.#table = deltaChunkTable(header);
  }

  /** @throws ArtifactError when there is no such file, or its header or size is not valid. */
  static async open(path: string): Promise<DeltaFile> {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause) => {
      throw readFailed(path, cause);
    });
    try {
      const stats = await handle.stat();
      if (!stats.isFile()) throw new ArtifactError('NotAFile', `${path} is not a file`);
      const read = async (sizeBytes: number) => {
        const bytes = new Uint8Array(Math.min(sizeBytes, stats.size));
        return bytes.subarray(0, await readAt(handle, bytes, 0));
      };
      const region = deltaHeaderBytes(await read(DELTA_PREAMBLE_BYTES));
      const header = parseDeltaHeader(await read(region));
      if (stats.size === header.ref.sizeBytes) return new DeltaFile(path, handle, header);
      throw new ArtifactError(
        stats.size < header.ref.sizeBytes ? 'Truncated' : 'TrailingBytes',
        `${path} has ${stats.size} bytes, its header describes ${header.ref.sizeBytes}; ` +
          'fetch the delta again',
      );
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** What it takes to fetch it. */
  get ref(): Readonly<ArtifactRef> {
    return this.header.ref;
  }

  /**
   * A chunk by its transfer index, for those who hand them out.
   * @throws ArtifactError `UnknownChunk`, `HashMismatch`, `Truncated`, `ReadFailed`.
   */
  async read(index: number): Promise<Uint8Array> {
    const chunk = this.#table[index];
    if (chunk === undefined) {
      const message = `${this.path} has no chunk ${index}; it has 0 to ${this.#table.length - 1}`;
      throw new ArtifactError('UnknownChunk', message);
    }
    const bytes = await this.readRange(chunk);
    if ((await sha256(bytes)) !== chunk.sha256) throw hashMismatch(this.path, chunk);
    return bytes;
  }

  /** Compares the SHA-256 of every chunk. @throws ArtifactError as {@link read}. */
  async verify(signal?: AbortSignal): Promise<void> {
    await forEachParallel(this.#table, HASHES_IN_FLIGHT, async ({ index }) => {
      signal?.throwIfAborted();
      await this.read(index);
    });
  }

  /** @throws ArtifactError `Truncated`, `ReadFailed`. */
  async readRange(range: { offset: number; sizeBytes: number }): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = new Uint8Array(range.sizeBytes);
    const got = await readAt(this.#handle, bytes, range.offset).catch((cause) => {
      throw readFailed(this.path, cause);
    });
    if (got === bytes.length) return bytes;
    throw new ArtifactError('Truncated', `${this.path} ends within its payload; fetch it again`);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/**
 * Opens a delta to hand out its chunks.
 * @param ref what was announced; the file must be that delta.
 * @throws ArtifactError as DeltaFile.open, and `HashMismatch` when the file is another delta.
 */
export async function openDeltaChunks(
  path: string,
  ref: Pick<ArtifactRef, 'id'>,
): Promise<DeltaFile> {
  const file = await DeltaFile.open(path);
  if (file.ref.id === ref.id) return file;
  await file.close();
  throw new ArtifactError('HashMismatch', `${path} holds delta ${file.ref.id}, not ${ref.id}`);
}
