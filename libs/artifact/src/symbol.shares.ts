import { type LaneCode, PREFIX_BITS, parseLaneCode } from '@entrofleet/codec';
import type { CodedTensorEntry } from './artifact.header.ts';

const SYMBOLS = 256;

/**
 * How often each of the 256 byte values of a tensor occurs, as the lengths of its code words say:
 * a good code gives a symbol of share p a word of about -log2 p bits.
 * @returns 256 numbers that sum to 1.
 */
export function symbolShares(entry: CodedTensorEntry): Float64Array {
  const shares =
    entry.codec === 'huffman'
      ? Float64Array.from(entry.codeLengths, (length) => (length === 0 ? 0 : 2 ** -length))
      : laneShares(parseLaneCode(entry.code));
  const sum = shares.reduce((total, share) => total + share, 0);
  return shares.map((share) => share / sum);
}

/** A prefix stands for one rank, or for several that share what it has. */
function laneShares(code: LaneCode): Float64Array {
  const shares = new Float64Array(SYMBOLS);
  for (const { length, firstRank } of code.items) {
    const ranks = 2 ** Math.max(length - PREFIX_BITS, 0);
    for (let rank = firstRank; rank < Math.min(firstRank + ranks, SYMBOLS); rank++) {
      const symbol = code.symbols[rank] ?? 0;
      shares[symbol] = (shares[symbol] ?? 0) + 2 ** -PREFIX_BITS / ranks;
    }
  }
  return shares;
}
