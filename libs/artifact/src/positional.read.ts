import type { FileHandle } from 'node:fs/promises';

/** One read call moves at most this many bytes; Linux stops at 2 GiB - 4 KiB. */
const READ_BYTES_MAX = 1024 ** 3;

/**
 * Fills `target` from `position` on (pread). The file's own position does not move, so reads may
 * overlap in time.
 * @returns the number of bytes read, less than asked only at the end of the file.
 */
export async function readAt(
  file: FileHandle,
  target: Uint8Array,
  position: number,
): Promise<number> {
  let done = 0;
  while (done < target.length) {
    const length = Math.min(target.length - done, READ_BYTES_MAX);
    const { bytesRead } = await file.read(target, done, length, position + done);
    if (bytesRead === 0) break;
    done += bytesRead;
  }
  return done;
}
