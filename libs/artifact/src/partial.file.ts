import { type FileHandle, open, readdir, rename, rm } from 'node:fs/promises';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { ArtifactError } from './artifact.error.ts';
import { readAt } from './positional.read.ts';

const COPY_BYTES = 4 * 1024 * 1024;
const SUFFIX = '.partial';
let created = 0;

/**
 * A file in the making beside its target. It is complete and durable under the target's name, or
 * not there at all.
 */
export class PartialFile {
  readonly #target: string;
  readonly #path: string;
  readonly #handle: FileHandle;
  #sizeBytes = 0;
  #open = true;

  private constructor(target: string, path: string, handle: FileHandle) {
    this.#target = target;
    this.#path = path;
    this.#handle = handle;
  }

  /** @throws ArtifactError `WriteFailed` or `DiskFull`. */
  static async create(target: string): Promise<PartialFile> {
    const path = `${target}.${owner()}-${++created}${SUFFIX}`;
    const handle = await open(path, 'wx+', 0o644).catch((cause: unknown) => {
      throw writeFailed(target, cause);
    });
    return new PartialFile(target, path, handle);
  }

  get sizeBytes(): number {
    return this.#sizeBytes;
  }

  /** @throws ArtifactError `WriteFailed` or `DiskFull`. */
  async append(bytes: Uint8Array): Promise<void> {
    let done = 0;
    while (done < bytes.length) {
      const length = Math.min(bytes.length - done, COPY_BYTES);
      const { bytesWritten } = await this.#handle
        .write(bytes, done, length, this.#sizeBytes)
        .catch((cause: unknown) => {
          throw writeFailed(this.#target, cause);
        });
      done += bytesWritten;
      this.#sizeBytes += bytesWritten;
    }
  }

  /**
   * Fills `target` from `offset` on with what was appended.
   * @returns the number of bytes read, less than asked only at the end.
   * @throws ArtifactError `WriteFailed`.
   */
  async read(target: Uint8Array, offset: number): Promise<number> {
    return readAt(this.#handle, target, offset).catch((cause: unknown) => {
      throw writeFailed(this.#target, cause);
    });
  }

  /**
   * Makes the file durable, then gives it the target's name.
   * @throws ArtifactError `WriteFailed` or `DiskFull`.
   */
  async publish(): Promise<void> {
    try {
      await this.#handle.sync();
      this.#open = false;
      await this.#handle.close();
      await rename(this.#path, this.#target);
      await syncFolder(dirname(this.#target));
    } catch (cause) {
      throw writeFailed(this.#target, cause);
    }
  }

  /** Removes what {@link publish} has not renamed. Errors are ignored: another one is under way. */
  async discard(): Promise<void> {
    if (this.#open) await this.#handle.close().catch(() => undefined);
    this.#open = false;
    await rm(this.#path, { force: true }).catch(() => undefined);
  }
}

/**
 * Removes partial files of this target that a killed process on this host has left behind. Those
 * of other hosts and of living processes stay.
 */
export async function removeAbandoned(target: string): Promise<void> {
  const folder = dirname(target);
  const prefix = `${basename(target)}.${hostname()}-`;
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (!name.startsWith(prefix) || !name.endsWith(SUFFIX)) continue;
    const processId = Number(name.slice(prefix.length).split('-')[0]);
    if (!Number.isSafeInteger(processId) || processId < 1 || isAlive(processId)) continue;
    await rm(join(folder, name), { force: true }).catch(() => undefined);
  }
}

function owner(): string {
  return `${hostname()}-${process.pid}`;
}

function isAlive(processId: number): boolean {
  try {
    return process.kill(processId, 0);
  } catch (error) {
    return !(error instanceof Error && 'code' in error && error.code === 'ESRCH');
  }
}

async function syncFolder(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

function writeFailed(target: string, cause: unknown): ArtifactError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
  if (code === 'ENOSPC' || code === 'EDQUOT') {
    const message = `no space left to write the artifact ${target}; free space and encode again`;
    return new ArtifactError('DiskFull', message, { cause });
  }
  return new ArtifactError(
    'WriteFailed',
    `cannot write the artifact ${target}: ${detail}; check the folder and its permissions`,
    { cause },
  );
}
