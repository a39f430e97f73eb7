import {
  chunkTable,
  deltaChunkTable,
  isDeltaHeader,
  parseDeltaHeader,
  parseHeader,
} from '@entrofleet/artifact';
import type { ChunkEntry } from './chunk.layout.ts';

/**
 * Reads where the chunks of a file lie, from its header: an artifact's, or that of a delta between
 * two.
 * @throws ArtifactError
 */
export function readChunkTables(header: Uint8Array): readonly ChunkEntry[] {
  return isDeltaHeader(header)
    ? deltaChunkTable(parseDeltaHeader(header))
    : chunkTable(parseHeader(header));
}
