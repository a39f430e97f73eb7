import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { huffmanCodeText, parseHuffmanCode } from './code.text.ts';

describe('the text of a Huffman code', () => {
  it('names the first symbol and the lengths up to the last one', () => {
    const lengths = new Uint8Array(256);
    lengths.set([1, 0, 15, 2], 100);
    expect(huffmanCodeText(lengths)).toBe('6410f2');
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
    ['more than 256 lengths', `00${'1'.repeat(257)}`],
  ])('is refused with %s', (_, text) => {
    expect(parseHuffmanCode(text)).toBeUndefined();
  });
});
