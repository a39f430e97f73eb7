import { describe, expect, it } from 'vitest';
import { encodeGgufHeader } from './gguf.header.ts';

/** Words of the format as ggml/docs/gguf.md states them, to be read beside it. */
function bytesOf(...parts: (string | { u32: number } | { u64: number } | { f32: number })[]) {
  return Buffer.concat(
    parts.map((part) => {
      if (typeof part === 'string') return Buffer.from(part, 'utf8');
      if ('u64' in part) return Buffer.from(BigUint64Array.of(BigInt(part.u64)).buffer);
      if ('u32' in part) return Buffer.from(Uint32Array.of(part.u32).buffer);
      return Buffer.from(Float32Array.of(part.f32).buffer);
    }),
  );
}

describe('encodeGgufHeader', () => {
  it('writes metadata and tensors as version 3 lays them out', () => {
    const { bytes, offsets, dataBytes } = encodeGgufHeader({
      metadata: [
        ['a', { string: 'ä' }],
        ['b', { uint32: 7 }],
        ['c', { float32: 0.5 }],
        ['d', { strings: ['x', ''] }],
        ['e', { int32s: [-1] }],
      ],
      tensors: [
        { name: 't', shape: [3, 5], type: 0, sizeBytes: 60 },
        { name: 'u', shape: [4], type: 8, sizeBytes: 16 },
      ],
    });
    const expected = bytesOf(
      ...['GGUF', { u32: 3 }, { u64: 2 }, { u64: 5 }],
      ...[{ u64: 1 }, 'a', { u32: 8 }, { u64: 2 }, 'ä'],
      ...[{ u64: 1 }, 'b', { u32: 4 }, { u32: 7 }],
      ...[{ u64: 1 }, 'c', { u32: 6 }, { f32: 0.5 }],
      ...[{ u64: 1 }, 'd', { u32: 9 }, { u32: 8 }, { u64: 2 }, { u64: 1 }, 'x', { u64: 0 }],
      ...[{ u64: 1 }, 'e', { u32: 9 }, { u32: 5 }, { u64: 1 }, { u32: 0xffffffff }],
      ...[{ u64: 1 }, 't', { u32: 2 }, { u64: 5 }, { u64: 3 }, { u32: 0 }, { u64: 0 }],
      ...[{ u64: 1 }, 'u', { u32: 1 }, { u64: 4 }, { u32: 8 }, { u64: 64 }],
    );
    expect(Buffer.from(bytes.subarray(0, expected.length))).toEqual(expected);
    expect(bytes.length).toBe(Math.ceil(expected.length / 32) * 32);
    expect(bytes.subarray(expected.length).every((byte) => byte === 0)).toBe(true);
    expect(offsets).toEqual([0, 64]);
    expect(dataBytes).toBe(96);
  });
});
