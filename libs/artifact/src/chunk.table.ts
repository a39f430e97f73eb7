import type { ArtifactHeader } from './artifact.header.ts';

/** One unit of transfer and where it lies in the artifact file. */
export interface ChunkLocation {
  /** Transfer index: header slices first, then payload chunks in the header's order. */
  readonly index: number;
  readonly offset: number;
  readonly sizeBytes: number;
  readonly sha256: string;
}

/** All chunks of an artifact; they tile the file. */
export function chunkTable(header: ArtifactHeader): ChunkLocation[] {
  const { headerChunks, headerSizeBytes, chunkSizeBytes } = header.ref;
  const table = headerChunks.map((sha256, index): ChunkLocation => {
    const offset = index * chunkSizeBytes;
    const sizeBytes = Math.min(chunkSizeBytes, headerSizeBytes - offset);
    return { index, offset, sizeBytes, sha256 };
  });
  let offset = headerSizeBytes;
  for (const item of [...header.files, ...header.tensors]) {
    for (const { sha256, sizeBytes } of item.chunks) {
      table.push({ index: table.length, offset, sizeBytes, sha256 });
      offset += sizeBytes;
    }
  }
  return table;
}

/** Where the chunks of one file or tensor lie. */
export function* itemChunks(
  item: ArtifactHeader['files'][number] | ArtifactHeader['tensors'][number],
): Generator<Omit<ChunkLocation, 'index'>> {
  let offset = item.offset;
  for (const chunk of item.chunks) {
    yield { ...chunk, offset };
    offset += chunk.sizeBytes;
  }
}

/** Consecutive transfer indices from `first` to before `end`. */
export interface ChunkRange {
  readonly first: number;
  readonly end: number;
}

/** Where each file and tensor lies in the order of transfer, by name. */
export interface ItemRanges {
  readonly files: ReadonlyMap<string, ChunkRange>;
  readonly tensors: ReadonlyMap<string, ChunkRange>;
}

/** The chunks of each item, as {@link chunkTable} counts them. */
export function itemRanges(header: ArtifactHeader): ItemRanges {
  let end = header.ref.headerChunks.length;
  const rangesOf = (items: readonly (typeof header.files | typeof header.tensors)[number][]) =>
    new Map(
      items.map(({ name, chunks }) => {
        const first = end;
        end += chunks.length;
        return [name, { first, end }] as const;
      }),
    );
  return { files: rangesOf(header.files), tensors: rangesOf(header.tensors) };
}
