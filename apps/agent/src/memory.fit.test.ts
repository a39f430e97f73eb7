import { expect, it } from 'vitest';
import { referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { assertFits, modelBudgetBytes } from './memory.fit.ts';

const MIB = 1024 * 1024;
const sizes = { memoryBytes: 30 * MIB, kvCacheBytes: 10 * MIB };
const target = targetOf({ ...referenceOf('a'), sizeBytes: 31 * MIB }, sizes);

it('lets in what fits exactly, and anything where availability is unknown', () => {
  assertFits(target, 40 * MIB);
  assertFits(target, null);
});

it('refuses one byte less, with the arithmetic', () => {
  expect(() => assertFits(target, 40 * MIB - 1)).toThrow(
    expect.objectContaining({
      reason: 'DoesNotFit',
      message: expect.stringContaining('30.0 MiB of weights + 10.0 MiB of KV cache = 40.0 MiB'),
    }),
  );
});

it('lets in what fits entropy coded, about as large as its artifact', () => {
  const coded = targetOf({ ...referenceOf('a'), sizeBytes: 20 * MIB }, sizes);
  assertFits(coded, 30 * MIB);
  expect(() => assertFits(coded, 30 * MIB - 1)).toThrow('20.0 MiB of weights');
});

it('leaves JavaScript its part of what is available', () => {
  expect(modelBudgetBytes(100 * MIB)).toBe(68 * MIB);
  expect(modelBudgetBytes(MIB)).toBe(0);
  expect(modelBudgetBytes(null)).toBeUndefined();
});
