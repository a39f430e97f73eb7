import { type NativeMatrix, native, type PlainTensor } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import type { ArtifactHeader, ArtifactRef } from './artifact.header.ts';
import type { ArtifactReader, DecodeStatistics, ResidentOptions } from './artifact.reader.ts';
import { type ChunkRange, type ItemRanges, itemRanges } from './chunk.table.ts';
import { IdleTime } from './idle.time.ts';
import type { CodedMatrix, MatrixLoadOptions, MatrixRequest } from './matrix.loader.ts';

/** Tells which chunks of a file that is still being filled are there, verified. */
export interface ChunkArrivals {
  /** True when every chunk of the range is there. */
  has(range: ChunkRange): boolean;
  /**
   * Resolves when one of the ranges is there as a whole.
   * @throws the signal's reason, or why no more chunks will come.
   */
  anyOf(ranges: readonly ChunkRange[], signal: AbortSignal): Promise<void>;
}

/** What of an artifact was packed so far. */
export interface PackingProgress {
  readonly matricesPacked: number;
  readonly matricesTotal: number;
}

/**
 * Reads an artifact whose header is complete while its other chunks are still on their way: what
 * is asked for is read as soon as its own chunks are there, so that tensors are decoded and packed
 * beside the transfer of others.
 */
export class ArrivingReader {
  readonly header: ArtifactHeader;
  readonly #reader: ArtifactReader;
  readonly #arrivals: ChunkArrivals;
  readonly #signal: AbortSignal;
  readonly #onPacked: (progress: PackingProgress) => void;
  readonly #ranges: ItemRanges;
  readonly #idle = new IdleTime();

  constructor(
    reader: ArtifactReader,
    options: {
      readonly arrivals: ChunkArrivals;
      /** Ends all waiting. */
      readonly signal: AbortSignal;
      /** Called after matrices were packed. */
      readonly onPacked: (progress: PackingProgress) => void;
    },
  ) {
    this.header = reader.header;
    this.#reader = reader;
    this.#arrivals = options.arrivals;
    this.#signal = options.signal;
    this.#onPacked = options.onPacked;
    this.#ranges = itemRanges(reader.header);
  }

  get ref(): ArtifactRef {
    return this.#reader.ref;
  }

  get config(): Readonly<Record<string, unknown>> {
    return this.#reader.config;
  }

  get tensorNames(): readonly string[] {
    return this.#reader.tensorNames;
  }

  get fileNames(): readonly string[] {
    return this.#reader.fileNames;
  }

  get codedMatrices(): readonly CodedMatrix[] {
    return this.#reader.codedMatrices;
  }

  get decodeStatistics(): DecodeStatistics {
    return this.#reader.decodeStatistics;
  }

  /** Time in which there was nothing to do but wait for chunks. */
  get waitedSeconds(): number {
    return this.#idle.seconds;
  }

  diskBufferBytes(threads: number): number {
    return this.#reader.diskBufferBytes(threads);
  }

  measureDisk(): Promise<number> {
    return this.#reader.measureDisk();
  }

  /** As of {@link ArtifactReader}, once the file's chunks are there. */
  async readFile(name: string): Promise<Uint8Array> {
    await this.#arrived(this.#ranges.files.get(name));
    return this.#idle.working(this.#reader.readFile(name));
  }

  /** As of {@link ArtifactReader}, once the tensor's chunks are there. */
  async readResident(name: string, options: ResidentOptions = {}): Promise<PlainTensor> {
    await this.#arrived(this.#ranges.tensors.get(name));
    return this.#idle.working(this.#reader.readResident(name, options));
  }

  /**
   * As of {@link ArtifactReader}: whatever is there is loaded, until all are. Not for matrices
   * that stay on disk: one stream reads them all, in the order of a pass.
   * @throws ArtifactError `BadArgument` when one of them does.
   */
  async loadMatrices(
    requests: readonly MatrixRequest[],
    options: MatrixLoadOptions,
  ): Promise<NativeMatrix[][]> {
    const { onProgress, ...loading } = options;
    let left = requests.map((request, place) => ({ request, place, ...this.#placeOf(request) }));
    const chunksTotal = left.reduce((sum, { range }) => sum + range.end - range.first, 0);
    let chunksDone = 0;
    const loaded: NativeMatrix[][] = requests.map(() => []);
    try {
      while (left.length > 0) {
        const ranges = left.map(({ range }) => range);
        await this.#idle.waiting(this.#arrivals.anyOf(ranges, this.#signal));
        const ready = left.filter(({ range }) => this.#arrivals.has(range));
        left = left.filter((one) => !ready.includes(one));
        const batch = ready.map(({ request }) => request);
        const matrices = await this.#idle.working(this.#reader.loadMatrices(batch, loading));
        for (const [i, { place, range }] of ready.entries()) {
          loaded[place] = matrices[i] ?? [];
          chunksDone += range.end - range.first;
        }
        onProgress?.({ chunksDone, chunksTotal });
        const matricesTotal = requests.length;
        this.#onPacked({ matricesPacked: matricesTotal - left.length, matricesTotal });
      }
    } catch (error) {
      // Nobody gets them any more; their memory is not left to the garbage collector.
      for (const matrix of loaded.flat()) native.releaseMatrix(matrix);
      throw error;
    }
    return loaded;
  }

  async close(): Promise<void> {
    await this.#reader.close();
  }

  #placeOf({ name, form }: MatrixRequest): { range: ChunkRange } {
    const range = this.#ranges.tensors.get(name);
    if (range === undefined || form === 'disk') {
      const why = form === 'disk' ? 'stays on disk' : 'is none of this artifact';
      throw new ArtifactError('BadArgument', `tensor "${name}" ${why}: load it when all are here`);
    }
    return { range };
  }

  /** What the header does not name is left to the reader to complain about. */
  async #arrived(range: ChunkRange | undefined): Promise<void> {
    if (range === undefined) return;
    await this.#idle.waiting(this.#arrivals.anyOf([range], this.#signal));
  }
}
