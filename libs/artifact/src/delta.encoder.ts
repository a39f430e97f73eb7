import { native } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import { ArtifactFile } from './artifact.file.ts';
import {
  type ArtifactRef,
  type CodedTensorEntry,
  type FileEntry,
  stepBytes,
  type TensorEntry,
} from './artifact.header.ts';
import { forEachParallel } from './bounded.parallel.ts';
import { sha256 } from './chunk.hash.ts';
import { itemChunks } from './chunk.table.ts';
import { parseDeltaHeader, writeDeltaHeader } from './delta.header.ts';
import {
  baseTensor,
  CODED_ITEM,
  chunksIn,
  lackedChunks,
  STORED_ITEM,
  tensorsByName,
} from './delta.items.ts';
import { writePatch } from './header.patch.ts';
import { type TensorPair, windowPrediction } from './level.prediction.ts';
import { PartialFile, removeAbandoned } from './partial.file.ts';
import { deflateDelta, encodeSteps } from './step.coding.ts';
import {
  encodeWindow,
  readSymbols,
  type SymbolWindow,
  segmentRange,
  symbolWindows,
} from './symbol.windows.ts';
import { tensorSteps } from './tensor.steps.ts';

const HASHES_IN_FLIGHT = 4;

export interface DeltaWork {
  /** Artifact files. */
  readonly base: string;
  readonly target: string;
  /** Where the delta goes; a file that is there is replaced at the end, in one step. */
  readonly path: string;
  /** Any number gives the same bytes. */
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  /** @param fraction of the target's payload that is done, 0 to 1. */
  readonly onProgress?: (fraction: number) => void;
}

export interface EncodedDelta {
  /** What it takes to fetch the delta. */
  readonly ref: Readonly<ArtifactRef>;
  readonly baseId: string;
  readonly targetId: string;
  /** Of the target. */
  readonly targetSizeBytes: number;
  /** Header and chunks that a device with the base would fetch without the delta. */
  readonly reuseSizeBytes: number;
  /** Files and tensors that the base does not hold. */
  readonly items: readonly DeltaItemStats[];
}

export interface DeltaItemStats {
  readonly name: string;
  readonly kind: 'stored' | 'coded';
  /** In the delta. */
  readonly sizeBytes: number;
  /** Of its chunks that the base does not hold. */
  readonly lackedBytes: number;
}

/**
 * Codes one artifact against another (DELTA.md): what a device with the base needs for the exact
 * target. Holds a tensor's coded residuals, and for each thread a window of its symbols.
 * @throws ArtifactError as openArtifact, `HashMismatch` for damaged input, `WriteFailed`,
 *   `DiskFull`; the signal's reason.
 */
export async function encodeDelta(work: DeltaWork): Promise<EncodedDelta> {
  const base = await ArtifactFile.open(work.base);
  try {
    const target = await ArtifactFile.open(work.target);
    try {
      return await encodeBetween({ ...work, base, target });
    } finally {
      await target.close();
    }
  } finally {
    await base.close();
  }
}

type OpenWork = Omit<DeltaWork, 'base' | 'target'> & {
  readonly base: ArtifactFile;
  readonly target: ArtifactFile;
};

async function encodeBetween(work: OpenWork): Promise<EncodedDelta> {
  const { base, target, path } = work;
  await removeAbandoned(path);
  const payload = await PartialFile.create(path);
  try {
    const region = async (file: ArtifactFile) =>
      file.read({ offset: 0, sizeBytes: file.header.ref.headerSizeBytes });
    await appendSized(payload, {
      sizeBytes: target.header.ref.headerSizeBytes,
      bytes: deflateDelta(writePatch(await region(base), await region(target))),
    });
    const held = chunksIn(base.header);
    const tensors = tensorsByName(base.header);
    const items: DeltaItemStats[] = [];
    let reuseSizeBytes = target.header.ref.headerSizeBytes;
    let done = 0;
    for (const entry of [...target.header.files, ...target.header.tensors]) {
      work.signal?.throwIfAborted();
      const lacked = lackedChunks(entry, held);
      if (lacked.length > 0) {
        const stats = await appendItem(payload, { entry, lacked, tensors, work });
        items.push(stats);
        reuseSizeBytes += stats.lackedBytes;
      }
      done += entry.payloadBytes;
      work.onProgress?.(done / target.header.ref.sizeBytes);
    }
    const ref = await publish(payload, work);
    const { id: targetId, sizeBytes: targetSizeBytes } = target.header.ref;
    return { ref, baseId: base.header.ref.id, targetId, targetSizeBytes, reuseSizeBytes, items };
  } finally {
    await payload.discard();
  }
}

/** The size of what the bytes give, their own size, and the bytes. */
async function appendSized(
  payload: PartialFile,
  part: { readonly sizeBytes: number; readonly bytes: Uint8Array },
): Promise<void> {
  await payload.append(words([part.sizeBytes, part.bytes.length]));
  await payload.append(part.bytes);
}

interface ItemWork {
  readonly entry: FileEntry | TensorEntry;
  readonly lacked: ReturnType<typeof lackedChunks>;
  /** Of the base. */
  readonly tensors: ReadonlyMap<string, TensorEntry>;
  readonly work: OpenWork;
}

async function appendItem(payload: PartialFile, item: ItemWork): Promise<DeltaItemStats> {
  const { entry, lacked, work } = item;
  const lackedBytes = lacked.reduce((sum, chunk) => sum + chunk.sizeBytes, 0);
  const begin = payload.sizeBytes;
  const coded = await codeTensor(item, lackedBytes);
  await payload.append(Uint8Array.of(coded === undefined ? STORED_ITEM : CODED_ITEM));
  if (coded !== undefined) for (const part of coded) await payload.append(part);
  else for (const chunk of lacked) await payload.append(await work.target.readChunk(chunk));
  return {
    name: entry.name,
    kind: coded === undefined ? 'stored' : 'coded',
    sizeBytes: payload.sizeBytes - begin,
    lackedBytes,
  };
}

/** @returns undefined when nothing predicts the tensor, or not well enough. */
async function codeTensor(item: ItemWork, most: number): Promise<Uint8Array[] | undefined> {
  const { entry, tensors, work } = item;
  const { base, target, threads, signal } = work;
  const predictor = baseTensor(entry, tensors);
  if (predictor === undefined) return undefined;
  await requireGood(base, predictor.base);
  await requireGood(target, predictor.target);
  const read = (file: ArtifactFile, tensor: CodedTensorEntry) =>
    file.read({ offset: tensor.offset, sizeBytes: stepBytes(tensor) });
  const [baseSteps, targetSteps] = [
    await read(base, predictor.base),
    await read(target, predictor.target),
  ];
  const pair: TensorPair = {
    ...predictor,
    baseSteps: tensorSteps(predictor.base, baseSteps),
    targetSteps: tensorSteps(predictor.target, targetSteps),
  };
  const steps = targetSteps.length === 0 ? new Uint8Array(0) : encodeSteps(targetSteps, baseSteps);
  const windows = symbolWindows(predictor.target);
  const coded: Uint8Array[] = [];
  let sizeBytes = 4 + 4 * windows.length + steps.length;
  let isExact = true;
  await forEachParallel(windows.entries(), threads, async ([i, window]) => {
    signal?.throwIfAborted();
    if (sizeBytes >= most || !isExact) return;
    const residuals = await codeWindow(pair, window, work);
    if (residuals === undefined) isExact = false;
    else coded[i] = residuals;
    sizeBytes += residuals?.length ?? 0;
  });
  if (sizeBytes >= most || !isExact) return undefined;
  return [words([steps.length, ...coded.map((part) => part.length)]), steps, ...coded];
}

/** @returns undefined for a window that its symbols and code alone would not give back. */
async function codeWindow(
  pair: TensorPair,
  window: SymbolWindow,
  { base, target, signal }: OpenWork,
): Promise<Uint8Array | undefined> {
  const range = { ...window, signal };
  const baseSymbols = await readSymbols(base, pair.base, range);
  const targetSymbols = await readSymbols(target, pair.target, range);
  const stored = await target.read(segmentRange(pair.target, window));
  const again = await encodeWindow(pair.target, targetSymbols);
  if (Buffer.compare(again, stored) !== 0) return undefined;
  const prediction = windowPrediction(pair, window);
  return native.encodeResiduals({ ...prediction, base: baseSymbols, target: targetSymbols });
}

/** @throws ArtifactError `HashMismatch` */
async function requireGood(file: ArtifactFile, entry: CodedTensorEntry): Promise<void> {
  await forEachParallel(itemChunks(entry), HASHES_IN_FLIGHT, async (chunk) => {
    await file.readChunk(chunk);
  });
}

/** Puts the header in front of the payload. */
async function publish(payload: PartialFile, work: OpenWork): Promise<ArtifactRef> {
  const { base, target, path, signal } = work;
  const { chunkSizeBytes } = target.header.ref;
  const block = new Uint8Array(chunkSizeBytes);
  const blocks = async (take: (bytes: Uint8Array<ArrayBuffer>) => Promise<void>) => {
    for (let offset = 0; offset < payload.sizeBytes; offset += chunkSizeBytes) {
      signal?.throwIfAborted();
      const part = block.subarray(0, Math.min(chunkSizeBytes, payload.sizeBytes - offset));
      if ((await payload.read(part, offset)) !== part.length) {
        throw new ArtifactError('WriteFailed', `${path} became shorter while it was written`);
      }
      await take(part);
    }
  };
  const chunkHashes: string[] = [];
  await blocks(async (bytes) => void chunkHashes.push(await sha256(bytes)));
  const header = writeDeltaHeader({
    baseId: base.header.ref.id,
    targetId: target.header.ref.id,
    chunkSizeBytes,
    payloadBytes: payload.sizeBytes,
    chunkHashes,
  });
  const file = await PartialFile.create(path);
  try {
    await file.append(header);
    await blocks((bytes) => file.append(bytes));
    await file.publish();
  } finally {
    await file.discard();
  }
  return parseDeltaHeader(header).ref;
}

function words(values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (const [i, value] of values.entries()) view.setUint32(4 * i, value, true);
  return bytes;
}
