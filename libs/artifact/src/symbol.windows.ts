import { native } from '@entrofleet/native';
import type { ArtifactFile } from './artifact.file.ts';
import { type CodedTensorEntry, stepBytes, symbolCount } from './artifact.header.ts';
import { decodeSymbols } from './symbol.coding.ts';

/** Symbols that are held at a time, where segments are not larger. */
const WINDOW_SYMBOLS = 1024 * 1024;

/** Consecutive whole segments of a coded tensor. */
export interface SymbolWindow {
  readonly firstSegment: number;
  readonly segments: number;
  readonly firstSymbol: number;
  readonly symbols: number;
}

/** Windows that tile a tensor's symbols: as many segments each as {@link WINDOW_SYMBOLS} hold. */
export function symbolWindows(entry: CodedTensorEntry): SymbolWindow[] {
  const { segmentSymbols, segmentSizes } = entry;
  const total = symbolCount(entry);
  const segments = Math.max(1, Math.floor(WINDOW_SYMBOLS / segmentSymbols));
  return Array.from({ length: Math.ceil(segmentSizes.length / segments) }, (_, i) => {
    const firstSegment = i * segments;
    const firstSymbol = firstSegment * segmentSymbols;
    return {
      firstSegment,
      segments: Math.min(segments, segmentSizes.length - firstSegment),
      firstSymbol,
      symbols: Math.min(segments * segmentSymbols, total - firstSymbol),
    };
  });
}

/**
 * Decodes the segments that hold some symbols of a tensor, and no others.
 * @throws ArtifactError `Truncated`, `ReadFailed`; the native codec's Error; the signal's reason.
 */
export async function readSymbols(
  file: ArtifactFile,
  entry: CodedTensorEntry,
  range: {
    readonly firstSymbol: number;
    readonly symbols: number;
    readonly signal?: AbortSignal | undefined;
  },
): Promise<Uint8Array> {
  const { segmentSymbols } = entry;
  const end = range.firstSymbol + range.symbols;
  const first = Math.floor(range.firstSymbol / segmentSymbols);
  const last = Math.ceil(end / segmentSymbols);
  const begin = first * segmentSymbols;
  const segmentSizes = entry.segmentSizes.subarray(first, last);
  const segments = { firstSegment: first, segments: last - first };
  const payload = await file.read(segmentRange(entry, segments));
  const held = Math.min(last * segmentSymbols, symbolCount(entry)) - begin;
  const output = new Uint8Array(held);
  const run = { payload, output, threads: 1, seed: 0, signal: range.signal };
  await decodeSymbols({ ...entry, segmentSizes }, run);
  return output.subarray(range.firstSymbol - begin, end - begin);
}

/**
 * Codes symbols as the tensor's header entry says: the bytes that its artifact has for them, when
 * they are its symbols.
 * @throws the native codec's Error, e.g. for a symbol that the tensor's code has no word for.
 */
export async function encodeWindow(
  entry: CodedTensorEntry,
  symbols: Uint8Array,
): Promise<Uint8Array<ArrayBuffer>> {
  const { segmentSymbols } = entry;
  const work = { symbols, segmentSymbols, threads: 1 };
  const coded =
    entry.codec === 'huffman'
      ? await native.encodeHuffman({ ...work, codeLengths: entry.codeLengths })
      : await native.encodeLanes({ ...work, code: entry.code });
  return coded.payload;
}

/** Where some segments of a tensor lie in the file. */
export function segmentRange(
  entry: CodedTensorEntry,
  { firstSegment, segments }: Pick<SymbolWindow, 'firstSegment' | 'segments'>,
): { readonly offset: number; readonly sizeBytes: number } {
  const { segmentSizes } = entry;
  const before = total(segmentSizes.subarray(0, firstSegment));
  return {
    offset: entry.offset + stepBytes(entry) + before,
    sizeBytes: total(segmentSizes.subarray(firstSegment, firstSegment + segments)),
  };
}

function total(sizes: Uint32Array): number {
  return sizes.reduce((sum, size) => sum + size, 0);
}
