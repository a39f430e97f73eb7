import { native } from '@entrofleet/native';
import type { CodedTensorEntry } from './artifact.header.ts';
import { huffmanCodeText } from './code.text.ts';
import { ARTIFACT_LIMITS } from './limits.ts';

/**
 * How coded symbols are laid out: `lanes` is fastest with wide vectors; `streams` is Huffman with
 * a code per tensor; `paper` is Huffman with one code for the model, as EntroLLM's figures show
 * it; `auto` takes lanes for matrices that fill them and streams for small ones.
 */
export const LAYOUTS = ['auto', 'lanes', 'streams', 'paper'] as const;
export type Layout = (typeof LAYOUTS)[number];

/** Below this a tensor is too small to pay for the state of its lanes. */
const LANES_SYMBOLS_MIN = 64 * 1024;
/** Sizes and rounding of the four streams of a segment, see libs/codec/SEGMENT.md. */
const STREAMS_OVERHEAD_BYTES = 16;
const HUFFMAN_BITS_MAX = 15;

export interface SymbolCoding {
  readonly layout: Layout;
  /** Code lengths for the whole model, for layout `paper`. */
  readonly sharedCode: Uint8Array | null;
  readonly chunkSizeBytes: number;
  readonly threads: number;
}

/** Coded symbols with what the header says of them. */
export interface CodedSymbols {
  readonly codec: 'huffman' | 'lanes';
  /** null: the model's shared code. */
  readonly code: string | null;
  readonly segmentSymbols: number;
  readonly segmentSizes: Uint32Array;
  readonly payload: Uint8Array;
}

/**
 * Codes symbols so that every segment fits a chunk.
 * @throws Error of the native codec.
 */
export function codeSymbols(symbols: Uint8Array, coding: SymbolCoding): Promise<CodedSymbols> {
  const { layout } = coding;
  const inLanes =
    layout === 'lanes' || (layout === 'auto' && symbols.length >= LANES_SYMBOLS_MIN);
  return inLanes ? codeLanes(symbols, coding) : codeStreams(symbols, coding);
}

async function codeStreams(symbols: Uint8Array, coding: SymbolCoding): Promise<CodedSymbols> {
  const { sharedCode, chunkSizeBytes, threads } = coding;
  const segmentSymbols = streamsSegmentSymbols(chunkSizeBytes);
  const given = sharedCode === null ? {} : { codeLengths: sharedCode };
  const coded = await native.encodeHuffman({ symbols, segmentSymbols, threads, ...given });
  const { payload, segmentSizes } = coded;
  const code = sharedCode === null ? huffmanCodeText(coded.codeLengths) : null;
  return { codec: 'huffman', code, segmentSymbols, segmentSizes, payload };
}

/** 64 Ki symbols, or the largest power of two of which even the longest words fit a chunk. */
function streamsSegmentSymbols(chunkSizeBytes: number): number {
  let symbols: number = ARTIFACT_LIMITS.streamsSegmentSymbols;
  while ((symbols * HUFFMAN_BITS_MAX) / 8 + STREAMS_OVERHEAD_BYTES > chunkSizeBytes) symbols /= 2;
  return symbols;
}

/**
 * Large segments pay less for the lanes' state, and how large one gets is known once it is coded;
 * so the symbols are coded again in halved segments while one exceeds a chunk.
 */
async function codeLanes(symbols: Uint8Array, coding: SymbolCoding): Promise<CodedSymbols> {
  const { chunkSizeBytes, threads } = coding;
  let segmentSymbols: number = ARTIFACT_LIMITS.lanesSegmentSymbols;
  for (;;) {
    const coded = await native.encodeLanes({ symbols, segmentSymbols, threads });
    const { payload, segmentSizes } = coded;
    // A lone symbol takes no bits in lanes, but readers bound what they allocate by the payload.
    if (payload.length * 8 < symbols.length) return codeStreams(symbols, coding);
    if (segmentSizes.every((sizeBytes) => sizeBytes <= chunkSizeBytes)) {
      const code = Buffer.from(coded.code).toString('hex');
      return { codec: 'lanes', code, segmentSymbols, segmentSizes, payload };
    }
    segmentSymbols /= 2;
  }
}

/**
 * Decodes a coded tensor's segments into `output`, one byte a symbol.
 * @returns wall-clock seconds.
 * @throws Error of the native codec.
 */
export function decodeSymbols(
  entry: CodedTensorEntry,
  run: { payload: Uint8Array; output: Uint8Array; threads: number; seed: number },
): Promise<number> {
  const { segmentSizes, segmentSymbols } = entry;
  const coded = { ...run, segmentSizes, segmentSymbols, symbolCount: run.output.length };
  return entry.codec === 'huffman'
    ? native.decodeHuffman({ ...coded, codeLengths: entry.codeLengths })
    : native.decodeLanes({ ...coded, code: entry.code });
}
