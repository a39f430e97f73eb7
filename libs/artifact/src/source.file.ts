import { constants, type Stats } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { CheckpointError, type CheckpointReason } from './checkpoint.error.ts';
import { readAt } from './positional.read.ts';

/** A regular file of a checkpoint, open for positional reads. Symbolic links are followed. */
export class SourceFile {
  readonly name: string;
  readonly sizeBytes: number;
  /** Tells this state of the file from others without reading it: name, inode, size and time. */
  readonly stamp: string;
  readonly #handle: FileHandle;

  private constructor(name: string, stats: Stats, handle: FileHandle) {
    this.name = name;
    this.sizeBytes = stats.size;
    this.stamp = stampOf(name, stats);
    this.#handle = handle;
  }

  /**
   * @returns undefined when there is no such file.
   * @throws CheckpointError `NotAFile` or `ReadFailed`.
   */
  static async find(folder: string, name: string): Promise<SourceFile | undefined> {
    const path = join(folder, name);
    try {
      // O_NONBLOCK keeps a named pipe from blocking the open; it means nothing for a file.
      const handle = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
      const stats = await handle.stat();
      if (stats.isFile()) return new SourceFile(name, stats, handle);
      await handle.close();
    } catch (cause) {
      if (errorCode(cause) === 'ENOENT') return undefined;
      throw readFailed(path, cause);
    }
    throw new CheckpointError('NotAFile', `${path} is not a file; put the checkpoint's file there`);
  }

  /** @throws CheckpointError `reason` with `message` when absent, else as {@link find}. */
  static async require(
    folder: string,
    name: string,
    absent: { reason: CheckpointReason; message: string },
  ): Promise<SourceFile> {
    const file = await SourceFile.find(folder, name);
    if (file === undefined) throw new CheckpointError(absent.reason, absent.message);
    return file;
  }

  /**
   * @param memory takes the bytes where it is large enough; touching fresh memory costs about four
   *   times what reading cached bytes does.
   * @returns exactly `sizeBytes` bytes.
   * @throws CheckpointError `SourceChanged` when the file has become shorter, `ReadFailed`.
   */
  async read(
    range: { offset: number; sizeBytes: number },
    memory?: Uint8Array<ArrayBuffer>,
  ): Promise<Uint8Array<ArrayBuffer>> {
    const { sizeBytes } = range;
    const fits = memory !== undefined && memory.length >= sizeBytes;
    const bytes = fits ? memory.subarray(0, sizeBytes) : new Uint8Array(sizeBytes);
    const got = await readAt(this.#handle, bytes, range.offset).catch((cause) => {
      throw readFailed(this.name, cause);
    });
    if (got < range.sizeBytes) {
      throw new CheckpointError(
        'SourceChanged',
        `${this.name} became shorter while it was read; do not change a checkpoint in use`,
      );
    }
    return bytes;
  }

  /** @throws CheckpointError `TooLarge` beyond `limitBytes`, else as {@link read}. */
  async readAll(limitBytes: number): Promise<Uint8Array<ArrayBuffer>> {
    if (this.sizeBytes > limitBytes) {
      throw new CheckpointError(
        'TooLarge',
        `${this.name} has ${this.sizeBytes} bytes; at most ${limitBytes} are read`,
      );
    }
    return this.read({ offset: 0, sizeBytes: this.sizeBytes });
  }

  /** @throws CheckpointError `SourceChanged` when the file was written to since it was opened. */
  async requireUnchanged(): Promise<void> {
    const stats = await this.#handle.stat().catch((cause: unknown) => {
      throw readFailed(this.name, cause);
    });
    if (stampOf(this.name, stats) !== this.stamp) throw sourceChanged(this.name);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** @throws CheckpointError `FolderMissing` when `path` is no folder. */
export async function requireFolder(path: string): Promise<void> {
  const stats = await stat(path).catch((cause: unknown) => {
    if (errorCode(cause) === 'ENOENT' || errorCode(cause) === 'ENOTDIR') return undefined;
    throw readFailed(path, cause);
  });
  if (stats?.isDirectory() === true) return;
  const found = stats === undefined ? 'does not exist' : 'is a file';
  throw new CheckpointError(
    'FolderMissing',
    `${path} ${found}; the source of a model is a Hugging Face folder with config.json and ` +
      'model.safetensors',
  );
}

/** @param what file or folder. */
export function sourceChanged(what: string): CheckpointError {
  return new CheckpointError(
    'SourceChanged',
    `${what} was changed while it was encoded; do not change a checkpoint in use`,
  );
}

function stampOf(name: string, { ino, size, mtimeMs }: Stats): string {
  return `${name} ${ino} ${size} ${mtimeMs}`;
}

function readFailed(path: string, cause: unknown): CheckpointError {
  const detail = cause instanceof Error ? cause.message : String(cause);
  return new CheckpointError(
    'ReadFailed',
    `cannot read ${path}: ${detail}; check permissions and the disk`,
    { cause },
  );
}

function errorCode(cause: unknown): unknown {
  return cause instanceof Error && 'code' in cause ? cause.code : undefined;
}
