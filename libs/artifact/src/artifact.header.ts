import type { FloatType } from '@entrofleet/native';

/** Unit of transfer and verification. */
export interface ChunkEntry {
  /** 64 lower-case hexadecimal digits. */
  readonly sha256: string;
  readonly sizeBytes: number;
}

/** Bytes of one item in the file, from `offset` on; its chunks tile them in order. */
interface PayloadItem {
  readonly name: string;
  readonly chunks: readonly ChunkEntry[];
  /** From the start of the artifact file. */
  readonly offset: number;
  /** Sum over `chunks`. */
  readonly payloadBytes: number;
}

/** A file that travels with the weights, e.g. tokenizer.json. */
export interface FileEntry extends PayloadItem {
  readonly codec: 'deflate' | 'identity';
  /** Size once inflated. */
  readonly sizeBytes: number;
}

/** A tensor stored as in the source. */
export interface RawTensorEntry extends PayloadItem {
  readonly codec: 'raw';
  readonly shape: readonly number[];
  readonly type: FloatType;
}

/** A matrix of quantized weights, entropy coded. */
interface CodedTensorItem extends PayloadItem {
  /** Rows, columns. */
  readonly shape: readonly [number, number];
  /** Element type of the source. */
  readonly type: FloatType;
  readonly bits: 8 | 4;
  readonly zeroPoint: number;
  /** Step of the whole tensor; null: one bf16 step per row in front of the segments. */
  readonly step: number | null;
  /** Symbols in every segment but the last. */
  readonly segmentSymbols: number;
  readonly segmentSizes: Uint32Array;
  /** Order-0 entropy of the levels, in millionths of a bit per weight. */
  readonly entropyMicrobits: number;
  /** Power of the quantization error over that of the weights, times 10^12. */
  readonly noiseTrillionths: number;
}

/** Coded in four streams, see libs/codec/SEGMENT.md. */
export interface HuffmanTensorEntry extends CodedTensorItem {
  readonly codec: 'huffman';
  /** Canonical Huffman code length of each of the 256 byte values, 0 when absent. */
  readonly codeLengths: Uint8Array;
}

/** Coded in 64 lanes, see libs/codec/LANES.md. */
export interface LanesTensorEntry extends CodedTensorItem {
  readonly codec: 'lanes';
  /** The code as LANES.md writes it. */
  readonly code: Uint8Array;
}

export type CodedTensorEntry = HuffmanTensorEntry | LanesTensorEntry;
export type TensorEntry = RawTensorEntry | CodedTensorEntry;

/** What one recipe did, in the words of @entrofleet/codec. */
export type RecipeEntry =
  | { readonly kind: 'affine'; readonly bits: 8 | 4 }
  | {
      readonly kind: 'rate';
      readonly targetBitsPerWeight: number;
      readonly calibration?: CalibrationEntry;
    }
  | {
      readonly kind: 'quality';
      readonly targetSqnrDb: number;
      readonly calibration?: CalibrationEntry;
    };

/** What a calibrated recipe was calibrated on. */
export interface CalibrationEntry {
  /** SHA-256 of the token rows as canonical JSON, 64 lower-case hexadecimal digits. */
  readonly tokensSha256: string;
}

/** Enough to fetch an artifact before its header is known; fits protocol's artifactRefSchema. */
export interface ArtifactRef {
  readonly id: string;
  readonly sizeBytes: number;
  readonly headerSizeBytes: number;
  readonly headerChunks: string[];
  readonly chunkCount: number;
  readonly chunkSizeBytes: number;
}

/** A parsed and fully checked header; see FORMAT.md. */
export interface ArtifactHeader {
  readonly ref: Readonly<ArtifactRef>;
  readonly recipe: RecipeEntry;
  /** Content of the model's config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly files: readonly FileEntry[];
  readonly tensors: readonly TensorEntry[];
}

/** Bytes of the row steps in front of a tensor's segments. */
export function stepBytes(tensor: CodedTensorEntry): number {
  return tensor.step === null ? tensor.shape[0] * BF16_BYTES : 0;
}

/** Coded byte values of a tensor: one a weight, or one for two weights of 4 bits. */
export function symbolCount(tensor: { bits: 8 | 4; shape: readonly [number, number] }): number {
  const weights = tensor.shape[0] * tensor.shape[1];
  return tensor.bits === 8 ? weights : Math.ceil(weights / 2);
}

export const BF16_BYTES = 2;
