/**
 * Bytes of ggml's tensor types (ggml-common.h, ggml-quants.c: quantize_row_q8_0_ref and
 * quantize_row_q4_0_ref), so that llama.cpp runs the very weights that we do.
 */
export interface GgmlEncoding {
  /** Its number in enum ggml_type. */
  readonly type: number;
  readonly blockWeights: number;
  readonly blockBytes: number;
  /** Writes whole blocks. `output` holds `weights.length / blockWeights` of them. */
  readonly encode: (weights: Float32Array, output: Uint8Array) => void;
}

const BLOCK = 32;
const float = new Float32Array(1);
const bits = new Uint32Array(float.buffer);

/** To the nearest float16, ties to even; too large a value becomes infinite. */
export function halfBits(value: number): number {
  float[0] = value;
  const word = bits[0] ?? 0;
  const sign = (word >>> 16) & 0x8000;
  const magnitude = word & 0x7fffffff;
  if (magnitude >= 0x47800000) return sign | (magnitude > 0x7f800000 ? 0x7e00 : 0x7c00);
  if (magnitude < 0x38800000) {
    // A subnormal float16 counts units of 2^-24.
    float[0] = Math.abs(value) * 2 ** 24;
    return sign | tiesToEven(float[0]);
  }
  return sign | ((magnitude - 0x38000000 + 0xfff + ((magnitude >>> 13) & 1)) >>> 13);
}

function tiesToEven(value: number): number {
  const rounded = Math.round(value);
  return value % 1 === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

function setHalf(output: Uint8Array, at: number, value: number): void {
  const half = halfBits(value);
  output[at] = half & 0xff;
  output[at + 1] = half >>> 8;
}

export const F32: GgmlEncoding = {
  type: 0,
  blockWeights: 1,
  blockBytes: 4,
  encode(weights, output) {
    output.set(new Uint8Array(weights.buffer, weights.byteOffset, weights.byteLength));
  },
};

export const F16: GgmlEncoding = {
  type: 1,
  blockWeights: 1,
  blockBytes: 2,
  encode(weights, output) {
    for (let i = 0; i < weights.length; i++) setHalf(output, 2 * i, weights[i] ?? 0);
  },
};

/** A float16 scale, then 16 bytes: weight i in the low nibble of byte i, 16 + i in its high one. */
export const Q4_0: GgmlEncoding = {
  type: 2,
  blockWeights: BLOCK,
  blockBytes: 18,
  encode(weights, output) {
    for (let begin = 0, at = 0; begin < weights.length; begin += BLOCK, at += 18) {
      const scale = Math.fround(extreme(weights, begin) / -8);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      setHalf(output, at, scale);
      for (let i = 0; i < BLOCK / 2; i++) {
        const low = nibble(weights[begin + i] ?? 0, inverse);
        const high = nibble(weights[begin + BLOCK / 2 + i] ?? 0, inverse);
        output[at + 2 + i] = low | (high << 4);
      }
    }
  },
};

function nibble(weight: number, inverse: number): number {
  return Math.min(15, Math.fround(Math.fround(weight * inverse) + 8.5) | 0);
}

/** A float16 scale, then a signed byte a weight. */
export const Q8_0: GgmlEncoding = {
  type: 8,
  blockWeights: BLOCK,
  blockBytes: 34,
  encode(weights, output) {
    for (let begin = 0, at = 0; begin < weights.length; begin += BLOCK, at += 34) {
      const scale = Math.fround(Math.abs(extreme(weights, begin)) / 127);
      const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
      setHalf(output, at, scale);
      for (let i = 0; i < BLOCK; i++) {
        const level = Math.fround((weights[begin + i] ?? 0) * inverse);
        // roundf takes halves away from zero; adding a half in double precision is exact.
        output[at + 2 + i] = level < 0 ? -((0.5 - level) | 0) : (level + 0.5) | 0;
      }
    }
  },
};

/** Of the block from `begin` on: the value of largest magnitude, the first of them, with its sign. */
function extreme(weights: Float32Array, begin: number): number {
  let most = 0;
  for (let i = begin; i < begin + BLOCK; i++) {
    const weight = weights[i] ?? 0;
    if (Math.abs(weight) > Math.abs(most)) most = weight;
  }
  return most;
}

export const ENCODINGS = { F32, F16, Q8_0, Q4_0 } as const;
export type EncodingName = keyof typeof ENCODINGS;
