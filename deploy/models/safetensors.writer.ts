import type { FloatTensor } from './llama2c.weights.ts';

/**
 * Lays out a safetensors file of float32 tensors, sorted by name, its data aligned to 8 bytes
 * (https://github.com/huggingface/safetensors, section Format).
 * @returns the file's parts in order.
 */
export function safetensorsParts(tensors: readonly FloatTensor[]): Uint8Array[] {
  const sorted = [...tensors].sort((a, b) => (a.name < b.name ? -1 : 1));
  const header: Record<string, object> = { __metadata__: { format: 'pt' } };
  let offset = 0;
  for (const { name, shape, data } of sorted) {
    const end = offset + data.byteLength;
    header[name] = { dtype: 'F32', shape, data_offsets: [offset, end] };
    offset = end;
  }
  const text = JSON.stringify(header);
  const json = Buffer.from(text.padEnd(Math.ceil(text.length / 8) * 8));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  const data = sorted.map(({ data: { buffer, byteOffset, byteLength } }) => {
    return new Uint8Array(buffer, byteOffset, byteLength);
  });
  return [length, json, ...data];
}
