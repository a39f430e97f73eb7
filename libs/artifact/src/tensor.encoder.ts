import { bitsOf, quantizeTensor, sqnrDb, type TensorGrid } from '@entrofleet/codec';
import { native, type QuantizedTensor } from '@entrofleet/native';
import { ArtifactError } from './artifact.error.ts';
import { readStatistics } from './calibration.statistics.ts';
import { type Checkpoint, nativeFailure, type TensorInfo } from './checkpoint.reader.ts';
import { cutCoded, cutEvenly } from './chunk.cutter.ts';
import { isMatrix, type MatrixInfo, segmentSymbolsFor } from './encode.plan.ts';
import type { TensorStats } from './encode.types.ts';
import { bf16Bytes } from './float.bits.ts';
import {
  codeTableJson,
  type HuffmanTensorJson,
  type RawTensorJson,
  stepJson,
  type TensorJson,
} from './header.writer.ts';
import type { PartialFile } from './partial.file.ts';
import { appendChunks } from './payload.writer.ts';
import { elementBytes } from './safetensors.header.ts';
import { elementCount } from './tensor.shape.ts';

/** What does not change from tensor to tensor. */
export interface TensorEncoding {
  readonly checkpoint: Checkpoint;
  /** By the names of the matrices. */
  readonly grids: ReadonlyMap<string, TensorGrid>;
  readonly threads: number;
  readonly chunkSizeBytes: number;
  readonly payload: PartialFile;
  /** Where the statistics of calibrated grids lie. */
  readonly calibrationFolder?: string | undefined;
}

export interface EncodedTensor {
  readonly json: TensorJson;
  readonly stats: TensorStats;
  readonly weights: number;
  /** Sums of squares of weights and errors; undefined for raw tensors. */
  readonly power: { readonly signal: number; readonly noise: number } | undefined;
}

/**
 * Reads, quantizes, codes and appends one tensor.
 * @throws CheckpointError, ArtifactError
 */
export async function encodeTensor(
  tensor: TensorInfo,
  encoding: TensorEncoding,
): Promise<EncodedTensor> {
  const work = isMatrix(tensor) ? encodeMatrix(tensor, encoding) : storeRaw(tensor, encoding);
  return work.catch((cause: unknown) => {
    throw nativeFailure(tensor.name, cause);
  });
}

async function encodeMatrix(tensor: MatrixInfo, encoding: TensorEncoding): Promise<EncodedTensor> {
  const { threads, chunkSizeBytes } = encoding;
  const { name, shape, type } = tensor;
  const grid = gridOf(tensor, encoding);
  const quantized = await quantizeMatrix(tensor, grid, encoding);
  const segmentSymbols = segmentSymbolsFor(chunkSizeBytes);
  const { symbols } = quantized;
  const coded = await native.encodeHuffman({ symbols, segmentSymbols, threads });
  const steps = quantized.steps.length === 1 ? new Uint8Array(0) : bf16Bytes(quantized.steps);
  const bytes = new Uint8Array(steps.length + coded.payload.length);
  bytes.set(steps);
  bytes.set(coded.payload, steps.length);
  const { segmentSizes } = coded;
  const cut = cutCoded({ stepBytes: steps.length, segmentSizes, chunkSizeBytes });
  const json: HuffmanTensorJson = {
    name,
    codec: 'huffman',
    shape,
    type,
    bits: bitsOf(grid),
    zeroPoint: quantized.zeroPoint,
    step: stepJson(quantized.steps),
    ...codeTableJson(coded.codeLengths),
    segmentSymbols,
    segmentSizes: Array.from(segmentSizes),
    chunks: await appendChunks(encoding.payload, bytes, cut),
  };
  const weights = elementCount(shape);
  const power = { signal: quantized.signalPower, noise: quantized.noisePower };
  const stats: TensorStats = {
    name,
    shape: [...shape],
    codec: json.codec,
    sizeBytes: bytes.length,
    bitsPerWeight: (bytes.length * 8) / weights,
    entropyBitsPerWeight: quantized.entropyBitsPerWeight,
    sqnrDb: sqnrDb(power),
  };
  return { json, stats, weights, power };
}

function gridOf({ name }: MatrixInfo, { grids }: TensorEncoding): TensorGrid {
  const grid = grids.get(name);
  if (grid !== undefined) return grid;
  throw new ArtifactError('BadArgument', `the quantization plan has no grid for "${name}"`);
}

/** A function of its own, so that the source bytes can be freed before the symbols are coded. */
async function quantizeMatrix(
  tensor: MatrixInfo,
  grid: TensorGrid,
  { checkpoint, threads, calibrationFolder: folder }: TensorEncoding,
): Promise<QuantizedTensor> {
  const [rows, columns] = tensor.shape;
  const weights = await checkpoint.readRaw(tensor.name);
  const names = grid.kind === 'rows' ? grid.statistics : null;
  const statistics =
    names === null || folder === undefined
      ? undefined
      : await readStatistics(names, { folder, rows, columns });
  const matrix = { weights, type: tensor.type, rows, columns };
  return quantizeTensor(matrix, grid, { threads, statistics });
}

async function storeRaw(tensor: TensorInfo, encoding: TensorEncoding): Promise<EncodedTensor> {
  const { name, shape, type } = tensor;
  const { checkpoint, threads, chunkSizeBytes } = encoding;
  const weights = await checkpoint.readRaw(name);
  // For its check that every weight is finite.
  await native.toFloat32({ weights, type, threads });
  const cut = cutEvenly(weights.length, { unitBytes: elementBytes(type), chunkSizeBytes });
  const chunks = await appendChunks(encoding.payload, weights, cut);
  const json: RawTensorJson = { name, codec: 'raw', shape, type, chunks };
  const stats: TensorStats = {
    name,
    shape: [...shape],
    codec: json.codec,
    sizeBytes: weights.length,
    bitsPerWeight: elementBytes(type) * 8,
    entropyBitsPerWeight: null,
    sqnrDb: null,
  };
  return { json, stats, weights: elementCount(shape), power: undefined };
}
