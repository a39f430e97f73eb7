import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { huffmanCodeText, parseHuffmanCode } from './code.text.ts';

describe('the text of a Huffman code', () => {
  it('names the first symbol and the lengths up to the last one', () => {
    const lengths = new Uint8Array(256);
    lengths.set([1, 0, 15, 2], 100);
    expect(huffmanCodeText(lengths)).toBe('6410f2');
  });

  it('has a letter for how often a length is repeated', () => {
    const lengths = new Uint8Array(256);
    lengths.set([3, 3, 4, 5, 5, 5], 16);
    expect(huffmanCodeText(lengths)).toBe('103g45h');
    expect(huffmanCodeText(new Uint8Array(256).fill(8))).toBe(`00${'8z'.repeat(12)}8i`);
  });

  it('gives the lengths back', () => {
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 1, maxLength: 100, max: 15 }),
        fc.nat({ max: 156 }),
        (some, first) => {
          fc.pre(some.some((length) => length > 0));
          const lengths = new Uint8Array(256);
          lengths.set(some, first);
          expect(parseHuffmanCode(huffmanCodeText(lengths))).toEqual(lengths);
        },
      ),
    );
  });

  it.each([
    ['no lengths', '64'],
    ['a first symbol that is absent', '6401'],
    ['a last symbol that is absent', '6410'],
    ['symbols past 255', 'ff11'],
    ['capital digits', '641F'],
    ['more than 256 lengths', `00${'8z'.repeat(12)}8j`],
    ['a run that could be shorter', '1033'],
    ['a run in two', '103g3'],
    ['a repetition without a length', '10g3'],
  ])('is refused with %s', (_, text) => {
    expect(parseHuffmanCode(text)).toBeUndefined();
  });
});
