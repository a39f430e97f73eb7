import { type FileHandle, open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { type ArtifactRef, Bitmap } from '@entrofleet/protocol';
import { isBlank, readExactly } from './chunk.bytes.ts';
import {
  type ChunkEntry,
  type ChunkTableReader,
  headerSlices,
  readTable,
  sha256Of,
} from './chunk.layout.ts';
import { syncFolder } from './durable.file.ts';
import { AgentError } from './errors.ts';
import { HeldChunks } from './held.chunks.ts';
import { readProgress, type TransferCounters, writeProgress } from './progress.file.ts';

/** Unclaimed chunks that a crash may leave behind at most; they are found again by hash. */
const FLUSH_CHUNKS = 32;
const FLUSH_INTERVAL_MS = 500;
/** Payload chunks kept while the header, which alone can verify them, is on its way. */
const EARLY_CHUNKS_MAX = 32;

/**
 * What became of an arrived chunk: `Foreign` names an index or size the artifact cannot have,
 * `Early` waits for the header.
 */
export type Verdict = 'Stored' | 'Duplicate' | 'Corrupt' | 'Foreign' | 'Early';

export interface PartialPaths {
  readonly data: string;
  readonly progress: string;
  readonly complete: string;
}

/** A chunk that some file on this device holds already. */
export interface ChunkPlace {
  readonly path: string;
  readonly offset: number;
  readonly sizeBytes: number;
}

/**
 * An artifact that is being fetched: a file of the final size and a progress file that claims the
 * chunks held. A chunk is verified, written at its offset, and claimed only after fdatasync, so
 * that a claim is never false. One caller at a time may hold it open.
 */
export class PartialArtifact {
  readonly ref: ArtifactRef;
  /** For those who use chunks while others are still fetched. */
  readonly arrivals: HeldChunks;
  readonly #paths: PartialPaths;
  readonly #file: FileHandle;
  readonly #reader: ChunkTableReader;
  readonly #held: Bitmap;
  readonly #writing: Bitmap;
  readonly #early = new Map<number, Uint8Array>();
  #counters: TransferCounters;
  #bytesHeld = 0;
  #table: readonly ChunkEntry[];
  #headerComplete = false;
  /** The file may hold chunks that no claim names. */
  #mayHoldMore = false;
  #unclaimed = 0;
  #flushTimer: NodeJS.Timeout | undefined;
  #flushing: Promise<void> = Promise.resolve();
  #flushFailure: unknown;
  readonly #writes = new Set<Promise<unknown>>();

  private constructor(use: {
    ref: ArtifactRef;
    paths: PartialPaths;
    file: FileHandle;
    reader: ChunkTableReader;
    held: Bitmap;
    counters: TransferCounters;
  }) {
    this.ref = use.ref;
    this.#paths = use.paths;
    this.#file = use.file;
    this.#reader = use.reader;
    this.#held = use.held;
    this.arrivals = new HeldChunks(use.held);
    this.#writing = new Bitmap(use.ref.chunkCount);
    this.#counters = use.counters;
    this.#table = headerSlices(use.ref);
  }

  /**
   * Opens or makes the partial file and takes up what it holds: claimed chunks as they are,
   * unclaimed ones that a crash left behind after checking their hashes.
   * @throws AgentError `BadReference`, `BadHeader` or `HashMismatch`
   */
  static async open(use: {
    readonly ref: ArtifactRef;
    readonly paths: PartialPaths;
    readonly reader: ChunkTableReader;
  }): Promise<PartialArtifact> {
    const { ref, paths } = use;
    headerSlices(ref);
    const file = await openOrCreate(paths.data);
    try {
      const { size } = await file.stat();
      // Claims about a file of another size are about a file that is gone. They go first: once this
      // file has the right size, nothing would tell that they are not about it.
      if (size !== ref.sizeBytes) await forget(paths.progress);
      const { held, counters } = await readProgress(paths.progress, ref.chunkCount);
      if (size !== ref.sizeBytes) await file.truncate(ref.sizeBytes);
      const partial = new PartialArtifact({ ...use, file, held, counters });
      await partial.#recover({ mayHoldMore: size > 0 });
      return partial;
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  /** Where the chunks lie until the artifact is complete, each at its place. */
  get path(): string {
    return this.#paths.data;
  }

  get complete(): boolean {
    return this.#held.count === this.ref.chunkCount;
  }

  get chunksHeld(): number {
    return this.#held.count;
  }

  get bytesHeld(): number {
    return this.#bytesHeld;
  }

  get counters(): TransferCounters {
    return this.#counters;
  }

  /** The header is here and verified, so payload chunks can be verified too. */
  get headerComplete(): boolean {
    return this.#headerComplete;
  }

  /** Chunks to ask for now: the header's alone until it is complete, then all that is lacking. */
  lacking(): Bitmap {
    const lacking = this.#headerComplete ? this.#held.inverted() : new Bitmap(this.ref.chunkCount);
    if (!this.#headerComplete) {
      for (const { index } of this.#table) if (!this.#held.has(index)) lacking.add(index);
    }
    for (const index of this.#writing.indices()) lacking.delete(index);
    for (const index of this.#early.keys()) lacking.delete(index);
    return lacking;
  }

  /**
   * Takes one arrived chunk. Nothing is written unless its size and SHA-256 are right.
   * @throws the system's error when writing fails, e.g. ENOSPC.
   */
  async accept(index: number, payload: Uint8Array): Promise<Verdict> {
    this.#throwFlushFailure();
    if (!Number.isInteger(index) || index < 0 || index >= this.ref.chunkCount) return 'Foreign';
    if (this.#holds(index) || this.#early.has(index)) {
      this.#count({ bytesDuplicate: payload.length });
      return 'Duplicate';
    }
    const chunk = this.#table[index];
    if (chunk === undefined) return this.#keepEarly(index, payload);
    if (payload.length !== chunk.sizeBytes || sha256Of(payload) !== chunk.sha256) {
      this.#count({ chunksCorrupt: 1 });
      return 'Corrupt';
    }
    this.#count({ bytesReceived: payload.length });
    await this.#store(chunk, payload);
    if (!this.#headerComplete) await this.#tryHeader();
    return 'Stored';
  }

  /** True for a chunk that is stored, or just being written. */
  holds(index: number): boolean {
    return this.#holds(index);
  }

  /**
   * Takes a chunk that was made on this device. Nothing is written unless it is lacking and its
   * SHA-256 is right.
   * @returns false for a chunk that the artifact does not have.
   * @throws the system's error when writing fails, e.g. ENOSPC.
   */
  async adopt(index: number, payload: Uint8Array): Promise<boolean> {
    this.#throwFlushFailure();
    const chunk = this.#table[index];
    if (chunk === undefined) return false;
    if (this.#holds(index)) return true;
    if (payload.length !== chunk.sizeBytes || sha256Of(payload) !== chunk.sha256) return false;
    await this.#store(chunk, payload);
    if (!this.#headerComplete) await this.#tryHeader();
    return true;
  }

  /**
   * Copies chunks from places on this device that claim to hold them.
   * @returns bytes that need not be fetched.
   */
  async reuse(places: ReadonlyMap<string, ChunkPlace>): Promise<number> {
    let bytes = 0;
    for (const chunk of this.#table) {
      const place = places.get(chunk.sha256);
      if (place === undefined || this.#held.has(chunk.index)) continue;
      const copy = place.sizeBytes === chunk.sizeBytes ? await readPlace(place) : undefined;
      if (copy === undefined || sha256Of(copy) !== chunk.sha256) continue;
      await this.#store(chunk, copy);
      bytes += copy.length;
    }
    return bytes;
  }

  /** Makes everything held durable and claims it. */
  async flush(): Promise<void> {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    this.#flushing = this.#flushing.then(() => this.#flushOnce());
    await this.#flushing;
    this.#throwFlushFailure();
  }

  /** Turns the complete partial file into the stored artifact. @returns its path. */
  async finish(): Promise<string> {
    if (!this.complete) throw new RangeError(`artifact ${this.ref.id} is not complete`);
    await this.flush();
    await this.#file.sync();
    await this.close();
    await rename(this.#paths.data, this.#paths.complete);
    await syncFolder(dirname(this.#paths.complete));
    await rm(this.#paths.progress, { force: true });
    return this.#paths.complete;
  }

  /** Closes the file; what was stored is claimed first when the disk still takes it. */
  async close(): Promise<void> {
    clearTimeout(this.#flushTimer);
    this.arrivals.end(new AgentError('Cancelled', `the download of ${this.ref.id} has ended`));
    await Promise.allSettled(this.#writes);
    if (this.#unclaimed > 0 && this.#flushFailure === undefined) await this.#flushOnce();
    await this.#flushing;
    await this.#file.close();
  }

  /** Closes and deletes everything, to give its space back. */
  async discard(): Promise<void> {
    this.#unclaimed = 0;
    await this.close();
    await rm(this.#paths.progress, { force: true });
    await rm(this.#paths.data, { force: true });
  }

  async #recover(use: { mayHoldMore: boolean }): Promise<void> {
    this.#mayHoldMore = use.mayHoldMore;
    await this.#findUnclaimed();
    await this.#tryHeader();
    this.#bytesHeld = 0;
    for (const chunk of this.#table) {
      if (this.#held.has(chunk.index)) this.#bytesHeld += chunk.sizeBytes;
    }
    if (this.#unclaimed > 0) await this.flush();
  }

  async #findUnclaimed(): Promise<void> {
    if (!this.#mayHoldMore) return;
    for (const chunk of this.#table) {
      if (this.#holds(chunk.index)) continue;
      const bytes = await readExactly(this.#file, chunk);
      if (bytes === undefined || isBlank(bytes) || sha256Of(bytes) !== chunk.sha256) continue;
      if (this.#holds(chunk.index)) continue;
      this.#held.add(chunk.index);
      this.#bytesHeld += chunk.sizeBytes;
      this.#count({ bytesReceived: chunk.sizeBytes });
      this.#unclaimed++;
    }
  }

  #holds(index: number): boolean {
    return this.#held.has(index) || this.#writing.has(index);
  }

  async #tryHeader(): Promise<void> {
    if (this.#headerComplete) return;
    if (this.ref.headerChunks.some((_, index) => !this.#held.has(index))) return;
    const whole = { offset: 0, sizeBytes: this.ref.headerSizeBytes };
    const header = (await readExactly(this.#file, whole)) ?? new Uint8Array();
    this.#table = readTable({ ref: this.ref, header, reader: this.#reader });
    await this.#findUnclaimed();
    this.#headerComplete = true;
    const early = [...this.#early];
    this.#early.clear();
    for (const [index, payload] of early) await this.accept(index, payload);
  }

  #keepEarly(index: number, payload: Uint8Array): Verdict {
    if (payload.length > this.ref.chunkSizeBytes) return 'Foreign';
    if (this.#early.size >= EARLY_CHUNKS_MAX) return 'Foreign';
    // The bus uses the payload's memory again.
    this.#early.set(index, Buffer.from(payload));
    return 'Early';
  }

  async #store(chunk: ChunkEntry, payload: Uint8Array): Promise<void> {
    this.#writing.add(chunk.index);
    const write = this.#file.write(payload, 0, payload.length, chunk.offset);
    this.#writes.add(write);
    try {
      const { bytesWritten } = await write;
      if (bytesWritten !== payload.length) throw diskFull(this.#paths.data);
      this.#held.add(chunk.index);
      this.#bytesHeld += chunk.sizeBytes;
      this.#unclaimed++;
      this.arrivals.grown();
    } finally {
      this.#writes.delete(write);
      this.#writing.delete(chunk.index);
    }
    this.#scheduleFlush();
  }

  #scheduleFlush(): void {
    if (this.#unclaimed >= FLUSH_CHUNKS) {
      void this.flush().catch(() => undefined);
      return;
    }
    this.#flushTimer ??= setTimeout(() => {
      void this.flush().catch(() => undefined);
    }, FLUSH_INTERVAL_MS);
  }

  async #flushOnce(): Promise<void> {
    if (this.#unclaimed === 0 || this.#flushFailure !== undefined) return;
    // Chunks stored while the sync runs are not covered by it, so the claim is fixed before it.
    const held = Bitmap.fromBytes(this.#held.toBytes(), this.ref.chunkCount);
    this.#unclaimed = 0;
    try {
      await this.#file.datasync();
      await writeProgress(this.#paths.progress, { held, counters: this.#counters });
    } catch (error) {
      this.#flushFailure = error;
    }
  }

  #throwFlushFailure(): void {
    if (this.#flushFailure !== undefined) throw this.#flushFailure;
  }

  #count(more: Partial<TransferCounters>): void {
    this.#counters = {
      bytesReceived: this.#counters.bytesReceived + (more.bytesReceived ?? 0),
      bytesDuplicate: this.#counters.bytesDuplicate + (more.bytesDuplicate ?? 0),
      chunksCorrupt: this.#counters.chunksCorrupt + (more.chunksCorrupt ?? 0),
    };
  }
}

async function forget(path: string): Promise<void> {
  await rm(path, { force: true });
  await syncFolder(dirname(path));
}

async function openOrCreate(path: string): Promise<FileHandle> {
  try {
    return await open(path, 'r+');
  } catch {
    return open(path, 'w+', 0o600);
  }
}

async function readPlace(place: ChunkPlace): Promise<Uint8Array | undefined> {
  try {
    const file = await open(place.path, 'r');
    try {
      return await readExactly(file, place);
    } finally {
      await file.close();
    }
  } catch {
    // A place is only a hint: its file may be collected meanwhile, and the chunk is fetched then.
    return undefined;
  }
}

function diskFull(path: string): Error {
  return Object.assign(new Error(`the disk takes no more of ${path}`), { code: 'ENOSPC' });
}
