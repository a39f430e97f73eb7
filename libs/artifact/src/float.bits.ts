const view = new DataView(new ArrayBuffer(4));

/** The IEEE 754 binary32 pattern of a float32 as 8 hexadecimal digits, most significant first. */
export function formatFloatBits(value: number): string {
  view.setFloat32(0, value);
  return view.getUint32(0).toString(16).padStart(8, '0');
}

/** Reads 8 hexadecimal digits back, see {@link formatFloatBits}. */
export function parseFloatBits(digits: string): number {
  view.setUint32(0, Number.parseInt(digits, 16));
  return view.getFloat32(0);
}

/**
 * Row steps as little-endian bf16.
 * @throws RangeError when a step is not exactly a bf16.
 */
export function bf16Bytes(values: Float32Array): Uint8Array {
  const bytes = new Uint8Array(values.length * 2);
  for (const [i, value] of values.entries()) {
    view.setFloat32(0, value);
    if (view.getUint16(2) !== 0) throw new RangeError(`row step ${value} is no bf16`);
    bytes[2 * i] = view.getUint8(1);
    bytes[2 * i + 1] = view.getUint8(0);
  }
  return bytes;
}

/** Reads little-endian bf16 values back. */
export function parseBf16(bytes: Uint8Array): Float32Array {
  const words = new Uint32Array(bytes.length >> 1);
  for (let i = 0; i < words.length; i++) {
    words[i] = (((bytes[2 * i + 1] ?? 0) << 24) | ((bytes[2 * i] ?? 0) << 16)) >>> 0;
  }
  return new Float32Array(words.buffer);
}
