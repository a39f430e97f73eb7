import { expect, it } from 'vitest';
import { referenceOf, targetOf } from '../../../test/fixtures/update.values.ts';
import { assertFits } from './memory.fit.ts';

const MIB = 1024 * 1024;
const target = targetOf(referenceOf('a'), { memoryBytes: 30 * MIB, kvCacheBytes: 10 * MIB });

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
