import { CodecError } from './codec.error.ts';

/** Longest code word, in bits. */
export const CODE_LENGTH_MAX = 15;

const SYMBOLS = 256;

/**
 * Checks that `lengths` (one per byte value, 0 for absent) form a complete prefix code: the Kraft
 * sum is exactly one. A lone symbol has length 1.
 * @throws CodecError `BadCodeTable`
 */
export function assertCodeLengths(lengths: Uint8Array): void {
  if (lengths.length !== SYMBOLS) {
    throw new CodecError('BadCodeTable', `a code table has ${SYMBOLS} lengths`);
  }
  const used = lengths.filter((length) => length > 0);
  const tooLong = used.find((length) => length > CODE_LENGTH_MAX);
  if (tooLong !== undefined) {
    throw new CodecError(
      'BadCodeTable',
      `a code word of ${tooLong} bits is longer than the ${CODE_LENGTH_MAX} allowed`,
    );
  }
  const kraft = used.reduce((sum, length) => sum + 2 ** (CODE_LENGTH_MAX - length), 0);
  const wanted = 2 ** (used.length === 1 ? CODE_LENGTH_MAX - 1 : CODE_LENGTH_MAX);
  if (kraft !== wanted) {
    throw new CodecError('BadCodeTable', 'the code lengths do not form a complete prefix code');
  }
}

/**
 * Canonical code words (RFC 1951, section 3.2.2): shorter ones first, equal lengths in the order
 * of symbols. The first bit sent is the word's most significant one.
 */
export function canonicalWords(lengths: Uint8Array): Uint16Array {
  const words = new Uint16Array(lengths.length);
  let next = 0;
  for (let length = 1; length <= CODE_LENGTH_MAX; length++) {
    lengths.forEach((own, symbol) => {
      if (own === length) words[symbol] = next++;
    });
    next *= 2;
  }
  return words;
}
