import { type LoadedMatrices, type LoadedTensor, type LoadForm, native } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import { type ArtifactFile, hashMismatch, readFailed, truncated } from './artifact.file.ts';
import { type ArtifactHeader, type CodedTensorEntry, symbolCount } from './artifact.header.ts';
import { type ChunkLocation, itemChunks } from './chunk.table.ts';
import { symbolShares } from './symbol.shares.ts';

/** Sums of products over more columns do not fit the kernels' 32 bits. */
const COLUMNS_MAX = 65_536;
const ROWS_MAX = 2 ** 24;
/** Request to stop, and chunks done. */
const CONTROL_WORDS = 2;
const PROGRESS_INTERVAL_MS = 100;
/** Large reads keep a disk busy; a piece on disk is as many segments as fit. */
const DISK_BUFFER_BYTES = 2 * 1024 * 1024;
/** Bytes that a direct read may take beside what was asked for. */
const ALIGNMENT_BYTES = 2 * 4096;
/** Pieces of a disk that are read or waiting beside those that threads decode. */
const DISK_BUFFERS_AHEAD = 3;

/** A coded matrix as its header tells, before anything of it is read. */
export interface CodedMatrix {
  readonly name: string;
  readonly rows: number;
  readonly columns: number;
  readonly bits: 8 | 4;
  readonly layout: 'lanes' | 'huffman';
  /** Coded byte values: one a weight, or one for two. */
  readonly symbols: number;
  readonly segmentSymbols: number;
  readonly codedBytes: number;
  /** How often each of the 256 byte values occurs; sums to 1. */
  readonly shares: Float64Array;
}

/** One coded matrix that is wanted, as a whole or as consecutive rows. */
export interface MatrixRequest {
  readonly name: string;
  readonly form: LoadForm;
  /** With 4 bits, each begins with an even number of weights before it. */
  readonly parts: readonly { readonly firstRow: number; readonly rows: number }[];
}

export interface MatrixLoadOptions {
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  /** The chunks are not hashed: the caller has just verified them. */
  readonly trusted?: boolean;
  readonly onProgress?: (progress: { chunksDone: number; chunksTotal: number }) => void;
}

/** The matrices that {@link loadMatrices} can load. */
export function codedMatrices(header: ArtifactHeader): CodedMatrix[] {
  return header.tensors.flatMap((entry) => {
    if (entry.codec === 'raw') return [];
    const [rows, columns] = entry.shape;
    if (columns > COLUMNS_MAX || rows > ROWS_MAX) return [];
    const { name, bits, codec: layout, segmentSymbols, payloadBytes: codedBytes } = entry;
    const symbols = symbolCount(entry);
    const shares = symbolShares(entry);
    return [{ name, rows, columns, bits, layout, symbols, segmentSymbols, codedBytes, shares }];
  });
}

/** Bytes that matrices on disk are read into, all together. */
export function diskBufferBytes(header: ArtifactHeader, threads: number): number {
  const { count, sizeBytes } = diskBuffers(header, threads);
  return count * sizeBytes;
}

function diskBuffers(header: ArtifactHeader, threads: number) {
  const segmentBytes = header.ref.chunkSizeBytes + ALIGNMENT_BYTES;
  return {
    count: threads + DISK_BUFFERS_AHEAD,
    sizeBytes: Math.max(DISK_BUFFER_BYTES, segmentBytes),
  };
}

/**
 * Reads matrices into the forms asked for: reading, verifying, decoding and packing go on at the
 * same time over all of them. Takes hardly more memory than the result.
 * @returns the matrices of each request's parts.
 * @throws ArtifactError `UnknownTensor`, `HashMismatch`, `BadTensor`, `Truncated`, `ReadFailed`;
 * the signal's reason; Error of the native loader with `code` `OutOfMemory`.
 */
export async function loadMatrices(
  file: ArtifactFile,
  requests: readonly MatrixRequest[],
  options: MatrixLoadOptions,
): Promise<LoadedMatrices> {
  const { threads, signal, trusted = false } = options;
  signal?.throwIfAborted();
  const entries = requests.map(({ name }) => codedEntry(file, name));
  const tensors = requests.map((request, i) => {
    return toLoaded(entries[i] as CodedTensorEntry, request, trusted);
  });
  const control = new Int32Array(CONTROL_WORDS);
  const stopWatching = watch(control, entries, options);
  try {
    return await native.loadMatrices({
      ...{ descriptor: file.descriptor, tensors, threads, control },
      diskBuffers: diskBuffers(file.header, threads),
    });
  } catch (cause) {
    signal?.throwIfAborted();
    throw toArtifactError(file, entries, cause);
  } finally {
    stopWatching();
  }
}

function codedEntry(file: ArtifactFile, name: string): CodedTensorEntry {
  const entry = file.header.tensors.find((tensor) => tensor.name === name);
  if (entry !== undefined && entry.codec !== 'raw') return entry;
  throw new ArtifactError('UnknownTensor', `${file.path} has no coded tensor "${name}"`);
}

function toLoaded(
  entry: CodedTensorEntry,
  { form, parts }: MatrixRequest,
  trusted: boolean,
): LoadedTensor {
  const [rows, columns] = entry.shape;
  const { bits, zeroPoint, step, codec, segmentSymbols, segmentSizes, offset, chunks } = entry;
  const digests = Buffer.concat(chunks.map(({ sha256 }) => Buffer.from(sha256, 'hex')));
  return {
    ...{ rows, columns, bits, zeroPoint, step, codec, segmentSymbols, segmentSizes, offset },
    code: entry.codec === 'huffman' ? entry.codeLengths : entry.code,
    chunkSizes: Uint32Array.from(chunks, ({ sizeBytes }) => sizeBytes),
    ...(trusted ? {} : { chunkDigests: new Uint8Array(digests) }),
    ...{ form, parts },
  };
}

/** Passes cancellation on, and reports progress. @returns what ends that. */
function watch(
  control: Int32Array,
  entries: readonly CodedTensorEntry[],
  { signal, onProgress }: MatrixLoadOptions,
): () => void {
  const cancel = () => Atomics.store(control, 0, 1);
  signal?.addEventListener('abort', cancel, { once: true });
  const chunksTotal = entries.reduce((sum, { chunks }) => sum + chunks.length, 0);
  const report = () => onProgress?.({ chunksDone: Atomics.load(control, 1), chunksTotal });
  const timer = onProgress && setInterval(report, PROGRESS_INTERVAL_MS);
  return () => {
    clearInterval(timer);
    report();
    signal?.removeEventListener('abort', cancel);
  };
}

function toArtifactError(
  file: ArtifactFile,
  entries: readonly CodedTensorEntry[],
  cause: unknown,
): unknown {
  if (!(cause instanceof Error)) return cause;
  const { code, index } = cause as { code?: unknown; index?: unknown };
  const found = typeof index === 'number' ? chunkAt(entries, index) : undefined;
  if (found === undefined) return cause;
  const { entry, chunk } = found;
  switch (code) {
    case 'HashMismatch':
      return hashMismatch(file.path, chunk);
    case 'Truncated':
      return truncated(file.path, cause.message);
    case 'ReadFailed':
      return readFailed(file.path, cause);
    default:
      return new ArtifactError(
        'BadTensor',
        `tensor "${entry.name}" in ${file.path} cannot be decoded: ${cause.message}; ` +
          'encode the model again',
        { cause },
      );
  }
}

function chunkAt(
  entries: readonly CodedTensorEntry[],
  index: number,
): { entry: CodedTensorEntry; chunk: Omit<ChunkLocation, 'index'> } | undefined {
  let first = 0;
  for (const entry of entries) {
    if (index < first + entry.chunks.length) {
      const chunk = [...itemChunks(entry)][index - first];
      return chunk && { entry, chunk };
    }
    first += entry.chunks.length;
  }
  return undefined;
}
