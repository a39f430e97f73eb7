import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { cutCoded, cutEvenly, isCut } from './chunk.cutter.ts';

const sum = (sizes: readonly number[]) => sizes.reduce((total, size) => total + size, 0);

const payloads = fc
  .record({
    rows: fc.nat(60),
    segments: fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 1, maxLength: 40 }),
    chunkSizeBytes: fc.integer({ min: 40, max: 100 }),
  })
  .map(({ rows, segments, chunkSizeBytes }) => ({
    stepBytes: rows * 2,
    segmentSizes: Uint32Array.from(segments),
    chunkSizeBytes,
  }));

describe('chunks of a coded payload', () => {
  it('tile it at steps and segments, each within its size, none that could join the next', () => {
    fc.assert(
      fc.property(payloads, (payload) => {
        const { stepBytes, segmentSizes, chunkSizeBytes } = payload;
        const sizes = cutCoded(payload);
        expect(sum(sizes)).toBe(stepBytes + sum([...segmentSizes]));
        expect(Math.max(...sizes)).toBeLessThanOrEqual(chunkSizeBytes);
        expect(Math.min(...sizes)).toBeGreaterThan(0);
        expect(isCut({ sizes, stepBytes, segmentSizes })).toBe(true);
        for (let i = 1; i < sizes.length; i++) {
          expect((sizes[i - 1] ?? 0) + (sizes[i] ?? 0)).toBeGreaterThan(chunkSizeBytes / 2);
        }
      }),
    );
  });

  it('are recognised only when no cut is within a step or a segment', () => {
    const segmentSizes = Uint32Array.of(5, 5, 7);
    const check = (...sizes: number[]) => isCut({ sizes, stepBytes: 6, segmentSizes });
    expect(check(23)).toBe(true);
    expect(check(6, 17)).toBe(true);
    expect(check(4, 7, 12)).toBe(true);
    expect(check(11, 5, 7)).toBe(true);
    expect(check(3, 20)).toBe(false);
    expect(check(8, 15)).toBe(false);
    expect(check(6, 6, 11)).toBe(false);
    expect(check(16)).toBe(false);
    expect(check(23, 1)).toBe(false);
    expect(check()).toBe(false);
  });

  it('cannot be made when a segment is larger', () => {
    const segmentSizes = Uint32Array.of(41);
    expect(() => cutCoded({ stepBytes: 0, segmentSizes, chunkSizeBytes: 40 })).toThrow(RangeError);
  });

  it('of plain bytes are full but for the last', () => {
    expect(cutEvenly(10, { unitBytes: 1, chunkSizeBytes: 4 })).toEqual([4, 4, 2]);
    expect(cutEvenly(12, { unitBytes: 4, chunkSizeBytes: 7 })).toEqual([4, 4, 4]);
    expect(cutEvenly(0, { unitBytes: 4, chunkSizeBytes: 7 })).toEqual([]);
  });
});
