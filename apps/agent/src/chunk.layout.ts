import { hash } from 'node:crypto';
import type { ArtifactRef } from '@entrofleet/protocol';
import { AgentError } from './errors.ts';

/** Where one chunk lies in the artifact's file, and what its bytes must hash to. */
export interface ChunkEntry {
  readonly index: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** Gives all chunks of an artifact, header slices first, from its header's bytes. */
export type ChunkTableReader = (header: Uint8Array) => readonly ChunkEntry[];

export function sha256Of(bytes: Uint8Array): string {
  return hash('sha256', bytes, 'hex');
}

/** The header's slices, which the reference alone tells. @throws AgentError `BadReference` */
export function headerSlices(ref: ArtifactRef): ChunkEntry[] {
  const count = Math.ceil(ref.headerSizeBytes / ref.chunkSizeBytes);
  const fits = ref.headerSizeBytes <= ref.sizeBytes && ref.headerChunks.length <= ref.chunkCount;
  if (count !== ref.headerChunks.length || !fits) {
    throw new AgentError(
      'BadReference',
      `artifact ${ref.id} cannot have ${ref.headerChunks.length} header chunks, ` +
        `${ref.chunkCount} chunks, ${ref.headerSizeBytes} header bytes and ${ref.sizeBytes} bytes`,
    );
  }
  return ref.headerChunks.map((sha256, index) => {
    const offset = index * ref.chunkSizeBytes;
    const sizeBytes = Math.min(ref.chunkSizeBytes, ref.headerSizeBytes - offset);
    return { index, offset, sizeBytes, sha256 };
  });
}

/**
 * Reads the whole table from a complete header and holds it against the reference: same id, same
 * slices, every chunk inside the file and no larger than a chunk may be.
 * @throws AgentError `HashMismatch` or `BadHeader`, or the reader's own error.
 */
export function readTable(use: {
  readonly ref: ArtifactRef;
  readonly header: Uint8Array;
  readonly reader: ChunkTableReader;
}): readonly ChunkEntry[] {
  const { ref, header, reader } = use;
  if (sha256Of(header) !== ref.id) {
    throw new AgentError('HashMismatch', `the header of artifact ${ref.id} has another SHA-256`);
  }
  const table = reader(header);
  const slices = headerSlices(ref);
  const problem =
    table.length !== ref.chunkCount
      ? `${table.length} chunks instead of ${ref.chunkCount}`
      : tableProblem(ref, { table, slices });
  if (problem === undefined) return table;
  throw new AgentError('BadHeader', `the header of artifact ${ref.id} names ${problem}`);
}

function tableProblem(
  ref: ArtifactRef,
  use: { table: readonly ChunkEntry[]; slices: readonly ChunkEntry[] },
): string | undefined {
  let end = 0;
  for (const [index, chunk] of use.table.entries()) {
    const slice = use.slices[index];
    if (chunk.index !== index || chunk.offset < end) return `chunk ${index} out of order`;
    if (chunk.sizeBytes < 1 || chunk.sizeBytes > ref.chunkSizeBytes) {
      return `chunk ${index} of ${chunk.sizeBytes} bytes`;
    }
    end = chunk.offset + chunk.sizeBytes;
    if (end > ref.sizeBytes) return `chunk ${index} past the end of the file`;
    if (slice !== undefined && (slice.offset !== chunk.offset || slice.sha256 !== chunk.sha256)) {
      return `header chunk ${index} differently from the reference`;
    }
  }
  return undefined;
}
