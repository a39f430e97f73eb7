const SYMBOLS = 256;
/** First symbol, then the length of each code word from it to the last symbol present. */
const HUFFMAN_CODE = /^[0-9a-f]{2}[1-9a-f](?:[0-9a-f]{0,254}[1-9a-f])?$/;

/** A Huffman code as FORMAT.md spells it, from one length per byte value. */
export function huffmanCodeText(lengths: Uint8Array): string {
  const first = Math.max(
    0,
    lengths.findIndex((length) => length > 0),
  );
  const end = lengths.findLastIndex((length) => length > 0) + 1;
  const digits = Array.from(lengths.subarray(first, end), (length) => length.toString(16));
  return first.toString(16).padStart(2, '0') + digits.join('');
}

/**
 * @returns one length per byte value, 0 when absent; undefined when the text spells no lengths.
 * They need not form a code.
 */
export function parseHuffmanCode(text: string): Uint8Array | undefined {
  if (!HUFFMAN_CODE.test(text)) return undefined;
  const first = Number.parseInt(text.slice(0, 2), 16);
  const digits = text.slice(2);
  if (first + digits.length > SYMBOLS) return undefined;
  const lengths = new Uint8Array(SYMBOLS);
  lengths.set(
    Array.from(digits, (digit) => Number.parseInt(digit, 16)),
    first,
  );
  return lengths;
}
