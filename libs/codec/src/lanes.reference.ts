import { CodecError } from './codec.error.ts';
import { type LaneCode, PREFIX_BITS, parseLaneCode } from './lanes.code.ts';

const LANES = 64;
const GROUPS = 2;
const BLOCK = LANES * GROUPS;
const HEADER_BYTES = BLOCK / 2 + 4;
const WORD_BITS = 16;

export interface LaneSegments {
  /** Segments one after the other, no gaps. */
  readonly payload: Uint8Array;
  readonly segmentSizes: Uint32Array;
  readonly segmentSymbols: number;
  readonly symbolCount: number;
  /** In the byte form of LANES.md. */
  readonly code: Uint8Array;
}

/**
 * Decodes segments lane by lane and bit by bit, as LANES.md describes them. Slow and plain: the
 * yardstick for the native decoders.
 * @throws CodecError `BadCodeTable`, `CorruptSegment` or `BadArgument`
 */
export function referenceDecodeLanes(coded: LaneSegments): Uint8Array {
  const segments = Math.ceil(coded.symbolCount / coded.segmentSymbols);
  const totalBytes = coded.segmentSizes.reduce((sum, size) => sum + size, 0);
  if (segments !== coded.segmentSizes.length || totalBytes !== coded.payload.length) {
    throw new CodecError('BadArgument', 'segment sizes do not fit the payload or symbol count');
  }
  const code = parseLaneCode(coded.code);
  const symbols = new Uint8Array(coded.symbolCount);
  let offset = 0;
  coded.segmentSizes.forEach((size, index) => {
    const first = index * coded.segmentSymbols;
    const count = Math.min(coded.segmentSymbols, coded.symbolCount - first);
    const segment = coded.payload.subarray(offset, offset + size);
    const decoded = decodeSegment(segment, code, Math.ceil(count / BLOCK));
    const padding = decoded?.subarray(count);
    if (decoded === undefined || padding?.some((symbol) => symbol !== code.symbols[0])) {
      throw new CodecError('CorruptSegment', `segment ${index} is corrupt`);
    }
    symbols.set(decoded.subarray(0, count), first);
    offset += size;
  });
  return symbols;
}

/** All blocks' symbols, or undefined when the segment is corrupt. */
function decodeSegment(
  segment: Uint8Array,
  code: LaneCode,
  blocks: number,
): Uint8Array | undefined {
  if (segment.length < HEADER_BYTES || segment.length % 2 !== 0) return undefined;
  const view = new DataView(segment.buffer, segment.byteOffset, segment.byteLength);
  const words = Array.from({ length: (segment.length - HEADER_BYTES) / 2 }, (_, i) =>
    view.getUint16(HEADER_BYTES + 2 * i, true),
  );
  const inFirst = view.getUint32(HEADER_BYTES - 4, true);
  if (inFirst > words.length) return undefined;
  const symbols = new Uint8Array(blocks * BLOCK);
  for (let group = 0; group < GROUPS; group++) {
    const stream = group === 0 ? words.slice(0, inFirst) : words.slice(inFirst);
    if (stream.at(-1) === 0) return undefined;
    const positions = segment.subarray(group * (LANES / 2), (group + 1) * (LANES / 2));
    const lanes = new LaneGroup(stream, positions);
    for (let block = 0; block < blocks; block++) {
      const at = block * BLOCK + group * LANES;
      lanes.decodeBlock(code, symbols.subarray(at, at + LANES));
    }
    if (!lanes.endedWell()) return undefined;
  }
  return symbols;
}

interface Lane {
  readonly index: number;
  words: [number, number, number];
  position: number;
}

class LaneGroup {
  private readonly lanes: Lane[];
  private readonly stream: readonly number[];
  private wordsRead = 0;

  /** `positions` has two lanes a byte, the even one low. */
  constructor(stream: readonly number[], positions: Uint8Array) {
    this.stream = stream;
    const even = Array.from({ length: LANES / 2 }, (_, i) => 2 * i);
    const order = [...even, ...even.map((index) => index + 1)];
    this.lanes = order.map((index) => {
      const pair = positions[index >> 1] ?? 0;
      return { index, words: [0, 0, 0], position: index % 2 === 0 ? pair & 15 : pair >> 4 };
    });
    for (const word of [0, 1, 2] as const) {
      for (const lane of this.lanes) lane.words[word] = this.nextWord();
    }
  }

  decodeBlock(code: LaneCode, symbols: Uint8Array): void {
    for (const lane of this.lanes) symbols[lane.index] = this.decodeSymbol(code, lane);
  }

  endedWell(): boolean {
    return (
      this.wordsRead >= this.stream.length &&
      this.lanes.every((lane) => lane.position === 0 && lane.words.every((word) => word === 0))
    );
  }

  private nextWord(): number {
    return this.stream[this.wordsRead++] ?? 0;
  }

  private decodeSymbol(code: LaneCode, lane: Lane): number {
    const bitAt = (offset: number) => {
      const bit = lane.position + offset;
      return ((lane.words[bit < WORD_BITS ? 0 : 1] ?? 0) >> (bit % WORD_BITS)) & 1;
    };
    let prefix = 0;
    for (let i = 0; i < PREFIX_BITS; i++) prefix = 2 * prefix + bitAt(i);
    const item = code.items[prefix] ?? { length: 0, firstRank: 0 };
    let payload = 0;
    for (let i = PREFIX_BITS; i < item.length; i++) payload += bitAt(i) << (i - PREFIX_BITS);
    lane.position += item.length;
    if (lane.position >= WORD_BITS) {
      lane.position -= WORD_BITS;
      lane.words = [lane.words[1], lane.words[2], this.nextWord()];
    }
    return code.symbols[(item.firstRank + payload) % 256] ?? 0;
  }
}
