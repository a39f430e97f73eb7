import type { TensorRecipe } from '@entrofleet/codec';
import type { ArtifactRef } from './artifact.header.ts';
import type { Checkpoint } from './checkpoint.reader.ts';
import type { Calibration } from './quantization.plan.ts';
import type { Layout } from './symbol.coding.ts';

export interface EncodeProgress {
  readonly phase: 'measure' | 'encode' | 'write';
  /** Work done over all phases, in bytes of source weights; it never goes back. */
  readonly doneBytes: number;
  /** Bytes of the source's weights. */
  readonly totalBytes: number;
  /** The tensor just done; null in phase `write`. */
  readonly tensor: string | null;
}

export interface EncodeOptions {
  readonly checkpoint: Checkpoint;
  readonly recipe: TensorRecipe;
  /** What rate and quality recipes may know beyond the weights. */
  readonly calibration?: Calibration;
  /** Where the artifact goes; a file that is there is replaced at the end, in one step. */
  readonly path: string;
  /** Any number gives the same bytes. */
  readonly threads: number;
  /** Default: `auto`. */
  readonly layout?: Layout;
  /** Default: 256 KiB. */
  readonly chunkSizeBytes?: number;
  readonly onProgress?: (progress: EncodeProgress) => void;
  readonly signal?: AbortSignal;
}

/** Figures of one tensor; fits protocol's tensorQualitySchema. */
export interface TensorStats {
  readonly name: string;
  readonly shape: number[];
  /** `huffman`, `lanes` or `raw`. */
  readonly codec: string;
  /** Payload: steps and segments, or the raw bytes. */
  readonly sizeBytes: number;
  /** Of `sizeBytes`. */
  readonly bitsPerWeight: number;
  /** Order-0 entropy of the integers; null for raw tensors. */
  readonly entropyBitsPerWeight: number | null;
  /** null when the error is exactly zero. */
  readonly sqnrDb: number | null;
}

/** Figures over all tensors; fits protocol's qualityReportSchema. */
export interface EncodeTotals {
  readonly weights: number;
  /** Weights in coded tensors; the following figures are of these. */
  readonly codedWeights: number;
  /**
   * All that the coded tensors take in the file: steps, segments with their stream sizes, and
   * their header entries (name, shape, code table, segment sizes, chunk hashes).
   */
  readonly bitsPerWeight: number;
  readonly entropyBitsPerWeight: number;
  readonly sqnrDb: number | null;
}

export interface EncodedArtifact {
  readonly ref: ArtifactRef;
  readonly tensors: TensorStats[];
  readonly totals: EncodeTotals;
}
