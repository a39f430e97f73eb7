import { type FileHandle, open, rm } from 'node:fs/promises';
import { ArtifactError } from './artifact.error.ts';
import { isJsonObject } from './bounded.json.ts';
import { sha256Now } from './chunk.hash.ts';
import { type EncodingPlan, planIdentity, requirePlanned } from './encoding.plan.ts';
import { encodeGroup, type GroupContent, type GroupWork } from './group.encoder.ts';
import { PartialFile, removeAbandoned } from './partial.file.ts';
import { readAt } from './positional.read.ts';

/*
 * A part file: payload of one group; JSON of what it is (which group of which plan, and
 * the header entries with the hash of every chunk); trailer: magic, payload size as 64-bit
 * little-endian, SHA-256 of the JSON. The JSON vouches for the payload, the trailer for the JSON.
 */
const MAGIC = Buffer.from('EFPART1\n');
const HASH_BYTES = 32;
const TRAILER_BYTES = MAGIC.length + 8 + HASH_BYTES;
const JSON_BYTES_MAX = 1024 ** 3;

/** Which part of which artifact a file is. */
export interface PartPlace {
  readonly plan: EncodingPlan;
  /** Index in the plan's groups. */
  readonly index: number;
  readonly path: string;
}

/**
 * Encodes one group into a part file. It is complete and durable under its path, or not there.
 * The memory in use is bounded by `plan.peakMemoryBytes`, see {@link encodePeakBytes}.
 * @throws CheckpointError `SourceChanged` when the source is not as it was planned, and others;
 *   ArtifactError; RangeError for an index that the plan does not have; the signal's reason.
 */
export async function encodePart(
  index: number,
  work: GroupWork & { readonly path: string },
): Promise<void> {
  const { plan, checkpoint, path } = work;
  const group = plan.groups[index];
  if (group === undefined) throw new RangeError(`the plan has no group ${index}`);
  requirePlanned(checkpoint, plan);
  await removeAbandoned(path);
  const file = await PartialFile.create(path);
  try {
    const content = await encodeGroup(group, work, file);
    const payloadBytes = file.sizeBytes;
    const json = Buffer.from(JSON.stringify({ ...placeOf({ plan, index }), content }));
    await file.append(json);
    await file.append(trailer(payloadBytes, json));
    await checkpoint.requireUnchanged();
    await file.publish();
  } finally {
    await file.discard();
  }
}

/** An open part whose content is known; its payload is checked when it is read. */
export class PartFile {
  readonly content: GroupContent;
  readonly #path: string;
  readonly #handle: FileHandle;

  private constructor(path: string, handle: FileHandle, content: GroupContent) {
    this.#path = path;
    this.#handle = handle;
    this.content = content;
  }

  /**
   * @returns `undefined` when no part stands there, or a torn or damaged one, or another one.
   * @throws ArtifactError `ReadFailed`.
   */
  static async open(place: PartPlace): Promise<PartFile | undefined> {
    const { path } = place;
    let handle: FileHandle | undefined;
    try {
      handle = await open(path, 'r');
      const content = await readContent(handle, place);
      if (content !== undefined) return new PartFile(path, handle, content);
      await handle.close();
      return undefined;
    } catch (cause) {
      await handle?.close().catch(() => undefined);
      if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return undefined;
      const detail = cause instanceof Error ? cause.message : String(cause);
      const message = `cannot read ${path}: ${detail}; check permissions and the disk`;
      throw new ArtifactError('ReadFailed', message, { cause });
    }
  }

  async read(target: Uint8Array, offset: number): Promise<number> {
    return readAt(this.#handle, target, offset);
  }

  /** Takes a part whose payload proved damaged out of the way, so that it is encoded again. */
  async reject(): Promise<ArtifactError> {
    await rm(this.#path, { force: true });
    const message = `${this.#path} is damaged and was removed; encode it again`;
    return new ArtifactError('BadPart', message);
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** True when a part stands there that this plan can use. @throws ArtifactError `ReadFailed`. */
export async function hasPart(place: PartPlace): Promise<boolean> {
  const part = await PartFile.open(place);
  await part?.close();
  return part !== undefined;
}

function placeOf({ plan, index }: Pick<PartPlace, 'plan' | 'index'>) {
  return { plan: planIdentity(plan), index };
}

function trailer(payloadBytes: number, json: Uint8Array): Buffer {
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(payloadBytes));
  return Buffer.concat([MAGIC, size, Buffer.from(sha256Now(json), 'hex')]);
}

async function readContent(
  handle: FileHandle,
  place: PartPlace,
): Promise<GroupContent | undefined> {
  const { size } = await handle.stat();
  if (size < TRAILER_BYTES) return undefined;
  const end = Buffer.alloc(TRAILER_BYTES);
  await readAt(handle, end, size - TRAILER_BYTES);
  const payloadBytes = Number(end.readBigUInt64LE(MAGIC.length));
  const jsonBytes = size - TRAILER_BYTES - payloadBytes;
  if (jsonBytes < 2 || jsonBytes > JSON_BYTES_MAX) return undefined;
  const json = Buffer.alloc(jsonBytes);
  await readAt(handle, json, payloadBytes);
  if (!end.equals(trailer(payloadBytes, json))) return undefined;
  return contentOf(JSON.parse(json.toString()), place, payloadBytes);
}

/** The JSON has its hash, so this code wrote it; it may still belong somewhere else. */
function contentOf(
  value: unknown,
  place: PartPlace,
  payloadBytes: number,
): GroupContent | undefined {
  const { plan, index } = placeOf(place);
  if (!isJsonObject(value) || value.plan !== plan || value.index !== index) return undefined;
  if (!isContent(value.content)) return undefined;
  return chunkSizes(value.content) === payloadBytes ? value.content : undefined;
}

function isContent(value: unknown): value is GroupContent {
  return isJsonObject(value) && Array.isArray(value.files) && Array.isArray(value.tensors);
}

function chunkSizes({ files, tensors }: GroupContent): number {
  const entries = [...files, ...tensors.map((tensor) => tensor.json)];
  return entries.flatMap(({ chunks }) => chunks).reduce((sum, chunk) => sum + chunk.sizeBytes, 0);
}
