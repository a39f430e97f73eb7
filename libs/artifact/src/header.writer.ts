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

export interface CodedTensorJson extends Omit<RawTensorJson, 'codec'> {
  readonly codec: 'huffman' | 'lanes';
  readonly bits: 8 | 4;
  readonly zeroPoint: number;
  readonly step: string | null;
  /** null: the header's `sharedCode`. */
  readonly code: string | null;
  readonly segmentSymbols: number;
  readonly segmentSizes: readonly number[];
  readonly entropyMicrobits: number;
  readonly noiseTrillionths: number;
}

export type TensorJson = RawTensorJson | CodedTensorJson;

/**
 * The header region: preamble, canonical JSON, padding.
 * @throws ArtifactError `HeaderTooLarge`.
 */
export function writeHeader(content: {
  chunkSizeBytes: number;
  config: unknown;
  recipe: RecipeEntry;
  sharedCode: string | null;
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
