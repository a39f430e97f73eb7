import { ArtifactError } from './artifact.error.ts';
import { ARTIFACT_LIMITS } from './limits.ts';

/** Shows the kind of file, and by its high bit and line ends also a transfer in text mode. */
const MAGIC = Uint8Array.of(0x89, 0x45, 0x46, 0x41, 0x52, 0x54, 0x0d, 0x0a);
const VERSION = 2;
const ALIGNMENT_BYTES = 64;

export const PREAMBLE_BYTES = 16;

/** Bytes in front of the payload for a JSON header of `jsonBytes`. */
export function headerRegionBytes(jsonBytes: number): number {
  return Math.ceil((PREAMBLE_BYTES + jsonBytes) / ALIGNMENT_BYTES) * ALIGNMENT_BYTES;
}

/**
 * Lays out preamble, JSON and zero padding.
 * @throws ArtifactError `HeaderTooLarge`.
 */
export function headerRegion(json: Uint8Array): Uint8Array {
  if (json.length > ARTIFACT_LIMITS.headerJsonBytes) {
    throw new ArtifactError(
      'HeaderTooLarge',
      `the header has ${json.length} bytes, over ${ARTIFACT_LIMITS.headerJsonBytes}; ` +
        'use larger chunks',
    );
  }
  const region = new Uint8Array(headerRegionBytes(json.length));
  region.set(MAGIC);
  const view = new DataView(region.buffer);
  view.setUint32(8, VERSION, true);
  view.setUint32(12, json.length, true);
  region.set(json, PREAMBLE_BYTES);
  return region;
}

/**
 * Reads the first 16 bytes of an artifact.
 * @returns the length of the JSON that follows them.
 * @throws ArtifactError `Truncated`, `BadMagic`, `UnsupportedVersion`, `HeaderTooLarge`.
 */
export function parsePreamble(bytes: Uint8Array): number {
  const magicSeen = bytes.subarray(0, MAGIC.length);
  if (magicSeen.some((byte, i) => byte !== MAGIC[i])) {
    throw new ArtifactError('BadMagic', 'this is no entrofleet artifact: its first bytes differ');
  }
  if (bytes.length < PREAMBLE_BYTES) {
    throw new ArtifactError('Truncated', `the artifact ends after ${bytes.length} bytes`);
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const version = view.getUint32(8, true);
  if (version !== VERSION) {
    throw new ArtifactError(
      'UnsupportedVersion',
      `the artifact has format version ${version}, this program reads version ${VERSION}; ` +
        `${version > VERSION ? 'update the program' : 'encode the model again'}`,
    );
  }
  const jsonBytes = view.getUint32(12, true);
  if (jsonBytes > ARTIFACT_LIMITS.headerJsonBytes) {
    throw new ArtifactError(
      'HeaderTooLarge',
      `the header claims ${jsonBytes} bytes, over ${ARTIFACT_LIMITS.headerJsonBytes}`,
    );
  }
  return jsonBytes;
}
