import { ArtifactError } from './artifact.error.ts';
import type {
  ArtifactHeader,
  CalibrationEntry,
  FileEntry,
  RecipeEntry,
  TensorEntry,
} from './artifact.header.ts';
import { isJsonObject, JsonRejected, parseBoundedJson } from './bounded.json.ts';
import { canonicalJson } from './canonical.json.ts';
import { sha256Now } from './chunk.hash.ts';
import { badHeader, HeaderFields } from './header.fields.ts';
import { ARTIFACT_LIMITS } from './limits.ts';
import { headerRegionBytes, PREAMBLE_BYTES, parsePreamble } from './preamble.ts';
import { type PayloadCursor, parseFile, parseSharedCode, parseTensor } from './tensor.entry.ts';

const KEYS = [
  'chunkSizeBytes',
  'config',
  'files',
  'format',
  'recipe',
  'sharedCode',
  'tensors',
] as const;

/**
 * Parses and checks the header region of an artifact (FORMAT.md, section Header): every length,
 * count, table and hash is bounded and consistent afterwards, so that a reader can rely on it.
 * @param bytes the whole region: preamble, JSON, padding.
 * @throws ArtifactError `Truncated`, `TrailingBytes`, `BadMagic`, `UnsupportedVersion`,
 *   `HeaderTooLarge`, `BadHeader`.
 */
export function parseHeader(bytes: Uint8Array): ArtifactHeader {
  const jsonBytes = parsePreamble(bytes);
  checkRegion(bytes, jsonBytes);
  const json = bytes.subarray(PREAMBLE_BYTES, PREAMBLE_BYTES + jsonBytes);
  const fields = new HeaderFields(parseJson(json), { path: '', keys: KEYS });
  fields.oneOf('format', ['entrofleet-artifact']);
  const chunkSizeBytes = fields.integer('chunkSizeBytes', {
    min: ARTIFACT_LIMITS.chunkSizeBytesMin,
    max: ARTIFACT_LIMITS.chunkSizeBytesMax,
  });
  const config = fields.raw('config');
  if (!isJsonObject(config)) throw badHeader('/config', 'must be an object');
  const sliceCount = Math.ceil(bytes.length / chunkSizeBytes);
  if (sliceCount > ARTIFACT_LIMITS.headerSlices) {
    throw new ArtifactError(
      'HeaderTooLarge',
      `the header needs ${sliceCount} chunks of ${chunkSizeBytes} bytes, over ` +
        `${ARTIFACT_LIMITS.headerSlices}; use larger chunks`,
    );
  }
  const cursor: PayloadCursor = { offset: bytes.length, chunkCount: sliceCount, chunkSizeBytes };
  const files = parseItems(fields.array('files', ARTIFACT_LIMITS.files), 'files', (value, path) =>
    parseFile(value, path, cursor),
  );
  const sharedCode = parseSharedCode(fields);
  const tensors = parseItems(
    fields.array('tensors', ARTIFACT_LIMITS.tensors),
    'tensors',
    (value, path) => parseTensor(value, path, { cursor, sharedCode }),
  );
  if (tensors.length === 0) throw badHeader('/tensors', 'must not be empty');
  return {
    ref: {
      id: sha256Now(bytes),
      sizeBytes: cursor.offset,
      headerSizeBytes: bytes.length,
      headerChunks: headerSlices(bytes, chunkSizeBytes).map(sha256Now),
      chunkCount: cursor.chunkCount,
      chunkSizeBytes,
    },
    recipe: parseRecipeEntry(fields.raw('recipe')),
    config,
    files,
    tensors,
  };
}

function headerSlices(region: Uint8Array, chunkSizeBytes: number): Uint8Array[] {
  const count = Math.ceil(region.length / chunkSizeBytes);
  return Array.from({ length: count }, (_, i) =>
    region.subarray(i * chunkSizeBytes, (i + 1) * chunkSizeBytes),
  );
}

function checkRegion(bytes: Uint8Array, jsonBytes: number): void {
  const expected = headerRegionBytes(jsonBytes);
  if (bytes.length < expected) {
    throw new ArtifactError(
      'Truncated',
      `the artifact's header has ${expected} bytes, of which only ${bytes.length} are there`,
    );
  }
  if (bytes.length > expected) {
    throw new ArtifactError(
      'TrailingBytes',
      `the artifact's header has ${expected} bytes, but ${bytes.length} were given`,
    );
  }
  if (bytes.subarray(PREAMBLE_BYTES + jsonBytes).some((byte) => byte !== 0)) {
    throw badHeader('', 'has padding that is not zero');
  }
}

/** A header has one spelling only, so that equal content has an equal id. */
function parseJson(json: Uint8Array): unknown {
  try {
    const value = parseBoundedJson(json, {
      depth: ARTIFACT_LIMITS.headerJsonDepth,
      values: ARTIFACT_LIMITS.headerJsonValues,
    });
    const canonical = Buffer.from(canonicalJson(value));
    if (canonical.equals(json)) return value;
    throw new JsonRejected('is not in canonical form (RFC 8785)');
  } catch (cause) {
    if (cause instanceof JsonRejected) throw badHeader('', cause.message);
    // Numbers out of range and lone surrogates have no canonical form.
    if (cause instanceof TypeError) throw badHeader('', cause.message);
    throw cause;
  }
}

function parseItems<T extends FileEntry | TensorEntry>(
  values: readonly unknown[],
  key: string,
  parse: (value: unknown, path: string) => T,
): T[] {
  const items = values.map((value, i) => parse(value, `/${key}/${i}`));
  for (const [i, item] of items.entries()) {
    const previous = items[i - 1];
    if (previous !== undefined && previous.name >= item.name) {
      throw badHeader(`/${key}/${i}/name`, 'must come after the name before it');
    }
  }
  return items;
}

function parseRecipeEntry(value: unknown): RecipeEntry {
  const path = '/recipe';
  if (isJsonObject(value) && value.kind === 'affine') {
    const fields = new HeaderFields(value, { path, keys: ['bits', 'kind'] });
    return { kind: 'affine', bits: fields.oneOf('bits', [8, 4]) };
  }
  const calibrated = isJsonObject(value) && 'calibration' in value ? ['calibration'] : [];
  if (isJsonObject(value) && value.kind === 'quality') {
    const fields = new HeaderFields(value, { path, keys: [...calibrated, 'kind', 'targetSqnrDb'] });
    const targetSqnrDb = boundedNumber(fields, 'targetSqnrDb', 100);
    return { kind: 'quality', targetSqnrDb, ...calibrationOf(fields, calibrated) };
  }
  const keys = [...calibrated, 'kind', 'targetBitsPerWeight'];
  const fields = new HeaderFields(value, { path, keys });
  const kind = fields.oneOf('kind', ['rate']);
  const targetBitsPerWeight = boundedNumber(fields, 'targetBitsPerWeight', 16);
  return { kind, targetBitsPerWeight, ...calibrationOf(fields, calibrated) };
}

function calibrationOf(
  fields: HeaderFields,
  keys: readonly string[],
): { calibration?: CalibrationEntry } {
  if (keys.length === 0) return {};
  const path = '/recipe/calibration';
  const entry = new HeaderFields(fields.raw('calibration'), { path, keys: ['tokensSha256'] });
  const tokensSha256 = entry.raw('tokensSha256');
  if (typeof tokensSha256 === 'string' && /^[0-9a-f]{64}$/.test(tokensSha256)) {
    return { calibration: { tokensSha256 } };
  }
  throw badHeader(`${path}/tokensSha256`, 'must be 64 lower-case hexadecimal digits');
}

function boundedNumber(fields: HeaderFields, key: string, max: number): number {
  const value = fields.raw(key);
  if (typeof value === 'number' && value > 0 && value <= max) return value;
  throw badHeader(`/recipe/${key}`, `must be above 0 and at most ${max}`);
}
