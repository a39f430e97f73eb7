import { expect, it } from 'vitest';
import { encodePeakBytes } from './encode.memory.ts';

const tensor = (shape: readonly number[]) => {
  const weights = shape.reduce((product, n) => product * n, 1);
  return { name: 'a', type: 'bf16', shape, sizeBytes: 2 * weights } as const;
};

it('grows with the largest tensor alone', () => {
  const peak = (...shapes: number[][]) =>
    encodePeakBytes({ files: [], tensors: shapes.map(tensor) });
  const none = peak();
  expect(peak([1000, 1000]) - none).toBe(5e6);
  expect(peak([1000, 1000], [10], [1000, 999]) - none).toBe(5e6);
  expect(peak([1e6]) - none).toBe(6e6);
  expect(encodePeakBytes({ files: [{ sizeBytes: 4e6 }], tensors: [] }) - none).toBe(12e6);
});
