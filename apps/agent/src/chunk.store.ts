import { open, readdir, readFile, rename, rm, stat, statfs, utimes } from 'node:fs/promises';
import { join } from 'node:path';
import { type ArtifactRef, artifactRefSchema, Bitmap } from '@entrofleet/protocol';
import { type ChunkEntry, type ChunkTableReader, readTable, sha256Of } from './chunk.layout.ts';
import type { StoredArtifact } from './collection.plan.ts';
import { makeFolder, syncFolder, writeDurably } from './durable.file.ts';
import { AgentError, systemCode } from './errors.ts';
import { type ChunkPlace, PartialArtifact, type PartialPaths } from './partial.artifact.ts';
import { NO_TRANSFER, writeProgress } from './progress.file.ts';

const SUFFIX = '.efa';
const REFERENCE_SUFFIX = '.ref';
const PARTIAL_SUFFIX = '.partial';
const PROGRESS_SUFFIX = '.progress';
/** Read at a time to be checked; each read costs a turn of the loop and two threads' wake-ups. */
const CHECK_BYTES = 1024 * 1024;
const ID = /^[0-9a-f]{64}$/;

export interface ChunkStoreOptions {
  readonly folder: string;
  /** Bytes that stay free on the disk for everything else. */
  readonly marginBytes: number;
  readonly reader: ChunkTableReader;
  /** Free bytes for this user on the folder's disk; for tests. */
  readonly freeBytes?: (folder: string) => Promise<number>;
}

/**
 * Artifacts on this device's disk: complete ones in `artifacts/<id>.efa`, fetched ones in
 * `downloads/`. The reference of each is kept in `artifacts/<id>.ref`, so that its chunks are found
 * when another artifact needs the same.
 */
export class ChunkStore {
  readonly #artifacts: string;
  readonly #downloads: string;
  readonly #options: ChunkStoreOptions;

  private constructor(options: ChunkStoreOptions) {
    this.#options = options;
    this.#artifacts = join(options.folder, 'artifacts');
    this.#downloads = join(options.folder, 'downloads');
  }

  static async open(options: ChunkStoreOptions): Promise<ChunkStore> {
    const store = new ChunkStore(options);
    await makeFolder(store.#artifacts);
    await makeFolder(store.#downloads);
    return store;
  }

  /** Where a complete artifact lies, or will lie. */
  path(id: string): string {
    return join(this.#artifacts, `${id}${SUFFIX}`);
  }

  /** True when the artifact is complete; its bytes may still have been damaged since. */
  async has(ref: ArtifactRef): Promise<boolean> {
    return (await sizeOf(this.path(ref.id))) === ref.sizeBytes;
  }

  /** True when an artifact of this id is complete here, whatever is known of it otherwise. */
  async isComplete(id: string): Promise<boolean> {
    const references = await this.#references();
    const ref = references.find((known) => known.id === id);
    return ref !== undefined && this.has(ref);
  }

  /** Bytes on disk of a download that was begun; holes do not count. */
  async bytesHeld(ref: ArtifactRef): Promise<number> {
    return Math.min(ref.sizeBytes, await allocatedBytes(this.#paths(ref.id).data));
  }

  /** Deletes one artifact, or its download. */
  async remove(id: string): Promise<void> {
    const { data, progress, complete } = this.#paths(id);
    const paths = [data, progress, complete, this.#reference(id)];
    for (const path of paths) await rm(path, { force: true });
  }

  /**
   * Opens the download of an artifact, resumed where it stood.
   * @throws AgentError `DiskFull` when the rest of it does not fit beside the margin.
   */
  async openPartial(ref: ArtifactRef): Promise<PartialArtifact> {
    await this.#assertFits(ref);
    await this.#writeReference(ref);
    return PartialArtifact.open({ ref, paths: this.#paths(ref.id), reader: this.#options.reader });
  }

  /**
   * Chunks of other artifacts on this device by SHA-256. Their bytes are not verified here.
   */
  async localChunks(except: ArtifactRef): Promise<Map<string, ChunkPlace>> {
    const places = new Map<string, ChunkPlace>();
    const references = (await this.#references()).filter((ref) => ref.id !== except.id);
    const files = [
      ...references.map((ref) => ({ ref, path: this.path(ref.id) })),
      // A download has holes, so a complete artifact's copy of the same chunk comes first.
      ...references.map((ref) => ({ ref, path: this.#paths(ref.id).data })),
    ];
    for (const { ref, path } of files) {
      for (const { sha256, offset, sizeBytes } of await this.#tableIn(path, ref)) {
        if (!places.has(sha256)) places.set(sha256, { path, offset, sizeBytes });
      }
    }
    return places;
  }

  /**
   * Reads a complete artifact and checks every chunk.
   * @returns transfer indices of the chunks whose bytes are wrong; empty when all are right.
   * @throws AgentError `HashMismatch` when the header itself is damaged.
   */
  async findDamaged(ref: ArtifactRef, signal: AbortSignal): Promise<number[]> {
    const file = await open(this.path(ref.id), 'r');
    try {
      const header = Buffer.alloc(ref.headerSizeBytes);
      await file.read(header, 0, header.length, 0);
      if (sha256Of(header) !== ref.id) return [...Array(ref.chunkCount).keys()];
      const table = readTable({ ref, header, reader: this.#options.reader });
      const damaged: number[] = [];
      const buffer = Buffer.allocUnsafe(Math.max(CHECK_BYTES, ref.chunkSizeBytes));
      for (const span of spansOf(table, buffer.length)) {
        signal.throwIfAborted();
        const { bytesRead } = await file.read(buffer, 0, span.sizeBytes, span.offset);
        for (const chunk of span.chunks) {
          const start = chunk.offset - span.offset;
          const end = Math.min(bytesRead, start + chunk.sizeBytes);
          const bytes = buffer.subarray(Math.min(start, end), end);
          if (sha256Of(bytes) !== chunk.sha256) damaged.push(chunk.index);
        }
      }
      return damaged;
    } finally {
      await file.close();
    }
  }

  /** Makes a complete artifact a download again that lacks the damaged chunks. */
  async reopen(ref: ArtifactRef, damaged: readonly number[]): Promise<void> {
    const paths = this.#paths(ref.id);
    const held = new Bitmap(ref.chunkCount).inverted();
    for (const index of damaged) held.delete(index);
    await writeProgress(paths.progress, { held, counters: NO_TRANSFER });
    // A file that has gone leaves nothing to rename: the claims are about a new, empty one then.
    await rename(paths.complete, paths.data).catch((error: unknown) => {
      if (systemCode(error) !== 'ENOENT') throw error;
    });
    await syncFolder(this.#downloads);
    await syncFolder(this.#artifacts);
  }

  /** Deletes every artifact and download other than those named. @returns bytes given back. */
  async collect(keep: readonly string[]): Promise<number> {
    let bytes = 0;
    for (const folder of [this.#artifacts, this.#downloads]) {
      for (const name of await readdir(folder)) {
        const id = name.slice(0, name.indexOf('.'));
        if (ID.test(id) && keep.includes(id)) continue;
        bytes += (await sizeOf(join(folder, name))) ?? 0;
        await rm(join(folder, name), { force: true });
      }
    }
    return bytes;
  }

  /** What lies here, by artifact. */
  async stored(): Promise<StoredArtifact[]> {
    const byId = new Map<string, StoredArtifact>();
    for (const folder of [this.#artifacts, this.#downloads]) {
      for (const name of await readdir(folder)) {
        const id = name.slice(0, name.indexOf('.'));
        if (!ID.test(id)) continue;
        const { sizeBytes = 0, usedOrder = 0 } = byId.get(id) ?? {};
        const file = join(folder, name);
        const order = name.endsWith(REFERENCE_SUFFIX) ? await orderOf(file) : usedOrder;
        const size = sizeBytes + (await allocatedBytes(file));
        byId.set(id, { id, sizeBytes: size, usedOrder: order });
      }
    }
    return [...byId.values()];
  }

  /** Bytes of disk that an artifact takes, complete or not. */
  async bytesOf(id: string): Promise<number> {
    return (await this.stored()).find((artifact) => artifact.id === id)?.sizeBytes ?? 0;
  }

  /** Notes that these have been used later than all others. */
  async markUsed(ids: readonly string[]): Promise<void> {
    const stored = await this.stored();
    const latest = stored.reduce((most, { usedOrder }) => Math.max(most, usedOrder), 0);
    for (const { id } of stored.filter((artifact) => ids.includes(artifact.id))) {
      // The time of change is a counter here: the clock of a device may be wrong.
      await utimes(this.#reference(id), latest + 1, latest + 1).catch((error: unknown) => {
        if (systemCode(error) !== 'ENOENT') throw error;
      });
    }
  }

  #reference(id: string): string {
    return join(this.#artifacts, `${id}${REFERENCE_SUFFIX}`);
  }

  #paths(id: string): PartialPaths {
    return {
      data: join(this.#downloads, `${id}${PARTIAL_SUFFIX}`),
      progress: join(this.#downloads, `${id}${PROGRESS_SUFFIX}`),
      complete: this.path(id),
    };
  }

  async #assertFits(ref: ArtifactRef): Promise<void> {
    const { folder, marginBytes, freeBytes = freeOnDisk } = this.#options;
    const allocated = await allocatedBytes(this.#paths(ref.id).data);
    const needed = Math.max(0, ref.sizeBytes - allocated) + marginBytes;
    const free = await freeBytes(folder);
    if (free >= needed) return;
    throw new AgentError(
      'DiskFull',
      `artifact ${ref.id.slice(0, 12)} needs ${needed} bytes in ${folder} (${marginBytes} of them ` +
        `as margin), ${free} are free; free some space or move ENTROFLEET_DATA_DIR`,
    );
  }

  async #writeReference(ref: ArtifactRef): Promise<void> {
    const path = this.#reference(ref.id);
    if ((await sizeOf(path)) === undefined) await writeDurably(path, JSON.stringify(ref));
  }

  /** References that cannot be read are passed over: they only save transfers. */
  async #references(): Promise<ArtifactRef[]> {
    const names = await readdir(this.#artifacts);
    const references: ArtifactRef[] = [];
    for (const name of names.filter((n) => n.endsWith(REFERENCE_SUFFIX)).sort()) {
      const ref = parseReference(await readFile(join(this.#artifacts, name), 'utf8'));
      if (ref !== undefined) references.push(ref);
    }
    return references;
  }

  async #tableIn(path: string, ref: ArtifactRef): Promise<readonly ChunkEntry[]> {
    try {
      const file = await open(path, 'r');
      try {
        const header = Buffer.alloc(ref.headerSizeBytes);
        await file.read(header, 0, header.length, 0);
        return readTable({ ref, header, reader: this.#options.reader });
      } finally {
        await file.close();
      }
    } catch {
      // No such file, or a download whose header is not complete: nothing to copy from.
      return [];
    }
  }
}

interface Span {
  readonly offset: number;
  sizeBytes: number;
  readonly chunks: ChunkEntry[];
}

/** Chunks in runs of at most so many bytes, which hold any one chunk. */
function spansOf(table: readonly ChunkEntry[], maxBytes: number): Span[] {
  const spans: Span[] = [];
  for (const chunk of table) {
    const last = spans.at(-1);
    const end = chunk.offset + chunk.sizeBytes;
    if (last !== undefined && end - last.offset <= maxBytes) {
      last.chunks.push(chunk);
      last.sizeBytes = end - last.offset;
    } else {
      spans.push({ offset: chunk.offset, sizeBytes: chunk.sizeBytes, chunks: [chunk] });
    }
  }
  return spans;
}

function parseReference(text: string): ArtifactRef | undefined {
  try {
    return artifactRefSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

async function orderOf(path: string): Promise<number> {
  try {
    return (await stat(path)).mtimeMs / 1000;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0;
    throw error;
  }
}

/** Bytes of disk a sparse file takes; stat(2) counts blocks of 512 bytes. */
async function allocatedBytes(path: string): Promise<number> {
  try {
    return (await stat(path)).blocks * 512;
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return 0;
    throw error;
  }
}

async function freeOnDisk(folder: string): Promise<number> {
  const { bavail, bsize } = await statfs(folder);
  return bavail * bsize;
}
