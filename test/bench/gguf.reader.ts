import { readFile } from 'node:fs/promises';
import { ENCODINGS } from './ggml.encoding.ts';
import { GGUF_ALIGNMENT, type GgufTensor } from './gguf.header.ts';

const STRING = 8;
const ARRAY = 9;
/** Bytes of a value by its type's number; strings and arrays tell theirs. */
const VALUE_BYTES = [1, 1, 2, 2, 4, 4, 4, 1, 0, 0, 8, 8, 8];

/** The tensors of a small GGUF file, whoever wrote it; its metadata is skipped. */
export async function readGgufTensors(
  path: string,
): Promise<(GgufTensor & { readonly bytes: Uint8Array })[]> {
  const file = await readFile(path);
  let at = 8;
  const skip = (size: number) => {
    at += size;
    return at - size;
  };
  const uint32 = () => file.readUInt32LE(skip(4));
  const uint64 = () => Number(file.readBigUInt64LE(skip(8)));
  const text = () => {
    const begin = skip(uint64());
    return file.toString('utf8', begin, at);
  };
  const skipValue = (type: number) => {
    if (type === STRING) text();
    else if (type === ARRAY) {
      const itemType = uint32();
      const count = uint64();
      for (let i = 0; i < count; i++) skipValue(itemType);
    } else skip(VALUE_BYTES[type] ?? 0);
  };
  const tensorCount = uint64();
  const valueCount = uint64();
  for (let i = 0; i < valueCount; i++) {
    text();
    skipValue(uint32());
  }
  const infos = Array.from({ length: tensorCount }, () => {
    const name = text();
    const shape = Array.from({ length: uint32() }, uint64).reverse();
    return { name, shape, type: uint32(), offset: uint64() };
  });
  const begin = Math.ceil(at / GGUF_ALIGNMENT) * GGUF_ALIGNMENT;
  return infos.map(({ offset, ...info }) => {
    const sizeBytes = sizeOf(info);
    return { ...info, sizeBytes, bytes: file.subarray(begin + offset, begin + offset + sizeBytes) };
  });
}

function sizeOf({ name, shape, type }: Pick<GgufTensor, 'name' | 'shape' | 'type'>): number {
  const encoding = Object.values(ENCODINGS).find((known) => known.type === type);
  if (encoding === undefined) throw new Error(`${name} has type ${type}, which is not known here`);
  const weights = shape.reduce((product, n) => product * n, 1);
  return (weights / encoding.blockWeights) * encoding.blockBytes;
}
