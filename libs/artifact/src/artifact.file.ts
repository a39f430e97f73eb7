import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ArtifactError } from './artifact.error.ts';
import type { ArtifactHeader } from './artifact.header.ts';
import { sha256 } from './chunk.hash.ts';
import { parseHeader } from './header.parser.ts';
import { readAt } from './positional.read.ts';
import { headerRegionBytes, PREAMBLE_BYTES, parsePreamble } from './preamble.ts';

/** An artifact file open for positional reads, with its checked header. */
export class ArtifactFile {
  readonly path: string;
  readonly header: ArtifactHeader;
  readonly #handle: FileHandle;
  #closed = false;

  private constructor(path: string, header: ArtifactHeader, handle: FileHandle) {
    this.path = path;
    this.header = header;
    this.#handle = handle;
  }

  /** @throws ArtifactError when there is no such file or its header or size is not valid. */
  static async open(path: string): Promise<ArtifactFile> {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause) => {
      throw readFailed(path, cause);
    });
    try {
      return new ArtifactFile(path, await readHeader(path, handle), handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  }

  /** @throws ArtifactError `Truncated`, `ReadFailed`, `Closed`. */
  async read(range: { offset: number; sizeBytes: number }): Promise<Uint8Array<ArrayBuffer>> {
    if (this.#closed) throw new ArtifactError('Closed', `${this.path} was closed`);
    return readExactly(this.path, this.#handle, range);
  }

  /**
   * Reads one chunk and compares its SHA-256.
   * @throws ArtifactError `HashMismatch`, else as {@link read}.
   */
  async readChunk(chunk: {
    offset: number;
    sizeBytes: number;
    sha256: string;
  }): Promise<Uint8Array<ArrayBuffer>> {
    const bytes = await this.read(chunk);
    await this.checkHash(bytes, chunk);
    return bytes;
  }

  /** @throws ArtifactError `HashMismatch`. */
  async checkHash(
    bytes: Uint8Array<ArrayBuffer>,
    chunk: { offset: number; sha256: string },
  ): Promise<void> {
    if ((await sha256(bytes)) === chunk.sha256) return;
    throw new ArtifactError(
      'HashMismatch',
      `${this.path} is damaged: the chunk at byte ${chunk.offset} does not have its SHA-256 ` +
        `${chunk.sha256}; fetch that chunk again`,
    );
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }
}

async function readHeader(path: string, handle: FileHandle): Promise<ArtifactHeader> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw new ArtifactError('NotAFile', `${path} is not a file`);
  const preambleBytes = Math.min(stats.size, PREAMBLE_BYTES);
  const preamble = await readExactly(path, handle, { offset: 0, sizeBytes: preambleBytes });
  const region = headerRegionBytes(parsePreamble(preamble));
  const sizeBytes = Math.min(region, stats.size);
  const header = parseHeader(await readExactly(path, handle, { offset: 0, sizeBytes }));
  if (stats.size === header.ref.sizeBytes) return header;
  const cut = stats.size < header.ref.sizeBytes;
  throw new ArtifactError(
    cut ? 'Truncated' : 'TrailingBytes',
    `${path} has ${stats.size} bytes, its header describes ${header.ref.sizeBytes}; ` +
      'fetch the artifact again',
  );
}

async function readExactly(
  path: string,
  handle: FileHandle,
  range: { offset: number; sizeBytes: number },
): Promise<Uint8Array<ArrayBuffer>> {
  const bytes = new Uint8Array(range.sizeBytes);
  const got = await readAt(handle, bytes, range.offset).catch((cause) => {
    throw readFailed(path, cause);
  });
  if (got === bytes.length) return bytes;
  throw new ArtifactError(
    'Truncated',
    `${path} ends at byte ${range.offset + got}, within its payload; fetch the artifact again`,
  );
}

function readFailed(path: string, cause: unknown): ArtifactError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new ArtifactError('ReadFailed', `cannot read the artifact ${path}: ${detail}`, { cause });
}
