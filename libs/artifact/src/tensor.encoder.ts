import { bitsOf, sqnrDb, type TensorGrid } from '@entrofleet/codec';
import { native, type QuantizedTensor } from '@entrofleet/native';
import { nativeFailure, type TensorInfo } from './checkpoint.reader.ts';
import { cutCoded, cutEvenly } from './chunk.cutter.ts';
import { isMatrix, type MatrixInfo } from './encode.plan.ts';
import type { TensorStats } from './encode.types.ts';
import { bf16Bytes } from './float.bits.ts';
import {
  type CodedTensorJson,
  type RawTensorJson,
  stepJson,
  type TensorJson,
} from './header.writer.ts';
import { type MatrixSource, quantizeMatrix } from './matrix.quantizer.ts';
import type { PartialFile } from './partial.file.ts';
import { appendChunks } from './payload.writer.ts';
import { gridOf } from './quantization.plan.ts';
import { elementBytes } from './safetensors.header.ts';
import { codeSymbols, type SymbolCoding } from './symbol.coding.ts';
import { elementCount } from './tensor.shape.ts';

/** What does not change from tensor to tensor. */
export interface TensorEncoding extends SymbolCoding, MatrixSource {
  /** By the names of the matrices. */
  readonly grids: ReadonlyMap<string, TensorGrid>;
  readonly payload: PartialFile;
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
  const { chunkSizeBytes } = encoding;
  const { name, shape, type } = tensor;
  const grid = gridOf(tensor, encoding.grids);
  const quantized = await quantizeMatrix(tensor, grid, encoding);
  const coded = await codeSymbols(quantized.symbols, encoding);
  const steps = quantized.steps.length === 1 ? new Uint8Array(0) : bf16Bytes(quantized.steps);
  const bytes = steps.length === 0 ? coded.payload : joined(steps, coded.payload);
  const { codec, code, segmentSymbols, segmentSizes } = coded;
  const cut = cutCoded({ stepBytes: steps.length, segmentSizes, chunkSizeBytes });
  const json: CodedTensorJson = {
    name,
    codec,
    shape,
    type,
    bits: bitsOf(grid),
    zeroPoint: quantized.zeroPoint,
    step: stepJson(quantized.steps),
    code,
    segmentSymbols,
    segmentSizes: Array.from(segmentSizes),
    entropyMicrobits: Math.round(quantized.entropyBitsPerWeight * 1e6),
    noiseTrillionths: noiseTrillionths(quantized),
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

/** An integer, so that every machine writes the same digits. */
function noiseTrillionths({ signalPower, noisePower }: QuantizedTensor): number {
  if (noisePower === 0) return 0;
  return Math.min(Number.MAX_SAFE_INTEGER, Math.round((noisePower / signalPower) * 1e12));
}

function joined(steps: Uint8Array, segments: Uint8Array): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(steps.length + segments.length);
  bytes.set(steps);
  bytes.set(segments, steps.length);
  return bytes;
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
