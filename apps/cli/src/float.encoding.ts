import { CliError } from './cli.error.ts';

export const FLOAT_TYPES = ['f32', 'bf16', 'f16'] as const;
export type OutputType = (typeof FLOAT_TYPES)[number];

export const BYTES_OF_TYPE: Readonly<Record<OutputType, number>> = { f32: 4, bf16: 2, f16: 2 };
const INFINITY_BITS = { bf16: 0x7f80, f16: 0x7c00 } as const;

/**
 * Little-endian bytes of the values, each rounded to nearest, ties to even (IEEE 754).
 * @throws CliError `OutOfRange` when a value is beyond the type's range.
 */
export function floatBytes(values: Float32Array, type: OutputType): Uint8Array {
  const words = new Uint32Array(values.buffer, values.byteOffset, values.length);
  if (type === 'f32') return new Uint8Array(words.buffer, words.byteOffset, words.byteLength);
  const round = type === 'bf16' ? toBf16 : toHalf;
  const halves = new Uint16Array(words.length);
  for (let i = 0; i < words.length; i++) {
    const half = round(words[i] ?? 0);
    if ((half & 0x7fff) >= INFINITY_BITS[type]) {
      throw new CliError('OutOfRange', `the weight ${values[i]} is beyond ${type}; use --type f32`);
    }
    halves[i] = half;
  }
  return new Uint8Array(halves.buffer);
}

function toBf16(word: number): number {
  return (word + 0x7fff + ((word >>> 16) & 1)) >>> 16;
}

function toHalf(word: number): number {
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | INFINITY_BITS.f16;
  // Below 2^-14 a half has a fixed step of 2^-24.
  if (magnitude < 0x38800000) return sign | roundToEven(floatOf(magnitude) * 2 ** 24);
  const rebiased = magnitude - 0x38000000;
  return sign | ((rebiased + 0xfff + ((rebiased >>> 13) & 1)) >>> 13);
}

const scratch = new DataView(new ArrayBuffer(4));

function floatOf(word: number): number {
  scratch.setUint32(0, word);
  return scratch.getFloat32(0);
}

function roundToEven(value: number): number {
  const floor = Math.floor(value);
  const rest = value - floor;
  if (rest !== 0.5) return Math.round(value);
  return floor + (floor % 2);
}
