import { ArtifactError } from './artifact.error.ts';
import { ArtifactFile } from './artifact.file.ts';
import type { ArtifactHeader, ArtifactRef } from './artifact.header.ts';
import { sha256 } from './chunk.hash.ts';
import { type ChunkLocation, chunkTable, itemChunks } from './chunk.table.ts';
import { DeltaFile } from './delta.file.ts';
import { badDelta } from './delta.header.ts';
import { chunksIn, type DeltaItem, indexItems } from './delta.items.ts';
import { type RebuildSource, type RebuiltChunk, rebuildItem } from './delta.rebuild.ts';
import { parseHeader } from './header.parser.ts';
import { applyPatch } from './header.patch.ts';
import { ARTIFACT_LIMITS } from './limits.ts';
import { PartialFile, removeAbandoned } from './partial.file.ts';
import { headerRegionBytes } from './preamble.ts';
import { inflateDelta } from './step.coding.ts';

const SIZES_BYTES = 8;
/** Three varints of at most 5 bytes advance the header by at least one, and a literal takes one. */
const PATCH_BYTES_PER_BYTE = 16;

/** Takes chunks of the target in any order. */
export interface ChunkSink {
  /** True for chunks that need not be rebuilt. */
  holds(index: number): boolean;
  /** The bytes have the chunk's SHA-256. What it throws ends the work. */
  write(chunk: ChunkLocation, bytes: Uint8Array<ArrayBuffer>): Promise<void>;
}

export interface DeltaFailure {
  /** Name of the file or tensor. */
  readonly item: string;
  readonly reason: string;
  readonly message: string;
}

export interface DeltaOutcome {
  /** Chunks written to the sink, the header's included. */
  readonly rebuiltChunks: number;
  readonly rebuiltBytes: number;
  /** Items of which chunks could not be rebuilt, e.g. since the base is damaged there. */
  readonly failures: readonly DeltaFailure[];
}

export interface DeltaUse {
  /** Path of the base artifact. */
  readonly base: string;
  /** Path of the delta. */
  readonly delta: string;
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Rebuilds the target of a delta: header first, then item by item. Every chunk is verified before
 * the sink gets it, so that nothing wrong is ever written; what cannot be rebuilt is told, to be
 * fetched whole. Holds a window of symbols for each thread.
 * @throws ArtifactError `WrongBase`; `BadDelta`, `HashMismatch`, `Truncated`, `ReadFailed` of the
 *   delta or of the base's header; what the sink throws; the signal's reason.
 */
export async function applyDelta(use: DeltaUse, sink: ChunkSink): Promise<DeltaOutcome> {
  return withDelta(use, async (opened) => {
    const { table, region, target } = opened;
    const failures: DeltaFailure[] = [];
    let rebuiltChunks = 0;
    let rebuiltBytes = 0;
    const take = async (offset: number, bytes: Uint8Array<ArrayBuffer>) => {
      const chunk = table.get(offset);
      if (chunk === undefined || sink.holds(chunk.index)) return;
      await sink.write(chunk, bytes);
      rebuiltChunks++;
      rebuiltBytes += bytes.length;
    };
    const { headerSizeBytes, chunkSizeBytes } = target.ref;
    for (let offset = 0; offset < headerSizeBytes; offset += chunkSizeBytes) {
      await take(offset, region.slice(offset, offset + chunkSizeBytes));
    }
    const wanted = (item: DeltaItem['entry']) =>
      [...itemChunks(item)].some(({ offset }) => !sink.holds(table.get(offset)?.index ?? 0));
    for (const item of opened.items) {
      const chunks = rebuildItem(item, { ...opened.source, wanted });
      for (;;) {
        const next = await chunks.next().catch((error: unknown) => error);
        use.signal?.throwIfAborted();
        if (next instanceof Error) failures.push(failureOf(item, next));
        if (!isChunk(next)) break;
        await take(next.value.offset, next.value.bytes);
      }
    }
    return { rebuiltChunks, rebuiltBytes, failures };
  });
}

/**
 * Writes the target of a delta to a file, which is there when it is complete and right, or not at
 * all.
 * @returns what it takes to fetch the target.
 * @throws ArtifactError as {@link applyDelta}, `WriteFailed`, `DiskFull`; `HashMismatch` or
 *   `BadTensor` when the base is damaged.
 */
export async function applyDeltaToFile(use: DeltaUse, path: string): Promise<ArtifactRef> {
  return withDelta(use, async ({ items, region, source, target }) => {
    await removeAbandoned(path);
    const file = await PartialFile.create(path);
    try {
      await file.append(region);
      for (const item of items) {
        for await (const { bytes } of rebuildItem(item, source)) await file.append(bytes);
      }
      await file.publish();
    } finally {
      await file.discard();
    }
    return target.ref;
  });
}

interface OpenedDelta {
  /** Header region of the target, and what it says. */
  readonly region: Uint8Array<ArrayBuffer>;
  readonly target: ArtifactHeader;
  readonly items: readonly DeltaItem[];
  /** Chunks of the target by where they lie. */
  readonly table: ReadonlyMap<number, ChunkLocation>;
  readonly source: RebuildSource;
}

async function withDelta<T>(use: DeltaUse, work: (opened: OpenedDelta) => Promise<T>): Promise<T> {
  const base = await ArtifactFile.open(use.base);
  try {
    const delta = await DeltaFile.open(use.delta);
    try {
      return await work(await openDelta(use, { base, delta }));
    } finally {
      await delta.close();
    }
  } finally {
    await base.close();
  }
}

async function openDelta(
  { threads, signal }: DeltaUse,
  { base, delta }: { readonly base: ArtifactFile; readonly delta: DeltaFile },
): Promise<OpenedDelta> {
  const { baseId, targetId, ref } = delta.header;
  if (base.header.ref.id !== baseId) {
    throw new ArtifactError(
      'WrongBase',
      `${delta.path} is against artifact ${baseId}, ${base.path} is ${base.header.ref.id}`,
    );
  }
  await delta.verify(signal);
  const { region, end: begin } = await readRegion({ base, delta });
  if ((await sha256(region)) !== targetId) throw badDelta(`its header is not that of ${targetId}`);
  const target = parseHeader(region);
  const read = (range: { offset: number; sizeBytes: number }) => delta.readRange(range);
  const end = ref.sizeBytes;
  const items = await indexItems({ base: base.header, target, begin, end, read });
  const table = new Map(chunkTable(target).map((chunk) => [chunk.offset, chunk]));
  const held = chunksIn(base.header);
  const source = { base, delta, held, threads, signal, wanted: () => true };
  return { region, target, items, table, source };
}

/** The target's header region, and where in the delta the records begin. */
async function readRegion({
  base,
  delta,
}: {
  readonly base: ArtifactFile;
  readonly delta: DeltaFile;
}): Promise<{ region: Uint8Array<ArrayBuffer>; end: number }> {
  const offset = delta.header.ref.headerSizeBytes;
  if (delta.header.payloadBytes < SIZES_BYTES) throw badDelta('it has no patch');
  const sizes = await delta.readRange({ offset, sizeBytes: SIZES_BYTES });
  const view = new DataView(sizes.buffer);
  const [sizeBytes, patchBytes] = [view.getUint32(0, true), view.getUint32(4, true)];
  const isSane = sizeBytes <= headerRegionBytes(ARTIFACT_LIMITS.headerJsonBytes);
  if (!isSane || patchBytes > delta.header.payloadBytes - SIZES_BYTES) {
    throw badDelta('its patch has a size that no header has');
  }
  const packed = await delta.readRange({ offset: offset + SIZES_BYTES, sizeBytes: patchBytes });
  const patch = await inflateDelta(packed, sizeBytes * PATCH_BYTES_PER_BYTE);
  const { headerSizeBytes } = base.header.ref;
  const baseRegion = await base.read({ offset: 0, sizeBytes: headerSizeBytes });
  const region = applyPatch(baseRegion, { patch, sizeBytes });
  return { region, end: offset + SIZES_BYTES + patchBytes };
}

function isChunk(next: unknown): next is IteratorYieldResult<RebuiltChunk> {
  return typeof next === 'object' && next !== null && 'done' in next && next.done === false;
}

function failureOf({ entry }: DeltaItem, error: Error): DeltaFailure {
  const reason = error instanceof ArtifactError ? error.reason : 'Internal';
  return { item: entry.name, reason, message: error.message };
}
