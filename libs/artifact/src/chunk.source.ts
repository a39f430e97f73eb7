import { ArtifactError } from './artifact.error.ts';
import { ArtifactFile } from './artifact.file.ts';
import type { ArtifactRef } from './artifact.header.ts';
import { type ChunkLocation, chunkTable } from './chunk.table.ts';

/** Chunks of one artifact by transfer index, for those who hand them out. */
export class ChunkSource {
  readonly #file: ArtifactFile;
  readonly #table: readonly ChunkLocation[];

  /** Use {@link openChunks}. */
  constructor(file: ArtifactFile) {
    this.#file = file;
    this.#table = chunkTable(file.header);
  }

  get count(): number {
    return this.#table.length;
  }

  /**
   * @returns the chunk's bytes, which have the expected SHA-256.
   * @throws ArtifactError `UnknownChunk`, `HashMismatch` when the file is damaged, `Truncated`,
   *   `ReadFailed`, `Closed`.
   */
  async read(index: number): Promise<Uint8Array> {
    const chunk = this.#table[index];
    if (chunk !== undefined) return this.#file.readChunk(chunk);
    throw new ArtifactError(
      'UnknownChunk',
      `${this.#file.path} has no chunk ${index}; it has 0 to ${this.#table.length - 1}`,
    );
  }

  async close(): Promise<void> {
    await this.#file.close();
  }
}

/**
 * Opens an artifact to hand out its chunks.
 * @param ref what was announced; the file must be that artifact.
 * @throws ArtifactError as openArtifact, and `HashMismatch` when the file is another artifact.
 */
export async function openChunks(path: string, ref: Pick<ArtifactRef, 'id'>): Promise<ChunkSource> {
  return new ChunkSource(await openExpected(path, ref));
}

/**
 * Which chunks an artifact has; its payload is not read.
 * @throws ArtifactError as {@link openChunks}.
 */
export async function readChunkTable(
  path: string,
  ref: Pick<ArtifactRef, 'id'>,
): Promise<readonly ChunkLocation[]> {
  const file = await openExpected(path, ref);
  try {
    return chunkTable(file.header);
  } finally {
    await file.close();
  }
}

async function openExpected(path: string, ref: Pick<ArtifactRef, 'id'>): Promise<ArtifactFile> {
  const file = await ArtifactFile.open(path);
  const { id } = file.header.ref;
  if (id === ref.id) return file;
  await file.close();
  throw new ArtifactError('HashMismatch', `${path} holds artifact ${id}, not ${ref.id}`);
}
