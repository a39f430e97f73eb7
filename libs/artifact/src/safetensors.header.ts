import type { FloatType } from '@entrofleet/native';
import { isJsonObject, JsonRejected, parseBoundedJson } from './bounded.json.ts';
import { CheckpointError } from './checkpoint.error.ts';
import { ARTIFACT_LIMITS, CHECKPOINT_LIMITS } from './limits.ts';

/** Where a tensor lies in its file. */
export interface SafetensorsEntry {
  readonly name: string;
  readonly type: FloatType;
  readonly shape: readonly number[];
  /** From the start of the file. */
  readonly offset: number;
  readonly sizeBytes: number;
}

/** Bytes of the u64 length in front of the JSON header. */
export const SAFETENSORS_PREFIX_BYTES = 8;

const TYPES: Readonly<Record<string, FloatType>> = { F32: 'f32', F16: 'f16', BF16: 'bf16' };
const ELEMENT_BYTES: Readonly<Record<FloatType, number>> = { f32: 4, f16: 2, bf16: 2 };

/** Bytes of one element. */
export function elementBytes(type: FloatType): number {
  return ELEMENT_BYTES[type];
}

/**
 * Reads the JSON length in the first eight bytes.
 * @throws CheckpointError `BadSafetensors` when it cannot be true of a file of this size.
 */
export function safetensorsHeaderLength(
  prefix: Uint8Array,
  file: { name: string; sizeBytes: number },
): number {
  const fail = (detail: string) => {
    throw new CheckpointError(
      'BadSafetensors',
      `${file.name} is no safetensors file: ${detail}; download or export the file again`,
    );
  };
  if (prefix.length < SAFETENSORS_PREFIX_BYTES) fail(`it has only ${file.sizeBytes} bytes`);
  const view = new DataView(prefix.buffer, prefix.byteOffset, prefix.byteLength);
  const length = view.getBigUint64(0, true);
  if (length > BigInt(CHECKPOINT_LIMITS.safetensorsHeaderBytes)) {
    fail(`its header length ${length} is over ${CHECKPOINT_LIMITS.safetensorsHeaderBytes} bytes`);
  }
  if (Number(length) + SAFETENSORS_PREFIX_BYTES > file.sizeBytes) {
    fail(`its header length ${length} reaches past the end of the file (${file.sizeBytes} bytes)`);
  }
  return Number(length);
}

/**
 * Parses the JSON header (https://github.com/huggingface/safetensors, section Format). Tensors
 * must cover the rest of the file exactly, without overlap or hole, as the format demands.
 * @returns entries in file order.
 * @throws CheckpointError `BadSafetensors`, `UnsupportedType`, `TooLarge`.
 */
export function parseSafetensorsHeader(
  json: Uint8Array,
  file: { name: string; sizeBytes: number },
): SafetensorsEntry[] {
  const header = parseJson(json, file.name);
  const names = Object.keys(header).filter((name) => name !== '__metadata__');
  if (names.length > CHECKPOINT_LIMITS.tensors) {
    throw new CheckpointError(
      'TooLarge',
      `${file.name} has ${names.length} tensors; at most ${CHECKPOINT_LIMITS.tensors} are read`,
    );
  }
  const dataOffset = SAFETENSORS_PREFIX_BYTES + json.length;
  const entries = names
    .map((name) => parseEntry(name, header[name], { file: file.name, dataOffset }))
    .sort((a, b) => a.offset - b.offset);
  checkTiling(entries, file, dataOffset);
  return entries;
}

function parseJson(json: Uint8Array, file: string): Record<string, unknown> {
  try {
    const header = parseBoundedJson(json, {
      depth: CHECKPOINT_LIMITS.safetensorsDepth,
      values: CHECKPOINT_LIMITS.jsonValues,
    });
    if (isJsonObject(header)) return header;
    throw new JsonRejected('is no JSON object');
  } catch (cause) {
    if (!(cause instanceof JsonRejected)) throw cause;
    throw new CheckpointError(
      'BadSafetensors',
      `the header of ${file} ${cause.message}; download or export the file again`,
      { cause },
    );
  }
}

function parseEntry(
  name: string,
  value: unknown,
  where: { file: string; dataOffset: number },
): SafetensorsEntry {
  const bad = (detail: string) =>
    new CheckpointError(
      'BadSafetensors',
      `tensor "${name.slice(0, 200)}" in ${where.file} ${detail}; export the file again`,
    );
  if (name.length === 0 || name.length > ARTIFACT_LIMITS.tensorNameLength) {
    throw bad(`has a name of ${name.length} characters (1 to ${ARTIFACT_LIMITS.tensorNameLength})`);
  }
  if (!name.isWellFormed()) throw bad('has a name that is not Unicode text');
  if (!isJsonObject(value)) throw bad('has no description object');
  const { dtype, shape, data_offsets: range } = value;
  if (typeof dtype !== 'string') throw bad('has no dtype');
  const type = Object.hasOwn(TYPES, dtype) ? TYPES[dtype] : undefined;
  if (type === undefined) {
    throw new CheckpointError(
      'UnsupportedType',
      `tensor "${name}" in ${where.file} has dtype ${dtype.slice(0, 40)}; supported are F32, F16 ` +
        'and BF16: convert the checkpoint, or remove the tensor when the model does not need it',
    );
  }
  const sides = countList(shape, ARTIFACT_LIMITS.tensorRank);
  if (sides === undefined || sides.includes(0)) {
    throw bad(`has shape ${show(shape)}, not up to ${ARTIFACT_LIMITS.tensorRank} positive sizes`);
  }
  const elements = sides.reduce((product, side) => product * side, 1);
  if (elements > ARTIFACT_LIMITS.tensorElements) {
    throw new CheckpointError(
      'TooLarge',
      `tensor "${name}" in ${where.file} has ${elements} elements; at most ` +
        `${ARTIFACT_LIMITS.tensorElements} are read`,
    );
  }
  const [begin, end, ...rest] = countList(range, 2) ?? [];
  if (begin === undefined || end === undefined || rest.length > 0 || end < begin) {
    throw bad(`has data_offsets ${show(range)}, not [begin, end]`);
  }
  const sizeBytes = elements * ELEMENT_BYTES[type];
  if (end - begin !== sizeBytes) {
    throw bad(`has ${end - begin} bytes, but shape ${show(shape)} of ${dtype} needs ${sizeBytes}`);
  }
  return { name, type, shape: sides, offset: where.dataOffset + begin, sizeBytes };
}

function countList(value: unknown, lengthMax: number): number[] | undefined {
  if (!Array.isArray(value) || value.length > lengthMax) return undefined;
  const isCount = (item: unknown): item is number =>
    Number.isSafeInteger(item) && Number(item) >= 0;
  return value.every(isCount) ? value : undefined;
}

function show(value: unknown): string {
  return (JSON.stringify(value) ?? 'nothing').slice(0, 80);
}

function checkTiling(
  entries: readonly SafetensorsEntry[],
  file: { name: string; sizeBytes: number },
  dataOffset: number,
): void {
  let position = dataOffset;
  let previous = 'the header';
  for (const entry of entries) {
    const end = entry.offset + entry.sizeBytes;
    if (end > file.sizeBytes) {
      throw new CheckpointError(
        'BadSafetensors',
        `tensor "${entry.name}" ends at byte ${end} of ${file.name}, which has only ` +
          `${file.sizeBytes}: the file is truncated; download it again`,
      );
    }
    if (entry.offset !== position) {
      const problem = entry.offset < position ? 'overlaps' : 'leaves a hole after';
      throw new CheckpointError(
        'BadSafetensors',
        `tensor "${entry.name}" ${problem} ${previous} in ${file.name}; export the file again`,
      );
    }
    position = end;
    previous = `tensor "${entry.name}"`;
  }
  if (position !== file.sizeBytes) {
    throw new CheckpointError(
      'BadSafetensors',
      `${file.name} has ${file.sizeBytes - position} bytes after its last tensor; ` +
        'export the file again',
    );
  }
}
