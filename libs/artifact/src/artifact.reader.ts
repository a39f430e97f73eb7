import { promisify } from 'node:util';
import { inflateRaw } from 'node:zlib';
import { type NativeMatrix, native, type PlainTensor } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import { ArtifactFile, readFailed } from './artifact.file.ts';
import {
  type ArtifactHeader,
  type ArtifactRef,
  type CodedTensorEntry,
  type FileEntry,
  type RawTensorEntry,
  stepBytes,
  symbolCount,
  type TensorEntry,
} from './artifact.header.ts';
import { forEachParallel } from './bounded.parallel.ts';
import { chunkTable, itemChunks } from './chunk.table.ts';
import { dequantize } from './dequantize.ts';
import { type EvaluationRecord, writeEvaluation } from './evaluation.record.ts';
import {
  type CodedMatrix,
  codedMatrices,
  diskBufferBytes,
  loadMatrices,
  type MatrixLoadOptions,
  type MatrixRequest,
} from './matrix.loader.ts';
import { decodeSymbols } from './symbol.coding.ts';
import { elementCount, matrixShape } from './tensor.shape.ts';
import { tensorSteps } from './tensor.steps.ts';

/** Chunks hashed at a time: the width of libuv's thread pool, where the hashing happens. */
const HASHES_IN_FLIGHT = 4;
/** Enough to tell a disk's rate, and read within a few tens of milliseconds by slow ones. */
const DISK_SAMPLE_BYTES = 16 * 1024 * 1024;

const inflate = promisify(inflateRaw);

export interface ResidentOptions {
  /** Threads of the entropy decoder. Default: 1. */
  readonly threads?: number;
  /**
   * Skip the SHA-256 of the chunks: the caller has just verified them. The decoder stays safe
   * on damaged bytes, but may give wrong weights.
   */
  readonly trusted?: boolean;
  /** Ends decoding within a segment's time. */
  readonly signal?: AbortSignal | undefined;
}

/** Work of the entropy decoder since the artifact was opened. */
export interface DecodeStatistics {
  /** Bytes of decoded symbols. */
  readonly decodedBytes: number;
  /** Sum of the wall-clock seconds of each call. */
  readonly decodeSeconds: number;
}

/** An artifact file, read by item. Nothing in the file is trusted. */
export class ArtifactReader {
  readonly header: ArtifactHeader;
  readonly #file: ArtifactFile;
  readonly #tensors: ReadonlyMap<string, { entry: TensorEntry; seed: number }>;
  #decodedBytes = 0;
  #decodeSeconds = 0;

  /** Use {@link openArtifact}. */
  constructor(file: ArtifactFile) {
    this.#file = file;
    this.header = file.header;
    this.#tensors = new Map(
      file.header.tensors.map((entry, seed) => [entry.name, { entry, seed }]),
    );
  }

  get ref(): ArtifactRef {
    return this.header.ref;
  }

  /** Content of the model's config.json. */
  get config(): Readonly<Record<string, unknown>> {
    return this.header.config;
  }

  /** What was measured of the artifact when it was made; undefined when nothing was. */
  get evaluation(): EvaluationRecord | undefined {
    return this.#file.evaluation;
  }

  /**
   * Keeps a measurement with the artifact, in place of an older one. The id and what readers get
   * stay as they are; {@link evaluation} shows it once the file is opened again.
   * @throws ArtifactError `BadArgument` for one of another artifact, `WriteFailed`.
   */
  async writeEvaluation(record: EvaluationRecord): Promise<void> {
    const { id, sizeBytes } = this.ref;
    if (record.artifact !== id) {
      throw new ArtifactError(
        'BadArgument',
        `the evaluation is of artifact ${record.artifact}, ${this.#file.path} is ${id}`,
      );
    }
    await writeEvaluation(this.#file.path, { payloadEnd: sizeBytes, record });
  }

  get tensorNames(): readonly string[] {
    return this.header.tensors.map((tensor) => tensor.name);
  }

  get fileNames(): readonly string[] {
    return this.header.files.map((file) => file.name);
  }

  get decodeStatistics(): DecodeStatistics {
    return { decodedBytes: this.#decodedBytes, decodeSeconds: this.#decodeSeconds };
  }

  /** Matrices that {@link loadMatrices} can load, in the order of the header. */
  get codedMatrices(): readonly CodedMatrix[] {
    return codedMatrices(this.header);
  }

  /** Bytes that matrices on disk are read into, all together. */
  diskBufferBytes(threads: number): number {
    return diskBufferBytes(this.header, threads);
  }

  /**
   * Bytes per second of reading this file past the page cache, from its first megabytes.
   * @throws ArtifactError `ReadFailed`.
   */
  async measureDisk(): Promise<number> {
    const { descriptor, path } = this.#file;
    return native.measureDisk({ descriptor, sizeBytes: DISK_SAMPLE_BYTES }).catch((cause) => {
      throw readFailed(path, cause);
    });
  }

  /** Bytes that all tensors take once resident. */
  get memoryBytes(): number {
    return memoryBytes(this.header);
  }

  /**
   * @returns the file's content, e.g. of `tokenizer.json`.
   * @throws ArtifactError `UnknownFile`, `HashMismatch`, `BadFile`, `Truncated`, `ReadFailed`.
   */
  async readFile(name: string): Promise<Uint8Array> {
    const entry = this.header.files.find((file) => file.name === name);
    if (entry === undefined) {
      throw new ArtifactError('UnknownFile', `${this.#file.path} carries no file "${name}"`);
    }
    const payload = await this.#readItem(entry, false);
    if (entry.codec === 'identity') return payload;
    const content = await inflate(payload, { maxOutputLength: entry.sizeBytes }).catch(
      (cause: unknown) => {
        throw this.#badFile(entry, cause);
      },
    );
    if (content.length !== entry.sizeBytes) throw this.#badFile(entry, undefined);
    return content;
  }

  /**
   * Reads a tensor in the form the engine computes with. Chunks are verified, then the segments
   * are decoded in parallel into the resident buffer. Takes the coded plus the resident size in
   * memory while it runs.
   * @throws ArtifactError `UnknownTensor`, `HashMismatch`, `BadTensor`, `Truncated`, `ReadFailed`;
   * the signal's reason.
   */
  async readResident(name: string, options: ResidentOptions = {}): Promise<PlainTensor> {
    const found = this.#tensors.get(name);
    if (found === undefined) {
      throw new ArtifactError('UnknownTensor', `${this.#file.path} has no tensor "${name}"`);
    }
    const { signal, threads = 1 } = options;
    signal?.throwIfAborted();
    const payload = await this.#readItem(found.entry, options.trusted === true);
    const { entry, seed } = found;
    const work =
      entry.codec === 'raw'
        ? readRaw(entry, payload, threads)
        : this.#decode(entry, payload, { threads, seed, signal });
    return work.catch((cause: unknown) => {
      if (cause instanceof ArtifactError) throw cause;
      signal?.throwIfAborted();
      const detail = cause instanceof Error ? cause.message : String(cause);
      throw new ArtifactError(
        'BadTensor',
        `tensor "${name}" in ${this.#file.path} cannot be decoded: ${detail}; ` +
          'encode the model again',
        { cause },
      );
    });
  }

  /** As the function of this name; its work counts in {@link decodeStatistics}. */
  async loadMatrices(
    requests: readonly MatrixRequest[],
    options: MatrixLoadOptions,
  ): Promise<NativeMatrix[][]> {
    const { matrices, decodeSeconds } = await loadMatrices(this.#file, requests, options);
    for (const { name } of requests) {
      const entry = this.#tensors.get(name)?.entry;
      if (entry !== undefined && entry.codec !== 'raw') this.#decodedBytes += symbolCount(entry);
    }
    this.#decodeSeconds += decodeSeconds;
    return matrices;
  }

  /**
   * @returns `elements` weights in float32, row-major.
   * @throws ArtifactError as {@link readResident}.
   */
  async readFloat(name: string, options: ResidentOptions = {}): Promise<Float32Array> {
    return dequantize(await this.readResident(name, options));
  }

  /**
   * Reads every chunk and compares its SHA-256, off the event loop.
   * @throws ArtifactError `HashMismatch`, `Truncated`, `ReadFailed`; the signal's reason.
   */
  async verify(
    options: {
      onProgress?: (progress: { doneBytes: number; totalBytes: number }) => void;
      signal?: AbortSignal;
    } = {},
  ): Promise<void> {
    const totalBytes = this.ref.sizeBytes;
    let doneBytes = 0;
    await forEachParallel(chunkTable(this.header), HASHES_IN_FLIGHT, async (chunk) => {
      options.signal?.throwIfAborted();
      await this.#file.readChunk(chunk);
      doneBytes += chunk.sizeBytes;
      options.onProgress?.({ doneBytes, totalBytes });
    });
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  async #readItem(
    item: FileEntry | TensorEntry,
    trusted: boolean,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { offset, payloadBytes } = item;
    const payload = await this.#file.read({ offset, sizeBytes: payloadBytes });
    if (trusted) return payload;
    await forEachParallel(itemChunks(item), HASHES_IN_FLIGHT, async (chunk) => {
      const begin = chunk.offset - offset;
      await this.#file.checkHash(payload.subarray(begin, begin + chunk.sizeBytes), chunk);
    });
    return payload;
  }

  async #decode(
    entry: CodedTensorEntry,
    payload: Uint8Array,
    run: { threads: number; seed: number; signal: AbortSignal | undefined },
  ): Promise<PlainTensor> {
    const begin = stepBytes(entry);
    const steps = tensorSteps(entry, payload.subarray(0, begin));
    const symbols = native.allocateOutput({ sizeBytes: symbolCount(entry) });
    const seconds = await decodeSymbols(entry, {
      payload: payload.subarray(begin),
      output: symbols,
      ...run,
    });
    this.#decodedBytes += symbols.length;
    this.#decodeSeconds += seconds;
    const [rows, columns] = entry.shape;
    const format = entry.bits === 8 ? 'u8' : 'u4';
    return { format, rows, columns, symbols, zeroPoint: entry.zeroPoint, steps };
  }

  #badFile(entry: FileEntry, cause: unknown): ArtifactError {
    return new ArtifactError(
      'BadFile',
      `file "${entry.name}" in ${this.#file.path} does not inflate to ${entry.sizeBytes} bytes; ` +
        'encode the model again',
      { cause },
    );
  }
}

/**
 * Opens an artifact and checks its header and size. The payload is checked as it is read.
 * @throws ArtifactError with a message that names the file and the fix.
 */
export async function openArtifact(path: string): Promise<ArtifactReader> {
  return new ArtifactReader(await ArtifactFile.open(path));
}

/** Bytes that all tensors take once resident, known from the header alone. */
export function memoryBytes(header: ArtifactHeader): number {
  const sizes = header.tensors.map((tensor) => {
    if (tensor.codec === 'raw') return elementCount(tensor.shape) * Float32Array.BYTES_PER_ELEMENT;
    const steps = tensor.step === null ? tensor.shape[0] : 1;
    return symbolCount(tensor) + steps * Float32Array.BYTES_PER_ELEMENT;
  });
  return sizes.reduce((sum, size) => sum + size, 0);
}

async function readRaw(
  entry: RawTensorEntry,
  weights: Uint8Array,
  threads: number,
): Promise<PlainTensor> {
  const data = await native.toFloat32({ weights, type: entry.type, threads });
  return { format: 'f32', ...matrixShape(entry.shape), data };
}
