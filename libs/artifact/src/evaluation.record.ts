import { type FileHandle, open } from 'node:fs/promises';
import { ArtifactError } from './artifact.error.ts';
import { isJsonObject } from './bounded.json.ts';
import { canonicalJson } from './canonical.json.ts';
import { sha256Now } from './chunk.hash.ts';
import { badHeader, HeaderFields } from './header.fields.ts';
import { readAt } from './positional.read.ts';

/** What was measured of an artifact, appended to its file (FORMAT.md, section Evaluation). */
export interface EvaluationRecord {
  /** Id of the artifact. */
  readonly artifact: string;
  readonly perplexity: number;
  readonly sourcePerplexity: number;
  /** Where the tokens came from. */
  readonly origin: string;
  readonly rows: number;
  /** Predicted tokens. */
  readonly tokens: number;
  /** Of the canonical JSON of the rows: a list of lists of ids. */
  readonly tokensSha256: string;
}

const MAGIC = Buffer.from('\x89EFEVA\r\n', 'latin1');
const SIZE_BYTES = 4;
const HASH_BYTES = 32;
const JSON_BYTES_MAX = 64 * 1024;
const FRAME_BYTES = MAGIC.length + SIZE_BYTES + HASH_BYTES;
const KEYS = [
  'artifact',
  'origin',
  'perplexity',
  'rows',
  'sourcePerplexity',
  'tokens',
  'tokensSha256',
] as const;

const EVALUATION_BYTES_MAX = FRAME_BYTES + JSON_BYTES_MAX;

/** @returns the bytes that follow the payload. */
export function formatEvaluation(record: EvaluationRecord): Uint8Array {
  const json = Buffer.from(canonicalJson(record));
  if (json.length > JSON_BYTES_MAX) {
    throw new ArtifactError('BadArgument', `an evaluation has at most ${JSON_BYTES_MAX} bytes`);
  }
  const size = Buffer.alloc(SIZE_BYTES);
  size.writeUInt32LE(json.length);
  const framed = Buffer.concat([MAGIC, size, json]);
  return Buffer.concat([framed, Buffer.from(sha256Now(framed), 'hex')]);
}

/**
 * @param bytes all that follows the payload of the artifact with this id.
 * @returns undefined when they are no undamaged evaluation of it.
 */
export function parseEvaluation(bytes: Uint8Array, artifact: string): EvaluationRecord | undefined {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const jsonBytes = buffer.length - FRAME_BYTES;
  if (jsonBytes < 0 || jsonBytes > JSON_BYTES_MAX) return undefined;
  if (!buffer.subarray(0, MAGIC.length).equals(MAGIC)) return undefined;
  if (buffer.readUInt32LE(MAGIC.length) !== jsonBytes) return undefined;
  const framed = buffer.subarray(0, -HASH_BYTES);
  if (sha256Now(framed) !== buffer.subarray(-HASH_BYTES).toString('hex')) return undefined;
  try {
    const record = recordOf(JSON.parse(framed.toString('utf8', MAGIC.length + SIZE_BYTES)));
    return record.artifact === artifact ? record : undefined;
  } catch (error) {
    // Whoever wrote the record hashed something else.
    if (error instanceof ArtifactError || error instanceof SyntaxError) return undefined;
    throw error;
  }
}

function recordOf(json: unknown): EvaluationRecord {
  if (!isJsonObject(json)) throw badHeader('', 'must be an object');
  const fields = new HeaderFields(json, { path: '', keys: KEYS });
  const count = { min: 1, max: Number.MAX_SAFE_INTEGER };
  return {
    artifact: fields.text('artifact', /^[0-9a-f]{64}$/),
    perplexity: perplexityOf(fields, 'perplexity'),
    sourcePerplexity: perplexityOf(fields, 'sourcePerplexity'),
    origin: fields.text('origin', /^.{1,4096}$/s),
    rows: fields.integer('rows', count),
    tokens: fields.integer('tokens', count),
    tokensSha256: fields.text('tokensSha256', /^[0-9a-f]{64}$/),
  };
}

function perplexityOf(fields: HeaderFields, key: string): number {
  const value = fields.raw(key);
  if (typeof value === 'number' && Number.isFinite(value) && value >= 1) return value;
  throw badHeader(fields.pathOf(key), 'must be a number from 1 up');
}

/**
 * Puts the record behind an artifact's payload, in place of one that is there. One write of a few
 * hundred bytes: the payload is not copied.
 * @throws ArtifactError `WriteFailed`.
 */
export async function writeEvaluation(
  path: string,
  options: { readonly payloadEnd: number; readonly record: EvaluationRecord },
): Promise<void> {
  let handle: FileHandle | undefined;
  try {
    handle = await open(path, 'r+');
    await handle.truncate(options.payloadEnd);
    const bytes = formatEvaluation(options.record);
    await handle.write(bytes, 0, bytes.length, options.payloadEnd);
    await handle.sync();
  } catch (cause) {
    if (cause instanceof ArtifactError) throw cause;
    const detail = cause instanceof Error ? cause.message : String(cause);
    throw new ArtifactError('WriteFailed', `cannot add the evaluation to ${path}: ${detail}`, {
      cause,
    });
  } finally {
    await handle?.close();
  }
}

/** @returns what follows the payload, or undefined when there is more than any record takes. */
export async function readTrailer(
  handle: FileHandle,
  range: { readonly payloadEnd: number; readonly fileEnd: number },
): Promise<Uint8Array | undefined> {
  const sizeBytes = range.fileEnd - range.payloadEnd;
  if (sizeBytes > EVALUATION_BYTES_MAX) return undefined;
  const bytes = new Uint8Array(sizeBytes);
  const got = await readAt(handle, bytes, range.payloadEnd);
  return bytes.subarray(0, got);
}
