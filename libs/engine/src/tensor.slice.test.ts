import fc from 'fast-check';
import { expect, it } from 'vitest';
import { sliceRows } from './tensor.slice.ts';

function nibbles(packed: Uint8Array, count: number): number[] {
  return Array.from({ length: count }, (_, i) => ((packed[i >> 1] ?? 0) >> (4 * (i & 1))) & 15);
}

it('takes the rows of 4-bit tensors wherever they start', () => {
  const shape = fc.record({
    rows: fc.integer({ min: 1, max: 6 }),
    columns: fc.integer({ min: 1, max: 7 }),
    first: fc.nat(5),
    count: fc.integer({ min: 1, max: 6 }),
    symbols: fc.uint8Array({ minLength: 21, maxLength: 21 }),
  });
  fc.assert(
    fc.property(shape, ({ rows, columns, first, count, symbols }) => {
      fc.pre(first + count <= rows);
      const steps = Float32Array.from({ length: rows }, (_, i) => i + 1);
      const whole = { format: 'u4', rows, columns, symbols, zeroPoint: 3, steps } as const;
      const part = sliceRows(whole, first, count);
      if (part.format !== 'u4') throw new Error('the format changed');
      expect(nibbles(part.symbols, count * columns)).toEqual(
        nibbles(symbols, rows * columns).slice(first * columns, (first + count) * columns),
      );
      expect(part).toMatchObject({ rows: count, columns, zeroPoint: 3 });
      expect(part.steps).toEqual(steps.subarray(first, first + count));
    }),
  );
});

it('shares the memory of f32 and u8 tensors', () => {
  const data = Float32Array.of(1, 2, 3, 4, 5, 6);
  const part = sliceRows({ format: 'f32', rows: 3, columns: 2, data }, 1, 2);
  expect(part).toMatchObject({ rows: 2, data: Float32Array.of(3, 4, 5, 6) });
  const symbols = Uint8Array.of(1, 2, 3, 4);
  const steps = Float32Array.of(0.5);
  const source = { format: 'u8', rows: 2, columns: 2, symbols, zeroPoint: 1, steps } as const;
  const row = sliceRows(source, 1, 1);
  expect(row).toMatchObject({ symbols: Uint8Array.of(3, 4), steps, zeroPoint: 1 });
  if (row.format !== 'u8') throw new Error('the format changed');
  expect(row.symbols.buffer).toBe(symbols.buffer);
});
