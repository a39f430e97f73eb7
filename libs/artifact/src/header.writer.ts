import type { FloatType } from '@entrofleet/native';
import type { ChunkEntry, RecipeEntry } from './artifact.header.ts';
import { canonicalJson } from './canonical.json.ts';
import { formatFloatBits } from './float.bits.ts';
import { headerRegion } from './preamble.ts';

/** Header entries as they stand in the JSON; see FORMAT.md for each field. */
export interface FileJson {
  readonly name: string;
  readonly codec: 'deflate' | 'identity';
  readonly sizeBytes: number;
  readonly chunks: readonly ChunkEntry[];
}

export interface RawTensorJson {
  readonly name: string;
  readonly codec: 'raw';
  readonly shape: readonly number[];
  readonly type: FloatType;
  readonly chunks: readonly ChunkEntry[];
}

export interface HuffmanTensorJson extends Omit<RawTensorJson, 'codec'> {
  readonly codec: 'huffman';
  readonly bits: 8 | 4;
  readonly zeroPoint: number;
  readonly step: string | null;
  readonly codeFirst: number;
  readonly codeLengths: string;
  readonly segmentSymbols: number;
  readonly segmentSizes: readonly number[];
}

export type TensorJson = RawTensorJson | HuffmanTensorJson;

/**
 * The header region: preamble, canonical JSON, padding.
 * @throws ArtifactError `HeaderTooLarge`.
 */
export function writeHeader(content: {
  chunkSizeBytes: number;
  config: unknown;
  recipe: RecipeEntry;
  files: readonly FileJson[];
  tensors: readonly TensorJson[];
}): Uint8Array {
  const json = canonicalJson({ format: 'entrofleet-artifact', ...content });
  return headerRegion(Buffer.from(json));
}

/** Fields of the step: its binary32 pattern, or null when each row has its own. */
export function stepJson(steps: Float32Array): string | null {
  const [step = 0] = steps;
  return steps.length === 1 ? formatFloatBits(step) : null;
}

/** Fields of the code table, from its first to its last used symbol. */
export function codeTableJson(lengths: Uint8Array): { codeFirst: number; codeLengths: string } {
  const codeFirst = Math.max(
    0,
    lengths.findIndex((length) => length > 0),
  );
  const end = lengths.findLastIndex((length) => length > 0) + 1;
  const digits = Array.from(lengths.subarray(codeFirst, end), (length) => length.toString(16));
  return { codeFirst, codeLengths: digits.join('') };
}
