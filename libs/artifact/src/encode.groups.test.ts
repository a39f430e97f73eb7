import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { groupItems } from './encode.groups.ts';

const named = (kind: string, sizes: readonly number[]) =>
  sizes.map((sizeBytes, i) => ({ name: `${kind}${i}`, sizeBytes }));

describe('groupItems', () => {
  it('packs files, then tensors, as long as they fit', () => {
    const source = { files: named('f', [3, 4]), tensors: named('t', [3, 10, 11, 2, 8]) };
    expect(groupItems(source, 10)).toEqual([
      { files: ['f0', 'f1'], tensors: ['t0'], sizeBytes: 10 },
      { files: [], tensors: ['t1'], sizeBytes: 10 },
      { files: [], tensors: ['t2'], sizeBytes: 11 },
      { files: [], tensors: ['t3', 't4'], sizeBytes: 10 },
    ]);
  });

  it('keeps the order, loses nothing, and exceeds the bound only for a single item', () => {
    const sizes = fc.array(fc.nat(50));
    fc.assert(
      fc.property(sizes, sizes, fc.integer({ min: 1, max: 100 }), (files, tensors, bound) => {
        const source = { files: named('f', files), tensors: named('t', tensors) };
        const groups = groupItems(source, bound);
        expect(groups.flatMap((g) => [...g.files, ...g.tensors])).toEqual(
          [...source.files, ...source.tensors].map(({ name }) => name),
        );
        const sizeOf = new Map(
          [...source.files, ...source.tensors].map((i) => [i.name, i.sizeBytes]),
        );
        for (const group of groups) {
          const names = [...group.files, ...group.tensors];
          const sum = names.reduce((total, name) => total + (sizeOf.get(name) ?? 0), 0);
          expect(group.sizeBytes).toBe(sum);
          expect(names.length).toBeGreaterThan(0);
          if (names.length > 1) expect(sum).toBeLessThanOrEqual(bound);
        }
      }),
    );
  });
});
