import { expect, test } from 'vitest';
import { floatBytes } from './float.encoding.ts';

const halves = (values: number[], type: 'bf16' | 'f16'): number[] => {
  const bytes = floatBytes(Float32Array.from(values), type);
  return [...new Uint16Array(bytes.buffer, bytes.byteOffset, values.length)];
};

test('f16: exact values, ties to even, subnormals, the largest', () => {
  const values = [0, -0, 1, -2, 65504, 2 ** -24, 2 ** -25, 3 * 2 ** -25, 2 ** -14, 1 + 2 ** -11];
  expect(halves(values, 'f16')).toEqual([
    0, 0x8000, 0x3c00, 0xc000, 0x7bff, 1, 0, 2, 0x0400, 0x3c00,
  ]);
});

test('bf16: the upper half of the word, ties to even', () => {
  expect(halves([1, -1, 1 + 2 ** -8, 1 + 3 * 2 ** -8], 'bf16')).toEqual([
    0x3f80, 0xbf80, 0x3f80, 0x3f82,
  ]);
});

test('a value that would become infinite is refused', () => {
  expect(() => halves([65520], 'f16')).toThrow(/65520 is beyond f16/);
  expect(() => halves([3.4e38], 'bf16')).toThrow(/beyond bf16/);
});
