import { Bitmap } from '../../../libs/protocol/src/index.ts';
import type { SeededRandom } from './seeded.random.ts';
import type { VirtualTime } from './virtual.time.ts';

/** An error as Node's file system gives it. */
class SystemError extends Error {
  readonly code: string;

  constructor(code: string, message: string) {
    super(`${code}: ${message}`);
    this.code = code;
  }
}

interface StoredChunks {
  readonly chunkBytes: number;
  /** Written, and lost when the power goes before they are synced. */
  readonly written: Bitmap;
  readonly synced: Bitmap;
  /** On the disk, yet not what was written. */
  readonly rotten: Set<number>;
}

/**
 * The flash of a device: a journal that is replaced as a whole, and chunks of artifacts. What was
 * not synced is gone after a power cut; it may be full, slow, and lose what it holds.
 */
export class SimulatedDisk {
  /** More bytes cannot be written. */
  isFull = false;
  slowMs = 0;
  readonly capacityBytes: number;
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #artifacts = new Map<string, StoredChunks>();
  #journal: string | undefined;

  constructor(options: { time: VirtualTime; random: SeededRandom; capacityBytes: number }) {
    this.#time = options.time;
    this.#random = options.random;
    this.capacityBytes = options.capacityBytes;
  }

  get usedBytes(): number {
    let bytes = 0;
    for (const { chunkBytes, written } of this.#artifacts.values()) {
      bytes += chunkBytes * written.count;
    }
    return bytes;
  }

  get freeBytes(): number {
    return this.isFull ? 0 : Math.max(0, this.capacityBytes - this.usedBytes);
  }

  get journal(): string | undefined {
    return this.#journal;
  }

  /** The rename makes it all or nothing; the power may go before it or after it. */
  async writeJournal(text: string, isPowered: () => boolean): Promise<void> {
    await this.#wait();
    if (!isPowered()) return new Promise(() => undefined);
    if (this.isFull) throw new SystemError('ENOSPC', 'no space left on device');
    this.#journal = text;
    await this.#wait();
    if (!isPowered()) return new Promise(() => undefined);
  }

  lacking(artifact: string, chunks: number): Bitmap {
    const stored = this.#artifacts.get(artifact);
    if (stored === undefined) return new Bitmap(chunks).inverted();
    return stored.written.inverted();
  }

  hasAll(artifact: string, chunks: number): boolean {
    return this.lacking(artifact, chunks).count === 0;
  }

  /** What a check of all chunks finds. */
  damaged(artifact: string, chunks: number): number[] {
    const stored = this.#artifacts.get(artifact);
    if (stored === undefined) return [...Array(chunks).keys()];
    return [...new Set([...stored.rotten, ...stored.written.inverted().indices()])];
  }

  writeChunk(of: { artifact: string; chunks: number; index: number; chunkBytes: number }): void {
    if (of.chunkBytes > this.freeBytes) {
      throw new SystemError('ENOSPC', 'no space left on device');
    }
    const stored = this.#stored(of);
    stored.written.add(of.index);
    stored.rotten.delete(of.index);
  }

  sync(artifact: string): void {
    const stored = this.#artifacts.get(artifact);
    if (stored === undefined) return;
    for (const index of stored.written.indices()) stored.synced.add(index);
  }

  forgetChunks(artifact: string, indices: readonly number[]): void {
    const stored = this.#artifacts.get(artifact);
    for (const index of indices) {
      stored?.written.delete(index);
      stored?.synced.delete(index);
      stored?.rotten.delete(index);
    }
  }

  /** @returns the bytes that are free now and were not before. */
  collect(keep: readonly string[]): number {
    const before = this.usedBytes;
    for (const id of [...this.#artifacts.keys()]) {
      if (!keep.includes(id)) this.#artifacts.delete(id);
    }
    return before - this.usedBytes;
  }

  /** A cell of the flash forgets what it holds. @returns false when it holds nothing. */
  rot(): boolean {
    const stored = [...this.#artifacts.values()].filter(({ written }) => written.count > 0);
    if (stored.length === 0) return false;
    const { written, rotten } = this.#random.pick(stored);
    rotten.add(this.#random.pick([...written.indices()]));
    return true;
  }

  /** The power goes: what was not synced may be gone. */
  loseUnsynced(): void {
    for (const { written, synced } of this.#artifacts.values()) {
      for (const index of [...written.indices()]) {
        if (!synced.has(index) && this.#random.chance(0.5)) written.delete(index);
      }
    }
  }

  #stored(of: { artifact: string; chunks: number; chunkBytes: number }): StoredChunks {
    const known = this.#artifacts.get(of.artifact);
    if (known !== undefined) return known;
    const fresh = {
      chunkBytes: of.chunkBytes,
      written: new Bitmap(of.chunks),
      synced: new Bitmap(of.chunks),
      rotten: new Set<number>(),
    };
    this.#artifacts.set(of.artifact, fresh);
    return fresh;
  }

  async #wait(): Promise<void> {
    if (this.slowMs > 0) await this.#time.sleep(this.#random.next() * this.slowMs);
  }
}
