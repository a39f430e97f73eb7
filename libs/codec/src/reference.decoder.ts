import { assertCodeLengths, CODE_LENGTH_MAX, canonicalWords } from './code.lengths.ts';
import { CodecError } from './codec.error.ts';

const STREAMS = 4;
const HEADER_BYTES = 4 * (STREAMS - 1);

export interface CodedSegments {
  /** Segments one after the other, no gaps. */
  readonly payload: Uint8Array;
  readonly segmentSizes: Uint32Array;
  readonly segmentSymbols: number;
  readonly symbolCount: number;
  readonly codeLengths: Uint8Array;
}

/**
 * Decodes segments bit by bit, as SEGMENT.md describes them. Slow and plain: the yardstick for the
 * native decoder.
 * @throws CodecError `BadCodeTable`, `CorruptSegment` or `BadArgument`
 */
export function referenceDecodeHuffman(coded: CodedSegments): Uint8Array {
  if (coded.symbolCount === 0) return new Uint8Array(0);
  assertCodeLengths(coded.codeLengths);
  const segments = Math.ceil(coded.symbolCount / coded.segmentSymbols);
  const totalBytes = coded.segmentSizes.reduce((sum, size) => sum + size, 0);
  if (segments !== coded.segmentSizes.length || totalBytes !== coded.payload.length) {
    throw new CodecError('BadArgument', 'segment sizes do not fit the payload or symbol count');
  }
  const symbolOf = symbolsByWord(coded.codeLengths);
  const symbols = new Uint8Array(coded.symbolCount);
  let offset = 0;
  coded.segmentSizes.forEach((size, index) => {
    const first = index * coded.segmentSymbols;
    const run = symbols.subarray(first, first + coded.segmentSymbols);
    if (!decodeSegment(coded.payload.subarray(offset, offset + size), symbolOf, run)) {
      throw new CodecError('CorruptSegment', `segment ${index} is corrupt`);
    }
    offset += size;
  });
  return symbols;
}

/** Key: a one bit followed by the code word, so that leading zeros count. */
function symbolsByWord(lengths: Uint8Array): Map<number, number> {
  const words = canonicalWords(lengths);
  const symbolOf = new Map<number, number>();
  lengths.forEach((length, symbol) => {
    if (length > 0) symbolOf.set(2 ** length + (words[symbol] ?? 0), symbol);
  });
  return symbolOf;
}

function decodeSegment(
  segment: Uint8Array,
  symbolOf: ReadonlyMap<number, number>,
  symbols: Uint8Array,
): boolean {
  if (segment.length < HEADER_BYTES) return false;
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  const runLength = Math.ceil(symbols.length / STREAMS);
  let at = HEADER_BYTES;
  for (let k = 0; k < STREAMS; k++) {
    const size = k + 1 < STREAMS ? view.getUint32(4 * k, true) : segment.length - at;
    if (size > segment.length - at) return false;
    const run = symbols.subarray(k * runLength, (k + 1) * runLength);
    if (!decodeStream(segment.subarray(at, at + size), symbolOf, run)) return false;
    at += size;
  }
  return true;
}

function decodeStream(
  stream: Uint8Array,
  symbolOf: ReadonlyMap<number, number>,
  symbols: Uint8Array,
): boolean {
  let bit = 0;
  const nextBit = () => ((stream[bit >> 3] ?? 0) >> (bit++ & 7)) & 1;
  for (let i = 0; i < symbols.length; i++) {
    let word = 1;
    let symbol: number | undefined;
    for (let length = 0; symbol === undefined && length < CODE_LENGTH_MAX; length++) {
      word = 2 * word + nextBit();
      symbol = symbolOf.get(word);
    }
    if (symbol === undefined || bit > 8 * stream.length) return false;
    symbols[i] = symbol;
  }
  if (Math.ceil(bit / 8) !== stream.length) return false;
  while (bit < 8 * stream.length) if (nextBit() !== 0) return false;
  return true;
}
