const SYMBOLS = 256;
/** First symbol, then lengths, each with the letter of its repetitions where there are some. */
const HUFFMAN_CODE = /^([0-9a-f]{2})((?:[0-9a-f][g-z]?)+)$/;
const FIRST_REPETITION_LETTER = 'g'.charCodeAt(0);
/** `g` stands for a length that is there twice, `z` for the most. */
const REPETITIONS_MAX = 'z'.charCodeAt(0) - FIRST_REPETITION_LETTER + 2;

/** A Huffman code as FORMAT.md spells it, from one length per byte value. */
export function huffmanCodeText(lengths: Uint8Array): string {
  const first = Math.max(
    0,
    lengths.findIndex((length) => length > 0),
  );
  const end = lengths.findLastIndex((length) => length > 0) + 1;
  const digits = Array.from(lengths.subarray(first, end), (length) => length.toString(16)).join('');
  const runs = digits.replace(/(.)\1+/g, (run, digit: string) => runText(digit, run.length));
  return first.toString(16).padStart(2, '0') + runs;
}

function runText(digit: string, count: number): string {
  const full = `${digit}z`.repeat(Math.floor(count / REPETITIONS_MAX));
  const rest = count % REPETITIONS_MAX;
  if (rest === 0) return full;
  if (rest === 1) return full + digit;
  return full + digit + String.fromCharCode(FIRST_REPETITION_LETTER + rest - 2);
}

/**
 * @returns one length per byte value, 0 when absent; undefined when the text is not how
 * {@link huffmanCodeText} spells lengths. They need not form a code.
 */
export function parseHuffmanCode(text: string): Uint8Array | undefined {
  const match = text.length <= 2 + SYMBOLS ? HUFFMAN_CODE.exec(text) : null;
  if (match === null) return undefined;
  const [, first = '', runs = ''] = match;
  const lengths = new Uint8Array(SYMBOLS);
  let symbol = Number.parseInt(first, 16);
  for (const [, digit = '', letter] of runs.matchAll(/([0-9a-f])([g-z]?)/g)) {
    const count = letter ? letter.charCodeAt(0) - FIRST_REPETITION_LETTER + 2 : 1;
    if (symbol + count > SYMBOLS) return undefined;
    lengths.fill(Number.parseInt(digit, 16), symbol, symbol + count);
    symbol += count;
  }
  return huffmanCodeText(lengths) === text ? lengths : undefined;
}
