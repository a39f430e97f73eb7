import { constants } from 'node:fs';
import { type FileHandle, open } from 'node:fs/promises';
import { ArtifactError } from './artifact.error.ts';
import type { ArtifactHeader } from './artifact.header.ts';
import { sha256 } from './chunk.hash.ts';
import { type EvaluationRecord, parseEvaluation, readTrailer } from './evaluation.record.ts';
import { parseHeader } from './header.parser.ts';
import { readAt } from './positional.read.ts';
import { headerRegionBytes, PREAMBLE_BYTES, parsePreamble } from './preamble.ts';

/** An artifact file open for positional reads, with its checked header. */
export class ArtifactFile {
  readonly path: string;
  readonly header: ArtifactHeader;
  /** What was measured of it, where the file carries that. */
  readonly evaluation: EvaluationRecord | undefined;
  readonly #handle: FileHandle;
  #closed = false;

  private constructor(path: string, handle: FileHandle, content: Content) {
    this.path = path;
    this.header = content.header;
    this.evaluation = content.evaluation;
    this.#handle = handle;
  }

  /** @throws ArtifactError when there is no such file or its header or size is not valid. */
  static async open(path: string): Promise<ArtifactFile> {
    const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK).catch((cause) => {
      throw readFailed(path, cause);
    });
    try {
      return new ArtifactFile(path, handle, await readContent(path, handle));
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
    if ((await sha256(bytes)) !== chunk.sha256) throw hashMismatch(this.path, chunk);
  }

  /** Open until {@link close}. @throws ArtifactError `Closed`. */
  get descriptor(): number {
    if (this.#closed) throw new ArtifactError('Closed', `${this.path} was closed`);
    return this.#handle.fd;
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#handle.close();
  }
}

export function hashMismatch(
  path: string,
  chunk: { offset: number; sha256: string },
): ArtifactError {
  return new ArtifactError(
    'HashMismatch',
    `${path} is damaged: the chunk at byte ${chunk.offset} does not have its SHA-256 ` +
      `${chunk.sha256}; fetch that chunk again`,
  );
}

interface Content {
  readonly header: ArtifactHeader;
  readonly evaluation: EvaluationRecord | undefined;
}

async function readContent(path: string, handle: FileHandle): Promise<Content> {
  const stats = await handle.stat();
  if (!stats.isFile()) throw new ArtifactError('NotAFile', `${path} is not a file`);
  const fileEnd = stats.size;
  const preambleBytes = Math.min(fileEnd, PREAMBLE_BYTES);
  const preamble = await readExactly(path, handle, { offset: 0, sizeBytes: preambleBytes });
  const region = headerRegionBytes(parsePreamble(preamble));
  const sizeBytes = Math.min(region, fileEnd);
  const header = parseHeader(await readExactly(path, handle, { offset: 0, sizeBytes }));
  const payloadEnd = header.ref.sizeBytes;
  if (fileEnd === payloadEnd) return { header, evaluation: undefined };
  if (fileEnd < payloadEnd) {
    throw new ArtifactError(
      'Truncated',
      `${path} has ${fileEnd} bytes, its header describes ${payloadEnd}; fetch the artifact again`,
    );
  }
  const trailer = await readTrailer(handle, { payloadEnd, fileEnd });
  const evaluation = trailer && parseEvaluation(trailer, header.ref.id);
  if (evaluation !== undefined) return { header, evaluation };
  throw new ArtifactError(
    'TrailingBytes',
    `${path} has ${fileEnd - payloadEnd} bytes after the ${payloadEnd} that its header describes, ` +
      'and they are no evaluation of it; fetch the artifact again',
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
  throw truncated(path, `ends at byte ${range.offset + got}`);
}

export function truncated(path: string, end: string): ArtifactError {
  return new ArtifactError(
    'Truncated',
    `${path} ${end}, within its payload; fetch the artifact again`,
  );
}

export function readFailed(path: string, cause: unknown): ArtifactError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new ArtifactError('ReadFailed', `cannot read the artifact ${path}: ${detail}`, { cause });
}
