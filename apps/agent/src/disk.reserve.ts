import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeSynced } from './durable.file.ts';

/** A lock, and a journal beside the one before it, fit in several times. */
const SIZE_BYTES = 256 * 1024;
/** Less than this would help nobody. */
const SIZE_MIN_BYTES = 32 * 1024;

/**
 * Room on the disk that nobody else can take. Given up while the agent starts, it lets a device whose
 * disk is full lock its folder and write its journal, and so serve again after a power loss.
 */
export class DiskReserve {
  readonly #path: string;

  constructor(folder: string) {
    this.#path = join(folder, 'reserve');
  }

  async release(): Promise<void> {
    await rm(this.#path, { force: true });
  }

  /** Takes what the disk gives. @returns bytes held, 0 when it has no room. */
  async take(): Promise<number> {
    for (let sizeBytes = SIZE_BYTES; sizeBytes >= SIZE_MIN_BYTES; sizeBytes /= 2) {
      try {
        // Not zeros: a file system that compresses would keep nothing for them.
        await writeSynced(this.#path, Buffer.alloc(sizeBytes, 'entrofleet'));
        return sizeBytes;
      } catch {
        await this.release().catch(() => undefined);
      }
    }
    return 0;
  }
}
