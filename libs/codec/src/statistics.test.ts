import { native } from '@entrofleet/native';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { entropyBits, sqnrDb } from './statistics.ts';

const counts = fc
  .array(fc.integer({ min: 0, max: 2 ** 40 }), { minLength: 1, maxLength: 256 })
  .map((values) => Float64Array.from(values));

describe('entropyBits', () => {
  it.each([
    ['nothing', [], 0],
    ['zeros', [0, 0], 0],
    ['one symbol', [0, 11_111, 0], 0],
    ['two equal symbols', [7, 7], 1],
    ['256 equal symbols', new Array<number>(256).fill(3), 8],
    ['halves of halves', [4, 2, 1, 1], 1.75],
  ])('of %s', (_, values, bits) => {
    expect(entropyBits(Float64Array.from(values))).toBeCloseTo(bits, 14);
  });

  it('is what the definition with Math.log2 gives', () => {
    fc.assert(
      fc.property(counts, (values) => {
        const total = values.reduce((sum, count) => sum + count, 0);
        const terms = values
          .filter((count) => count > 0)
          .map((n) => (n / total) * Math.log2(n / total));
        expect(entropyBits(values)).toBeCloseTo(-terms.reduce((sum, term) => sum + term, 0), 11);
      }),
    );
  });

  it('has the bits that the native quantizer reports', async () => {
    const samples = fc.array(fc.float({ noNaN: true, min: -1, max: 1 }), { maxLength: 2000 });
    await fc.assert(
      fc.asyncProperty(samples, async (values) => {
        const weights = new Uint8Array(Float32Array.from(values).buffer);
        const quantized = await native.quantizeAffine({
          weights,
          type: 'f32',
          bits: 8,
          threads: 1,
        });
        expect(quantized.entropyBitsPerWeight).toBe(entropyBits(quantized.histogram));
      }),
    );
  });
});

describe('sqnrDb', () => {
  it('is 20 for an error of a tenth', () => {
    expect(sqnrDb({ signal: 100, noise: 1 })).toBeCloseTo(20, 12);
  });

  it('is null without noise', () => {
    expect(sqnrDb({ signal: 1, noise: 0 })).toBeNull();
  });
});
