import { describe, expect, it } from 'vitest';
import { normals } from '../fixtures/tiny.checkpoint.ts';
import * as blocks from './ggml.blocks.ts';
import { F16, F32, type GgmlEncoding, halfBits, Q4_0, Q8_0 } from './ggml.encoding.ts';

function encoded(encoding: GgmlEncoding, weights: Float32Array): Uint8Array {
  const blockCount = weights.length / encoding.blockWeights;
  const output = new Uint8Array(blockCount * encoding.blockBytes);
  encoding.encode(weights, output);
  return output;
}

function halfValue(low: number, high: number): number {
  const word = low | (high << 8);
  const exponent = (word >> 10) & 31;
  const fraction = (word & 1023) / 1024;
  const magnitude = exponent === 0 ? fraction * 2 ** -14 : (1 + fraction) * 2 ** (exponent - 15);
  return word >> 15 === 1 ? -magnitude : magnitude;
}

/** Heavy tails at scales from 2^-20 to 2^4, with a block of zeros. */
function sampleWeights(): Float32Array {
  const normal = normals(7);
  return Float32Array.from({ length: 32 * 400 }, (_, i) => {
    const block = Math.floor(i / 32);
    return block === 17 ? 0 : normal() ** 3 * 2 ** ((block % 24) - 20);
  });
}

function rounded(format: blocks.BlockFormat, weights: Float32Array): Float32Array {
  const kept = weights.slice();
  for (let i = 0; i < kept.length; i += 32) format.round(kept.subarray(i, i + 32));
  return kept;
}

describe('halfBits', () => {
  it.each([
    [0, 0x0000],
    [-0, 0x8000],
    [1, 0x3c00],
    [-2, 0xc000],
    [65504, 0x7bff],
    [65519.99, 0x7bff],
    [65520, 0x7c00],
    [Number.POSITIVE_INFINITY, 0x7c00],
    [2 ** -14, 0x0400],
    [2 ** -24, 0x0001],
    [2 ** -25, 0x0000],
    [3 * 2 ** -25, 0x0002],
    [2 ** -14 - 2 ** -25, 0x0400],
    [1 + 2 ** -11, 0x3c00],
    [1 + 3 * 2 ** -11, 0x3c02],
  ])('rounds %d to the nearest float16, ties to even', (value, expected) => {
    expect(halfBits(value)).toBe(expected);
  });
});

describe('float32 and float16', () => {
  it('are little-endian, weight by weight', () => {
    expect([...encoded(F32, Float32Array.of(1, -2))]).toEqual([0, 0, 0x80, 0x3f, 0, 0, 0, 0xc0]);
    expect([...encoded(F16, Float32Array.of(1, -2))]).toEqual([0, 0x3c, 0, 0xc0]);
  });
});

describe('Q8_0', () => {
  it('has a float16 scale of the greatest over 127, then a signed byte a weight', () => {
    const weights = Float32Array.from({ length: 32 }, (_, i) => i - 16);
    weights[0] = -127;
    const bytes = encoded(Q8_0, weights);
    expect([...bytes.subarray(0, 2)]).toEqual([0x00, 0x3c]);
    expect([...new Int8Array(bytes.buffer, 2)]).toEqual([...weights]);
  });

  it('takes halves away from zero', () => {
    const weights = new Float32Array(32);
    weights.set([127, 2.5, -2.5, 0.5, -0.5]);
    const bytes = encoded(Q8_0, weights);
    expect([...new Int8Array(bytes.buffer, 2, 5)]).toEqual([127, 3, -3, 1, -1]);
  });

  it('reads back as what quality is measured on', () => {
    const weights = sampleWeights();
    const bytes = encoded(Q8_0, weights);
    const levels = new Int8Array(bytes.buffer);
    const kept = Float32Array.from(weights, (_, i) => {
      const at = Math.floor(i / 32) * 34;
      return halfValue(bytes[at] ?? 0, bytes[at + 1] ?? 0) * (levels[at + 2 + (i % 32)] ?? 0);
    });
    // Adding zero makes the two zeros one.
    expect(kept.map((weight) => weight + 0)).toEqual(
      rounded(blocks.Q8_0, weights).map((weight) => weight + 0),
    );
  });
});

describe('Q4_0', () => {
  it('has the extreme at level 0, weight i in a low nibble and 16 + i in the high one', () => {
    const weights = Float32Array.from({ length: 32 }, (_, i) => (i % 16) - 8);
    const bytes = encoded(Q4_0, weights);
    expect([...bytes.subarray(0, 2)]).toEqual([0x00, 0x3c]);
    expect([...bytes.subarray(2)]).toEqual(Array.from({ length: 16 }, (_, i) => i | (i << 4)));
  });

  it('reads back as what quality is measured on', () => {
    const weights = sampleWeights();
    const bytes = encoded(Q4_0, weights);
    const kept = Float32Array.from(weights, (_, i) => {
      const at = Math.floor(i / 32) * 18;
      const pair = bytes[at + 2 + (i % 16)] ?? 0;
      const level = i % 32 < 16 ? pair & 15 : pair >> 4;
      return halfValue(bytes[at] ?? 0, bytes[at + 1] ?? 0) * (level - 8);
    });
    expect(kept.map((weight) => weight + 0)).toEqual(
      rounded(blocks.Q4_0, weights).map((weight) => weight + 0),
    );
  });
});
