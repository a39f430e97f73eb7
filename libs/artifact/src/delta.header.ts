import { ArtifactError } from './artifact.error.ts';
import type { ArtifactRef } from './artifact.header.ts';
import { sha256Now } from './chunk.hash.ts';
import type { ChunkLocation } from './chunk.table.ts';
import { ARTIFACT_LIMITS } from './limits.ts';

/** As an artifact's, but for the letters. */
const MAGIC = Uint8Array.of(0x89, 0x45, 0x46, 0x44, 0x4c, 0x54, 0x0d, 0x0a);
const VERSION = 1;
const FIXED_BYTES = 88;
const HASH_BYTES = 32;

/** A parsed and checked header of a delta file; see DELTA.md. */
export interface DeltaHeader {
  /** What it takes to fetch the delta, as for an artifact: `id` is the SHA-256 of its header. */
  readonly ref: Readonly<ArtifactRef>;
  /** Ids of the artifact that the delta needs, and of the one it gives. */
  readonly baseId: string;
  readonly targetId: string;
  readonly payloadBytes: number;
  /** SHA-256 of each payload chunk; all but the last have `ref.chunkSizeBytes`. */
  readonly chunkHashes: readonly string[];
}

/** Enough of a file's first bytes to know the size of its header. */
export const DELTA_PREAMBLE_BYTES = FIXED_BYTES;

/** Tells a delta from an artifact by its first bytes. */
export function isDeltaHeader(bytes: Uint8Array): boolean {
  return MAGIC.every((byte, i) => byte === bytes[i]);
}

/** @throws ArtifactError `HeaderTooLarge`. */
export function writeDeltaHeader(content: {
  readonly baseId: string;
  readonly targetId: string;
  readonly chunkSizeBytes: number;
  readonly payloadBytes: number;
  readonly chunkHashes: readonly string[];
}): Uint8Array<ArrayBuffer> {
  const region = new Uint8Array(FIXED_BYTES + HASH_BYTES * content.chunkHashes.length);
  region.set(MAGIC);
  const view = new DataView(region.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, content.chunkSizeBytes, true);
  view.setBigUint64(16, BigInt(content.payloadBytes), true);
  for (const [i, hash] of [content.baseId, content.targetId, ...content.chunkHashes].entries()) {
    region.set(Buffer.from(hash, 'hex'), 24 + HASH_BYTES * i);
  }
  parseDeltaHeader(region);
  return region;
}

/**
 * How large the header region is.
 * @param bytes the first {@link DELTA_PREAMBLE_BYTES} of the file, or fewer when it has no more.
 * @throws ArtifactError `BadMagic`, `Truncated`, `UnsupportedVersion`, `BadHeader`, `HeaderTooLarge`.
 */
export function deltaHeaderBytes(bytes: Uint8Array): number {
  return FIXED_BYTES + HASH_BYTES * readPreamble(bytes).chunkCount;
}

/**
 * Parses and checks the header region of a delta (DELTA.md, section Header).
 * @param bytes the whole region.
 * @throws ArtifactError as {@link deltaHeaderBytes}, and `TrailingBytes`.
 */
export function parseDeltaHeader(bytes: Uint8Array): DeltaHeader {
  const { chunkSizeBytes, payloadBytes, chunkCount } = readPreamble(bytes);
  const headerSizeBytes = FIXED_BYTES + HASH_BYTES * chunkCount;
  if (bytes.length < headerSizeBytes) throw truncatedDelta(bytes.length);
  if (bytes.length > headerSizeBytes) {
    const message = `the delta's header has ${headerSizeBytes} bytes, but ${bytes.length} were given`;
    throw new ArtifactError('TrailingBytes', message);
  }
  const [baseId = '', targetId = '', ...chunkHashes] = hashesFrom(bytes.subarray(24));
  const slices = Array.from({ length: Math.ceil(bytes.length / chunkSizeBytes) }, (_, i) =>
    bytes.subarray(i * chunkSizeBytes, (i + 1) * chunkSizeBytes),
  );
  const ref = {
    id: sha256Now(bytes),
    sizeBytes: headerSizeBytes + payloadBytes,
    headerSizeBytes,
    headerChunks: slices.map(sha256Now),
    chunkCount: slices.length + chunkCount,
    chunkSizeBytes,
  };
  return { ref, baseId, targetId, payloadBytes, chunkHashes };
}

/** All chunks of a delta, the header's slices first; they tile the file. */
export function deltaChunkTable(header: DeltaHeader): ChunkLocation[] {
  const { chunkSizeBytes, headerSizeBytes, headerChunks, sizeBytes } = header.ref;
  const cut = (hashes: readonly string[], part: { begin: number; end: number; first: number }) =>
    hashes.map((sha256, i): ChunkLocation => {
      const offset = part.begin + i * chunkSizeBytes;
      const size = Math.min(chunkSizeBytes, part.end - offset);
      return { index: part.first + i, offset, sizeBytes: size, sha256 };
    });
  return [
    ...cut(headerChunks, { begin: 0, end: headerSizeBytes, first: 0 }),
    ...cut(header.chunkHashes, {
      begin: headerSizeBytes,
      end: sizeBytes,
      first: headerChunks.length,
    }),
  ];
}

interface Preamble {
  readonly chunkSizeBytes: number;
  readonly payloadBytes: number;
  readonly chunkCount: number;
}

function readPreamble(bytes: Uint8Array): Preamble {
  if (MAGIC.some((byte, i) => i < bytes.length && byte !== bytes[i])) {
    throw new ArtifactError('BadMagic', 'this is no entrofleet delta: its first bytes differ');
  }
  if (bytes.length < FIXED_BYTES) throw truncatedDelta(bytes.length);
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw new ArtifactError(
      'UnsupportedVersion',
      `the delta has format version ${version}, this program reads version ${VERSION}; ` +
        'fetch the whole artifact',
    );
  }
  const chunkSizeBytes = view.getUint32(12, true);
  const { chunkSizeBytesMin, chunkSizeBytesMax, chunksPerArtifact } = ARTIFACT_LIMITS;
  if (chunkSizeBytes < chunkSizeBytesMin || chunkSizeBytes > chunkSizeBytesMax) {
    throw badDelta(`its chunks have ${chunkSizeBytes} bytes`);
  }
  const payloadBytes = Number(view.getBigUint64(16, true));
  const chunkCount = Math.ceil(payloadBytes / chunkSizeBytes);
  if (chunkCount < 1 || chunkCount > chunksPerArtifact) {
    throw badDelta(`it claims ${payloadBytes} bytes`);
  }
  if (FIXED_BYTES + HASH_BYTES * chunkCount > chunkSizeBytes * ARTIFACT_LIMITS.headerSlices) {
    throw new ArtifactError('HeaderTooLarge', "the delta's header is too large; use larger chunks");
  }
  return { chunkSizeBytes, payloadBytes, chunkCount };
}

/** @returns the error of a delta that no writer of this format made. */
export function badDelta(detail: string): ArtifactError {
  return new ArtifactError('BadDelta', `the delta is not valid: ${detail}; fetch it again`);
}

function truncatedDelta(length: number): ArtifactError {
  return new ArtifactError('Truncated', `the delta's header ends after ${length} bytes`);
}

function hashesFrom(bytes: Uint8Array): string[] {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex');
  return Array.from({ length: bytes.length / HASH_BYTES }, (_, i) =>
    hex.slice(2 * HASH_BYTES * i, 2 * HASH_BYTES * (i + 1)),
  );
}
