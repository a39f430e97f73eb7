import { assertCodeLengths, parseLaneCode } from '@entrofleet/codec';
import {
  BF16_BYTES,
  type ChunkEntry,
  type CodedTensorEntry,
  type FileEntry,
  type RawTensorEntry,
  symbolCount,
  type TensorEntry,
} from './artifact.header.ts';
import { isJsonObject } from './bounded.json.ts';
import { isCut } from './chunk.cutter.ts';
import { parseHuffmanCode } from './code.text.ts';
import { parseFloatBits } from './float.bits.ts';
import { badHeader, HeaderFields } from './header.fields.ts';
import { ARTIFACT_LIMITS } from './limits.ts';
import { elementBytes } from './safetensors.header.ts';
import { elementCount } from './tensor.shape.ts';

/** Where the next item's payload begins, and how many chunks came before it. */
export interface PayloadCursor {
  offset: number;
  chunkCount: number;
  readonly chunkSizeBytes: number;
}

const FLOAT_TYPES = ['f32', 'f16', 'bf16'] as const;
const TENSOR_NAME = new RegExp(`^[^\\0]{1,${ARTIFACT_LIMITS.tensorNameLength}}$`, 's');
const FILE_NAME = /^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/;
const MILLION = 1_000_000;
/** Deflate turns at most 258 bytes into two bits (RFC 1951), which is 1032 to 1. */
const DEFLATE_RATIO_MAX = 1032;
const RAW_KEYS = ['chunks', 'codec', 'name', 'shape', 'type'] as const;
const CODED_KEYS = [
  ...RAW_KEYS,
  'bits',
  'code',
  'entropyMicrobits',
  'noiseTrillionths',
  'segmentSizes',
  'segmentSymbols',
  'step',
  'zeroPoint',
] as const;
const LANES_CODE = /^(?:[0-9a-f]{2}){1,512}$/;

/** @throws ArtifactError `BadHeader`. */
export function parseFile(value: unknown, path: string, cursor: PayloadCursor): FileEntry {
  const fields = new HeaderFields(value, { path, keys: ['chunks', 'codec', 'name', 'sizeBytes'] });
  const sizeBytes = fields.integer('sizeBytes', { min: 0, max: ARTIFACT_LIMITS.fileSizeBytes });
  const entry: FileEntry = {
    name: fields.text('name', FILE_NAME),
    codec: fields.oneOf('codec', ['deflate', 'identity']),
    sizeBytes,
    ...parseChunks(fields, cursor),
  };
  if (entry.codec === 'identity' && entry.payloadBytes !== sizeBytes) {
    throw badHeader(fields.pathOf('chunks'), `must sum up to ${sizeBytes} bytes`);
  }
  const inflatedMax = entry.payloadBytes * DEFLATE_RATIO_MAX;
  if (entry.codec === 'deflate' && (entry.payloadBytes >= sizeBytes || sizeBytes > inflatedMax)) {
    throw badHeader(fields.pathOf('sizeBytes'), 'is no size that deflate could have had');
  }
  return entry;
}

/** What tensors share with those before them. */
export interface TensorContext {
  readonly cursor: PayloadCursor;
  /** Code lengths of all Huffman tensors without a code of their own. */
  readonly sharedCode: Uint8Array | null;
}

/** @throws ArtifactError `BadHeader`. */
export function parseTensor(value: unknown, path: string, context: TensorContext): TensorEntry {
  const codec = isJsonObject(value) ? value.codec : undefined;
  return codec === 'huffman' || codec === 'lanes'
    ? parseCoded(value, path, context)
    : parseRaw(value, path, context.cursor);
}

/** @throws ArtifactError `BadHeader`. */
export function parseSharedCode(fields: HeaderFields): Uint8Array | null {
  return fields.raw('sharedCode') === null ? null : parseCodeLengths(fields, 'sharedCode');
}

function parseRaw(value: unknown, path: string, cursor: PayloadCursor): RawTensorEntry {
  const fields = new HeaderFields(value, { path, keys: RAW_KEYS });
  const codec = fields.oneOf('codec', ['raw', 'huffman', 'lanes']);
  if (codec !== 'raw') throw badHeader(path, 'is of a codec that needs more fields');
  const shape = parseShape(fields);
  const type = fields.oneOf('type', FLOAT_TYPES);
  const name = fields.text('name', TENSOR_NAME);
  const entry: RawTensorEntry = { name, codec, shape, type, ...parseChunks(fields, cursor) };
  const elementSize = elementBytes(type);
  const sizeBytes = elementCount(shape) * elementSize;
  const whole = entry.chunks.every((chunk) => chunk.sizeBytes % elementSize === 0);
  if (entry.payloadBytes !== sizeBytes || !whole) {
    throw badHeader(fields.pathOf('chunks'), `must cut ${sizeBytes} bytes between elements`);
  }
  return entry;
}

function parseCoded(value: unknown, path: string, context: TensorContext): CodedTensorEntry {
  const { cursor, sharedCode } = context;
  const fields = new HeaderFields(value, { path, keys: CODED_KEYS });
  const [rows, columns, ...rest] = parseShape(fields);
  if (rows === undefined || columns === undefined || rest.length > 0) {
    throw badHeader(fields.pathOf('shape'), 'must have two sides for a coded tensor');
  }
  const bits = fields.oneOf('bits', [8, 4]);
  const entry: CodedTensorEntry = {
    name: fields.text('name', TENSOR_NAME),
    shape: [rows, columns],
    type: fields.oneOf('type', FLOAT_TYPES),
    bits,
    zeroPoint: fields.integer('zeroPoint', { min: 0, max: bits === 8 ? 255 : 15 }),
    step: parseStep(fields),
    ...parseSegmentFields(fields, cursor),
    entropyMicrobits: fields.integer('entropyMicrobits', { min: 0, max: bits * MILLION }),
    noiseTrillionths: fields.integer('noiseTrillionths', { min: 0, max: Number.MAX_SAFE_INTEGER }),
    ...parseCode(fields, sharedCode),
    ...parseChunks(fields, cursor),
  };
  checkSegments(entry, fields);
  const { segmentSizes } = entry;
  const steps = entry.step === null ? rows * BF16_BYTES : 0;
  if (!isCut({ sizes: entry.chunks.map((c) => c.sizeBytes), stepBytes: steps, segmentSizes })) {
    throw badHeader(fields.pathOf('chunks'), 'must cut the payload between steps or segments');
  }
  return entry;
}

function parseSegmentFields(
  fields: HeaderFields,
  cursor: PayloadCursor,
): Pick<CodedTensorEntry, 'segmentSymbols' | 'segmentSizes'> {
  const segmentSymbols = fields.integer('segmentSymbols', {
    min: 1,
    max: ARTIFACT_LIMITS.segmentSymbolsMax,
  });
  const sizes = fields.integers('segmentSizes', {
    min: 1,
    max: cursor.chunkSizeBytes,
    lengthMax: ARTIFACT_LIMITS.headerJsonBytes,
  });
  return { segmentSymbols, segmentSizes: Uint32Array.from(sizes) };
}

type TensorCode =
  | { readonly codec: 'huffman'; readonly codeLengths: Uint8Array }
  | { readonly codec: 'lanes'; readonly code: Uint8Array };

function parseCode(fields: HeaderFields, sharedCode: Uint8Array | null): TensorCode {
  const codec = fields.oneOf('codec', ['huffman', 'lanes']);
  if (codec === 'lanes') {
    const code = new Uint8Array(Buffer.from(fields.text('code', LANES_CODE), 'hex'));
    requireCode(fields, 'code', () => parseLaneCode(code));
    return { codec, code };
  }
  if (fields.raw('code') !== null) return { codec, codeLengths: parseCodeLengths(fields, 'code') };
  if (sharedCode !== null) return { codec, codeLengths: sharedCode };
  throw badHeader(fields.pathOf('code'), 'must not be null when the header has no sharedCode');
}

function parseShape(fields: HeaderFields): number[] {
  const shape = fields.integers('shape', {
    min: 1,
    max: ARTIFACT_LIMITS.tensorElements,
    lengthMax: ARTIFACT_LIMITS.tensorRank,
  });
  if (elementCount(shape) <= ARTIFACT_LIMITS.tensorElements) return shape;
  throw badHeader(fields.pathOf('shape'), `is over ${ARTIFACT_LIMITS.tensorElements} elements`);
}

function parseStep(fields: HeaderFields): number | null {
  if (fields.raw('step') === null) return null;
  const step = parseFloatBits(fields.text('step', /^[0-9a-f]{8}$/));
  if (Number.isFinite(step) && step !== 0) return step;
  throw badHeader(fields.pathOf('step'), 'must be finite and not zero');
}

function parseCodeLengths(fields: HeaderFields, key: string): Uint8Array {
  const lengths = parseHuffmanCode(fields.text(key, /^/));
  if (lengths === undefined) {
    throw badHeader(fields.pathOf(key), 'must be a first symbol and the lengths from it on');
  }
  requireCode(fields, key, () => assertCodeLengths(lengths));
  return lengths;
}

function requireCode(fields: HeaderFields, key: string, assert: () => unknown): void {
  try {
    assert();
  } catch (cause) {
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw badHeader(fields.pathOf(key), `must be a prefix code (${detail})`);
  }
}

/** A symbol takes at least one bit, so what a decoder allocates is at most 8 times the payload. */
function checkSegments(entry: CodedTensorEntry, fields: HeaderFields): void {
  const symbols = symbolCount(entry);
  const { segmentSymbols, segmentSizes } = entry;
  const count = Math.ceil(symbols / segmentSymbols);
  if (segmentSizes.length !== count) {
    throw badHeader(fields.pathOf('segmentSizes'), `must have ${count} entries`);
  }
  for (const [i, sizeBytes] of segmentSizes.entries()) {
    const held = i === count - 1 ? symbols - i * segmentSymbols : segmentSymbols;
    if (held > sizeBytes * 8) {
      throw badHeader(fields.pathOf(`segmentSizes/${i}`), `is too small for ${held} symbols`);
    }
  }
}

function parseChunks(
  fields: HeaderFields,
  cursor: PayloadCursor,
): { chunks: ChunkEntry[]; offset: number; payloadBytes: number } {
  const room = ARTIFACT_LIMITS.chunksPerArtifact - cursor.chunkCount;
  const offset = cursor.offset;
  const chunks = fields.array('chunks', room).map((value, i): ChunkEntry => {
    const path = `${fields.pathOf('chunks')}/${i}`;
    const chunk = new HeaderFields(value, { path, keys: ['sha256', 'sizeBytes'] });
    const sizeBytes = chunk.integer('sizeBytes', { min: 1, max: cursor.chunkSizeBytes });
    cursor.offset += sizeBytes;
    return { sha256: chunk.text('sha256', /^[0-9a-f]{64}$/), sizeBytes };
  });
  cursor.chunkCount += chunks.length;
  return { chunks, offset, payloadBytes: cursor.offset - offset };
}
