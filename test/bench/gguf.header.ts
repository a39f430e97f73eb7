/** The header of a GGUF file, version 3 (ggml/docs/gguf.md). */
export interface GgufHeader {
  readonly metadata: readonly (readonly [key: string, value: GgufValue])[];
  readonly tensors: readonly GgufTensor[];
}

export type GgufValue =
  | { readonly uint32: number }
  | { readonly float32: number }
  | { readonly string: string }
  | { readonly strings: readonly string[] }
  | { readonly float32s: readonly number[] }
  | { readonly int32s: readonly number[] };

export interface GgufTensor {
  readonly name: string;
  /** Outermost first, as safetensors states them; the file has them the other way round. */
  readonly shape: readonly number[];
  /** enum ggml_type. */
  readonly type: number;
  readonly sizeBytes: number;
}

const MAGIC = 'GGUF';
const VERSION = 3;
export const GGUF_ALIGNMENT = 32;
const TYPE = { uint32: 4, int32: 5, float32: 6, string: 8, array: 9 } as const;

/**
 * @returns the bytes before the first tensor's, padded, and where each tensor begins after them;
 * tensors are padded with zeros up to the next one's place, the last one to `dataBytes`.
 */
export function encodeGgufHeader({ metadata, tensors }: GgufHeader): {
  bytes: Uint8Array;
  offsets: readonly number[];
  dataBytes: number;
} {
  const offsets: number[] = [];
  let dataBytes = 0;
  for (const { sizeBytes } of tensors) {
    offsets.push(dataBytes);
    dataBytes = aligned(dataBytes + sizeBytes);
  }
  const parts = [
    Buffer.from(MAGIC, 'latin1'),
    uint32(VERSION),
    uint64(tensors.length),
    uint64(metadata.length),
    ...metadata.flatMap(([key, value]) => [text(key), ...encodeValue(value)]),
    ...tensors.flatMap(({ name, shape, type }, i) => [
      text(name),
      uint32(shape.length),
      ...shape.toReversed().map(uint64),
      uint32(type),
      uint64(offsets[i] ?? 0),
    ]),
  ];
  const header = Buffer.concat(parts);
  const bytes = Buffer.concat([header], aligned(header.length));
  return { bytes, offsets, dataBytes };
}

function encodeValue(value: GgufValue): Buffer[] {
  if ('uint32' in value) return [uint32(TYPE.uint32), uint32(value.uint32)];
  if ('float32' in value) return [uint32(TYPE.float32), float32(value.float32)];
  if ('string' in value) return [uint32(TYPE.string), text(value.string)];
  if ('strings' in value) return array(TYPE.string, value.strings.map(text));
  if ('float32s' in value) return array(TYPE.float32, value.float32s.map(float32));
  return array(TYPE.int32, value.int32s.map(int32));
}

function array(type: number, items: readonly Buffer[]): Buffer[] {
  return [uint32(TYPE.array), uint32(type), uint64(items.length), ...items];
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([uint64(bytes.length), bytes]);
}

function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32LE(value);
  return bytes;
}

function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value);
  return bytes;
}

function float32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return bytes;
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

function aligned(size: number): number {
  return Math.ceil(size / GGUF_ALIGNMENT) * GGUF_ALIGNMENT;
}
