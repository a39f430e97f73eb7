import { native } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import { type ArtifactFile, hashMismatch } from './artifact.file.ts';
import { stepBytes } from './artifact.header.ts';
import { sha256 } from './chunk.hash.ts';
import { type ChunkLocation, itemChunks } from './chunk.table.ts';
import type { DeltaFile } from './delta.file.ts';
import { badDelta } from './delta.header.ts';
import type { DeltaItem } from './delta.items.ts';
import { type TensorPair, windowPrediction } from './level.prediction.ts';
import { decodeSteps } from './step.coding.ts';
import {
  encodeWindow,
  readSymbols,
  type SymbolWindow,
  segmentRange,
  symbolWindows,
} from './symbol.windows.ts';
import { tensorSteps } from './tensor.steps.ts';

export interface RebuildSource {
  readonly base: ArtifactFile;
  readonly delta: DeltaFile;
  /** Payload chunks of the base. */
  readonly held: ReadonlyMap<string, ChunkLocation>;
  /** False for items of which no chunk is needed. */
  wanted(item: DeltaItem['entry']): boolean;
  /** Windows that are rebuilt at the same time. */
  readonly threads: number;
  readonly signal: AbortSignal | undefined;
}

/** A chunk of the target; its SHA-256 is right. */
export interface RebuiltChunk {
  /** Where it lies in the target. */
  readonly offset: number;
  readonly bytes: Uint8Array<ArrayBuffer>;
}

/**
 * Gives the chunks of one item of the target, one after the other.
 * @throws ArtifactError `HashMismatch` when a chunk does not come out right, which names the damaged
 *   chunk of the base where that is why; `BadDelta`, `BadTensor`, `ReadFailed`; the signal's reason.
 */
export async function* rebuildItem(
  item: DeltaItem,
  source: RebuildSource,
): AsyncGenerator<RebuiltChunk> {
  if (!source.wanted(item.entry)) return;
  if (item.kind === 'coded') yield* rebuildTensor(item, source);
  else yield* copyItem(item, source);
}

async function* copyItem(
  item: Exclude<DeltaItem, CodedItem>,
  source: RebuildSource,
): AsyncGenerator<RebuiltChunk> {
  let storedAt = item.kind === 'stored' ? item.offset : 0;
  for (const chunk of itemChunks(item.entry)) {
    source.signal?.throwIfAborted();
    const { offset, sizeBytes } = chunk;
    const inBase = source.held.get(chunk.sha256);
    if (inBase?.sizeBytes === sizeBytes) {
      yield { offset, bytes: await source.base.readChunk(inBase) };
      continue;
    }
    const bytes = await source.delta.readRange({ offset: storedAt, sizeBytes });
    yield { offset, bytes: await checked(bytes, { chunk, item, source }) };
    storedAt += sizeBytes;
  }
}

async function* rebuildTensor(
  item: CodedItem,
  source: RebuildSource,
): AsyncGenerator<RebuiltChunk> {
  const pieces = rebuildPieces(item, source);
  let buffer = new Uint8Array(0);
  for (const chunk of itemChunks(item.entry)) {
    while (buffer.length < chunk.sizeBytes) {
      const next = await pieces.next();
      if (next.done === true) throw badDelta(`tensor "${item.entry.name}" came out too short`);
      buffer = joined(buffer, next.value);
    }
    // A copy, so that what was handed out is no part of what comes after it.
    const bytes = buffer.slice(0, chunk.sizeBytes);
    buffer = buffer.subarray(chunk.sizeBytes);
    yield { offset: chunk.offset, bytes: await checked(bytes, { chunk, item, source }) };
  }
}

type CodedItem = Extract<DeltaItem, { kind: 'coded' }>;

/** The payload of a coded tensor: its steps, then its segments, window by window. */
async function* rebuildPieces(
  item: CodedItem,
  source: RebuildSource,
): AsyncGenerator<Uint8Array<ArrayBuffer>> {
  const { base, delta, threads, signal } = source;
  const { entry } = item;
  const baseSteps = await base.read({
    offset: item.base.offset,
    sizeBytes: stepBytes(item.base),
  });
  const coded = await delta.readRange(item.steps);
  const targetSteps =
    entry.step === null
      ? await decodeSteps(coded, { base: baseSteps, rows: entry.shape[0] })
      : new Uint8Array(0);
  yield targetSteps;
  const pair: TensorPair = {
    base: item.base,
    target: entry,
    baseSteps: tensorSteps(item.base, baseSteps),
    targetSteps: tensorSteps(entry, targetSteps),
  };
  const windows = symbolWindows(entry).map((window, i) => ({ window, part: item.windows[i] }));
  for (let first = 0; first < windows.length; first += threads) {
    signal?.throwIfAborted();
    const batch = windows.slice(first, first + threads);
    yield* await Promise.all(
      batch.map(async ({ window, part = { offset: 0, sizeBytes: 0 } }) =>
        rebuildWindow(pair, window, { source, coded: await delta.readRange(part) }),
      ),
    );
  }
}

async function rebuildWindow(
  pair: TensorPair,
  window: SymbolWindow,
  of: { readonly source: RebuildSource; readonly coded: Uint8Array },
): Promise<Uint8Array<ArrayBuffer>> {
  const { name } = pair.target;
  const { base, signal } = of.source;
  try {
    const symbols = await readSymbols(base, pair.base, { ...window, signal });
    const prediction = windowPrediction(pair, window);
    const target = await native.decodeResiduals({ ...prediction, base: symbols, coded: of.coded });
    const bytes = await encodeWindow(pair.target, target);
    if (bytes.length === segmentRange(pair.target, window).sizeBytes) return bytes;
    throw badDelta(`a part of tensor "${name}" came out with another size`);
  } catch (cause) {
    signal?.throwIfAborted();
    await requireGoodBase(pair.base, of.source);
    if (cause instanceof ArtifactError) throw cause;
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new ArtifactError('BadTensor', `tensor "${name}" cannot be rebuilt: ${detail}`, {
      cause,
    });
  }
}

async function checked(
  bytes: Uint8Array<ArrayBuffer>,
  of: {
    readonly chunk: { readonly sha256: string };
    readonly item: DeltaItem;
    readonly source: RebuildSource;
  },
): Promise<Uint8Array<ArrayBuffer>> {
  if ((await sha256(bytes)) === of.chunk.sha256) return bytes;
  if (of.item.kind === 'coded') await requireGoodBase(of.item.base, of.source);
  throw new ArtifactError(
    'HashMismatch',
    `a chunk of "${of.item.entry.name}" rebuilt from ${of.source.delta.path} does not have its ` +
      `SHA-256 ${of.chunk.sha256}; fetch it whole`,
  );
}

/** @throws ArtifactError `HashMismatch` that names the damaged chunk, when there is one. */
async function requireGoodBase(
  entry: CodedItem['base'],
  { base }: Pick<RebuildSource, 'base'>,
): Promise<void> {
  for (const chunk of itemChunks(entry)) {
    const bytes = await base.read(chunk);
    if ((await sha256(bytes)) !== chunk.sha256) throw hashMismatch(base.path, chunk);
  }
}

function joined(
  first: Uint8Array<ArrayBuffer>,
  second: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> {
  if (first.length === 0) return second;
  const bytes = new Uint8Array(first.length + second.length);
  bytes.set(first);
  bytes.set(second, first.length);
  return bytes;
}
