import type { FileHandle } from 'node:fs/promises';

/** Reads a whole range, or gives `undefined` when the file ends before it does. */
export async function readExactly(
  file: FileHandle,
  range: { readonly offset: number; readonly sizeBytes: number },
): Promise<Uint8Array | undefined> {
  const bytes = Buffer.alloc(range.sizeBytes);
  let filled = 0;
  while (filled < bytes.length) {
    const { bytesRead } = await file.read(
      bytes,
      filled,
      bytes.length - filled,
      range.offset + filled,
    );
    if (bytesRead === 0) return undefined;
    filled += bytesRead;
  }
  return bytes;
}

/** A hole in the file reads as zeros; hashing it would be wasted. */
export function isBlank(bytes: Uint8Array): boolean {
  return bytes[0] === 0 && Buffer.alloc(bytes.length).equals(bytes);
}
