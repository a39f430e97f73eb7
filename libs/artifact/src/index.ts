export {
  ArrivingReader,
  type ChunkArrivals,
  type PackingProgress,
} from './arriving.reader.ts';
export { assembleParts } from './artifact.assembler.ts';
export * from './artifact.encoder.ts';
export * from './artifact.error.ts';
export type { ArtifactHeader, ArtifactRef, RecipeEntry, TensorEntry } from './artifact.header.ts';
export type { DecodeStatistics, ResidentOptions } from './artifact.reader.ts';
export { type ArtifactReader, memoryBytes, openArtifact } from './artifact.reader.ts';
export * from './calibration.statistics.ts';
export * from './checkpoint.error.ts';
export type { CheckpointOptions, TensorInfo } from './checkpoint.reader.ts';
export { type Checkpoint, openCheckpoint } from './checkpoint.reader.ts';
export * from './chunk.source.ts';
export {
  type ChunkLocation,
  type ChunkRange,
  chunkTable,
} from './chunk.table.ts';
export * from './delta.apply.ts';
export {
  type DeltaItemStats,
  type DeltaWork,
  type EncodedDelta,
  encodeDelta,
} from './delta.encoder.ts';
export { DeltaFile, openDeltaChunks } from './delta.file.ts';
export {
  type DeltaHeader,
  deltaChunkTable,
  isDeltaHeader,
  parseDeltaHeader,
} from './delta.header.ts';
export * from './dequantize.ts';
export { type EncodeGroup, GROUP_SIZE_BYTES_DEFAULT } from './encode.groups.ts';
export type * from './encode.types.ts';
export {
  type EncodingPlan,
  parsePlan,
  planEncoding,
  planText,
} from './encoding.plan.ts';
export type { EvaluationRecord } from './evaluation.record.ts';
export * from './header.parser.ts';
export { ARTIFACT_LIMITS } from './limits.ts';
export type { CodedMatrix, MatrixLoadOptions, MatrixRequest } from './matrix.loader.ts';
export { encodePart, hasPart } from './part.file.ts';
export * from './quantization.plan.ts';
export { LAYOUTS, type Layout } from './symbol.coding.ts';
