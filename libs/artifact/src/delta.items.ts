import type {
  ArtifactHeader,
  CodedTensorEntry,
  FileEntry,
  TensorEntry,
} from './artifact.header.ts';
import { type ChunkLocation, chunkTable, itemChunks } from './chunk.table.ts';
import { badDelta } from './delta.header.ts';
import { isPredictable } from './level.prediction.ts';
import { symbolWindows } from './symbol.windows.ts';

/** The first byte of an item's record. */
export const STORED_ITEM = 1;
export const CODED_ITEM = 2;

type Item = FileEntry | TensorEntry;

/** Payload chunks of an artifact by SHA-256: where the first of each lies. */
export function chunksIn(header: ArtifactHeader): Map<string, ChunkLocation> {
  const chunks = new Map<string, ChunkLocation>();
  for (const chunk of chunkTable(header).slice(header.ref.headerChunks.length)) {
    if (!chunks.has(chunk.sha256)) chunks.set(chunk.sha256, chunk);
  }
  return chunks;
}

/** Chunks of an item that the base does not hold, in their order. */
export function lackedChunks(
  item: Item,
  held: ReadonlyMap<string, ChunkLocation>,
): Omit<ChunkLocation, 'index'>[] {
  return [...itemChunks(item)].filter(({ sha256, sizeBytes }) => {
    return held.get(sha256)?.sizeBytes !== sizeBytes;
  });
}

export function tensorsByName(header: ArtifactHeader): Map<string, TensorEntry> {
  return new Map(header.tensors.map((tensor) => [tensor.name, tensor]));
}

/** The tensor of the base that predicts a tensor of the target, if one does. */
export function baseTensor(
  target: Item,
  base: ReadonlyMap<string, TensorEntry>,
): { base: CodedTensorEntry; target: CodedTensorEntry } | undefined {
  if (!('shape' in target) || target.codec === 'raw') return undefined;
  const found = base.get(target.name);
  if (found === undefined || found.codec === 'raw') return undefined;
  return isPredictable(found, target) ? { base: found, target } : undefined;
}

/** Where the chunks of one item of the target come from. */
export type DeltaItem =
  /** All are in the base; the delta has no record. */
  | { readonly kind: 'kept'; readonly entry: Item }
  /** Those that the base does not hold follow each other in the delta. */
  | { readonly kind: 'stored'; readonly entry: Item; readonly offset: number }
  /** All are coded against a tensor of the base. */
  | {
      readonly kind: 'coded';
      readonly entry: CodedTensorEntry;
      readonly base: CodedTensorEntry;
      readonly steps: { readonly offset: number; readonly sizeBytes: number };
      readonly windows: readonly { readonly offset: number; readonly sizeBytes: number }[];
    };

export interface DeltaIndexWork {
  readonly base: ArtifactHeader;
  readonly target: ArtifactHeader;
  /** Where the first record begins, and where the last one must end. */
  readonly begin: number;
  readonly end: number;
  read(range: { offset: number; sizeBytes: number }): Promise<Uint8Array>;
}

/**
 * Finds the record of every item of the target that has one.
 * @throws ArtifactError `BadDelta` when the records do not tile the payload; what `read` throws.
 */
export async function indexItems(work: DeltaIndexWork): Promise<DeltaItem[]> {
  const { base, target, end } = work;
  const held = chunksIn(base);
  const tensors = tensorsByName(base);
  const items: DeltaItem[] = [];
  let offset = work.begin;
  const take = (sizeBytes: number) => {
    const range = { offset, sizeBytes };
    offset += sizeBytes;
    if (offset <= end) return range;
    throw badDelta('its records go past its end');
  };
  for (const entry of [...target.files, ...target.tensors]) {
    const lacked = lackedChunks(entry, held);
    if (lacked.length === 0) {
      items.push({ kind: 'kept', entry });
      continue;
    }
    const [kind] = await work.read(take(1));
    if (kind === STORED_ITEM) {
      const range = take(lacked.reduce((sum, chunk) => sum + chunk.sizeBytes, 0));
      items.push({ kind: 'stored', entry, offset: range.offset });
      continue;
    }
    const pair = kind === CODED_ITEM ? baseTensor(entry, tensors) : undefined;
    if (pair === undefined) throw badDelta(`it has no usable record of "${entry.name}"`);
    const count = 1 + symbolWindows(pair.target).length;
    const bytes = await work.read(take(4 * count));
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const parts = Array.from({ length: count }, (_, i) => take(view.getUint32(4 * i, true)));
    const [steps = take(0), ...windows] = parts;
    items.push({ kind: 'coded', entry: pair.target, base: pair.base, steps, windows });
  }
  if (offset !== end) throw badDelta(`${end - offset} bytes follow its last record`);
  return items;
}
