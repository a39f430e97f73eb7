import { CodecError } from './codec.error.ts';

/** Bits of a code word that tell its length, payload and first rank. */
export const PREFIX_BITS = 6;

const PREFIXES = 2 ** PREFIX_BITS;
const RANKS = 256;
const LENGTH_MAX = 14;
const ZIGZAG_FORM = 0;
const LISTED_FORM = 1;
const LISTED_BYTES = 1 + RANKS / 2;

/** What a prefix means: the code word's length and the rank of payload 0. */
export interface LaneItem {
  readonly length: number;
  readonly firstRank: number;
}

export interface LaneCode {
  /** Item of each prefix of 6 bits, the first bit most significant. */
  readonly items: readonly LaneItem[];
  /** Symbol of each of the 256 ranks. */
  readonly symbols: Uint8Array;
}

/**
 * Reads a code in the byte form of LANES.md.
 * @throws CodecError `BadCodeTable`
 */
export function parseLaneCode(bytes: Uint8Array): LaneCode {
  if (bytes[0] === ZIGZAG_FORM) return zigzagCode(bytes);
  if (bytes[0] === LISTED_FORM) return listedCode(bytes);
  throw badCode('has an unknown form');
}

function badCode(why: string): CodecError {
  return new CodecError('BadCodeTable', `the lane code ${why}`);
}

const nibblesOf = (bytes: Uint8Array) => [...bytes].flatMap((byte) => [byte & 15, byte >> 4]);
const prefixLength = (length: number) => Math.min(length, PREFIX_BITS);
const shareOf = (length: number) => 2 ** -prefixLength(length);
const ranksOf = (length: number) => 2 ** Math.max(length - PREFIX_BITS, 0);

function zigzagCode(bytes: Uint8Array): LaneCode {
  const [, centre = 0] = bytes;
  const symbols = Uint8Array.from({ length: RANKS }, (_, rank) => {
    const distance = Math.ceil(rank / 2);
    return centre + (rank % 2 === 0 ? distance : -distance);
  });
  const nibbles = nibblesOf(bytes.subarray(2));
  const lengths: number[] = [];
  let share = 0;
  while (share < 1) {
    const length = nibbles[lengths.length];
    if (length === undefined) throw badCode('is incomplete');
    lengths.push(length);
    share += shareOf(length);
  }
  const surplus = nibbles.slice(lengths.length);
  if (surplus.length > 1) throw badCode('goes on after its last item');
  if (surplus.some((nibble) => nibble !== 0)) throw badCode('has padding that is not zero');
  return { items: assignPrefixes(lengths), symbols };
}

function listedCode(bytes: Uint8Array): LaneCode {
  if (bytes.length !== LISTED_BYTES) throw badCode('does not list 256 lengths');
  const lengthOf = nibblesOf(bytes.subarray(1));
  const listed = [...lengthOf.keys()].filter((symbol) => lengthOf[symbol] !== 0);
  const order = listed.sort((a, b) => (lengthOf[a] ?? 0) - (lengthOf[b] ?? 0) || a - b);
  const lengths: number[] = [];
  for (let first = 0; first < order.length; ) {
    const length = lengthOf[order[first] ?? 0] ?? 0;
    lengths.push(length);
    const next = first + ranksOf(length);
    const isFull = order.slice(first, next).every((symbol) => lengthOf[symbol] === length);
    if (!isFull || (next > order.length && order.length < RANKS)) {
      throw badCode('has an item that is not full');
    }
    first = next;
  }
  const symbols = new Uint8Array(RANKS);
  symbols.set(order);
  return { items: assignPrefixes(lengths), symbols };
}

function assignPrefixes(lengths: readonly number[]): LaneItem[] {
  const inOrder: LaneItem[] = [];
  let rank = 0;
  for (const length of lengths) {
    if (length > LENGTH_MAX) throw badCode('has a code word of over 14 bits');
    if (rank >= RANKS) throw badCode('has more code words than there are symbols');
    inOrder.push({ length, firstRank: rank });
    rank += ranksOf(length);
  }
  if (lengths.reduce((sum, length) => sum + shareOf(length), 0) !== 1) {
    throw badCode('is not complete');
  }
  return inOrder
    .sort((a, b) => prefixLength(a.length) - prefixLength(b.length) || a.firstRank - b.firstRank)
    .flatMap((item) => Array<LaneItem>(PREFIXES * shareOf(item.length)).fill(item));
}
