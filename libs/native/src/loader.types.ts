import type { NativeMatrix } from './engine.types.ts';

/** How a matrix is held: see libs/engine's residency plan. */
export type LoadForm = 'plain' | 'window' | 'coded' | 'disk';

/** A coded tensor in an artifact's file, as libs/artifact/FORMAT.md has it. */
export interface LoadedTensor {
  readonly rows: number;
  readonly columns: number;
  readonly bits: 8 | 4;
  readonly zeroPoint: number;
  /** null: one bf16 step per row in front of the segments. */
  readonly step: number | null;
  /** Code lengths of 256 symbols for `huffman`, else the code as LANES.md writes it. */
  readonly codec: 'huffman' | 'lanes';
  readonly code: Uint8Array;
  readonly segmentSymbols: number;
  readonly segmentSizes: Uint32Array;
  /** Of its payload in the file. */
  readonly offset: number;
  readonly chunkSizes: Uint32Array;
  /** SHA-256 of each chunk, 32 bytes; without it chunks are not verified. */
  readonly chunkDigests?: Uint8Array;
  readonly form: LoadForm;
  /** Consecutive rows, each of which become a matrix; with 4 bits they begin with a whole byte. */
  readonly parts: readonly { readonly firstRow: number; readonly rows: number }[];
}

export interface LoadedMatrices {
  /** By tensor and part. */
  readonly matrices: NativeMatrix[][];
  /** Of entropy decoding alone, as if all threads did nothing else at the same time. */
  readonly decodeSeconds: number;
}

export interface MachineRates {
  /** Bytes read from memory that no cache holds, by all threads together. */
  readonly readBytesPerSecond: number;
  /** Symbols of 5.6 bits decoded into the caches, by all threads together. */
  readonly laneSymbolsPerSecond: number;
  readonly streamSymbolsPerSecond: number;
  /** Decoded symbols multiplied with the activations of one position, by all threads together. */
  readonly productWeightsPerSecond: number;
}

export interface LoaderBinding {
  /**
   * Reads, verifies, decodes and packs tensors, all at the same time; memory beside the result is
   * a few chunks and a segment per thread. Resolves to the matrices of each tensor's parts.
   * Rejects with `code` `ReadFailed`, `Truncated`, `HashMismatch`, `BadSteps`, `BadCodeTable`
   * or `CorruptSegment` (`index` is the chunk, counted through all tensors as given),
   * `BadArgument`, `Cancelled`, `OutOfMemory` or `ThreadsUnavailable`.
   */
  loadMatrices(input: {
    /** Open for reading until the promise settles; what stays on disk has its own from then on. */
    descriptor: number;
    /** In the order in which a pass over the model multiplies by them. */
    tensors: readonly LoadedTensor[];
    threads: number;
    /** For matrices on disk: more buffers than threads, each for a segment + 8192 bytes at least. */
    diskBuffers: { readonly count: number; readonly sizeBytes: number };
    /** Not 0 in the first word stops it; the second counts chunks that are done. */
    control?: Int32Array;
  }): Promise<LoadedMatrices>;

  /** Frees a matrix now, not when it is collected. Models that were made with it keep it. */
  releaseMatrix(matrix: NativeMatrix): void;

  /**
   * Takes a few tens of milliseconds, and memory of `sizeBytes` (default: 96 MiB, the most) to
   * read from; what caches hold of less makes memory look faster.
   */
  measureMachine(input: { threads: number; sizeBytes?: number }): Promise<MachineRates>;

  /**
   * Bytes per second of reading the file past the page cache where that can be done, from at most
   * `sizeBytes` of it. Rejects with `ReadFailed` or `BadArgument`.
   */
  measureDisk(input: { descriptor: number; sizeBytes: number }): Promise<number>;
}
