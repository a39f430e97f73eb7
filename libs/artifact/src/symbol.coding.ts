import { native } from '@entrofleet/native';
import type { CodedTensorEntry } from './artifact.header.ts';
import { huffmanCodeText } from './code.text.ts';
import { ARTIFACT_LIMITS } from './limits.ts';

/**
 * How coded symbols are laid out: `lanes` is fastest with wide vectors; `streams` is Huffman with
 * a code per tensor; `paper` is Huffman with one code for the model, as EntroLLM's figures show
 * it; `auto` is streams for EntroLLM's recipes, for others lanes where a matrix fills them.
 */
export const LAYOUTS = ['auto', 'lanes', 'streams', 'paper'] as const;
export type Layout = (typeof LAYOUTS)[number];

/** Request to stop, and segments done. */
const CONTROL_WORDS = 2;
/** Below this a tensor is too small to pay for the state of its lanes. */
const LANES_SYMBOLS_MIN = 64 * 1024;

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
  readonly payload: Uint8Array<ArrayBuffer>;
}

/**
 * Codes symbols so that every segment fits a chunk. Large segments pay less for what each begins
 * with, and how large one gets is known once it is coded; so the symbols are coded again in halved
 * segments while one exceeds a chunk.
 * @throws Error of the native codec.
 */
export function codeSymbols(symbols: Uint8Array, coding: SymbolCoding): Promise<CodedSymbols> {
  const { layout } = coding;
  const inLanes = layout === 'lanes' || (layout === 'auto' && symbols.length >= LANES_SYMBOLS_MIN);
  return inLanes ? codeLanes(symbols, coding) : codeStreams(symbols, coding);
}

function codeStreams(symbols: Uint8Array, coding: SymbolCoding): Promise<CodedSymbols> {
  const { sharedCode, threads } = coding;
  return codeFitting(coding, async (segmentSymbols) => {
    const given = sharedCode === null ? {} : { codeLengths: sharedCode };
    const coded = await native.encodeHuffman({ symbols, segmentSymbols, threads, ...given });
    const code = sharedCode === null ? huffmanCodeText(coded.codeLengths) : null;
    return { ...coded, codec: 'huffman', code };
  });
}

async function codeLanes(symbols: Uint8Array, coding: SymbolCoding): Promise<CodedSymbols> {
  const { threads } = coding;
  const coded = await codeFitting(coding, async (segmentSymbols) => {
    const lanes = await native.encodeLanes({ symbols, segmentSymbols, threads });
    return { ...lanes, codec: 'lanes', code: Buffer.from(lanes.code).toString('hex') };
  });
  // A lone symbol takes no bits in lanes, but readers bound what they allocate by the payload.
  return coded.payload.length * 8 < symbols.length ? codeStreams(symbols, coding) : coded;
}

async function codeFitting(
  { chunkSizeBytes }: SymbolCoding,
  codeIn: (segmentSymbols: number) => Promise<Omit<CodedSymbols, 'segmentSymbols'>>,
): Promise<CodedSymbols> {
  for (let segmentSymbols: number = ARTIFACT_LIMITS.segmentSymbolsDefault; ; segmentSymbols /= 2) {
    const { codec, code, segmentSizes, payload } = await codeIn(segmentSymbols);
    if (segmentSizes.every((sizeBytes) => sizeBytes <= chunkSizeBytes)) {
      return { codec, code, segmentSymbols, segmentSizes, payload };
    }
  }
}

/**
 * Decodes a coded tensor's segments into `output`, one byte a symbol.
 * @returns wall-clock seconds.
 * @throws Error of the native codec, with code `Cancelled` once the signal is aborted.
 */
export async function decodeSymbols(
  entry: CodedTensorEntry,
  run: {
    readonly payload: Uint8Array;
    readonly output: Uint8Array;
    readonly threads: number;
    readonly seed: number;
    readonly signal: AbortSignal | undefined;
  },
): Promise<number> {
  const { signal, ...given } = run;
  signal?.throwIfAborted();
  const { segmentSizes, segmentSymbols } = entry;
  const control = new Int32Array(CONTROL_WORDS);
  const coded = { ...given, segmentSizes, segmentSymbols, control };
  const symbolCount = run.output.length;
  const cancel = () => Atomics.store(control, 0, 1);
  signal?.addEventListener('abort', cancel, { once: true });
  try {
    return entry.codec === 'huffman'
      ? await native.decodeHuffman({ ...coded, symbolCount, codeLengths: entry.codeLengths })
      : await native.decodeLanes({ ...coded, symbolCount, code: entry.code });
  } finally {
    signal?.removeEventListener('abort', cancel);
  }
}
