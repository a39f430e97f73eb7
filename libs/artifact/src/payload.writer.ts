import type { ChunkEntry } from './artifact.header.ts';
import { forEachParallel } from './bounded.parallel.ts';
import { sha256 } from './chunk.hash.ts';
import type { PartialFile } from './partial.file.ts';

const HASHES_IN_FLIGHT = 4;

/**
 * Appends one item's payload and hashes its chunks.
 * @param cut chunk sizes, which sum up to the payload.
 * @throws ArtifactError `WriteFailed` or `DiskFull`.
 */
export async function appendChunks(
  file: PartialFile,
  payload: Uint8Array<ArrayBuffer>,
  cut: readonly number[],
): Promise<ChunkEntry[]> {
  const hashes: string[] = [];
  let offset = 0;
  const slices = cut.map((sizeBytes, index) => {
    const bytes = payload.subarray(offset, offset + sizeBytes);
    offset += sizeBytes;
    return { bytes, index };
  });
  await forEachParallel(slices, HASHES_IN_FLIGHT, async ({ bytes, index }) => {
    hashes[index] = await sha256(bytes);
  });
  await file.append(payload);
  return cut.map((sizeBytes, index) => ({ sha256: hashes[index] ?? '', sizeBytes }));
}
