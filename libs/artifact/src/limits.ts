/** Bounds that readers check before they allocate and writers refuse to exceed. */
export const ARTIFACT_LIMITS = {
  chunkSizeBytesDefault: 256 * 1024,
  /** The same bounds as LIMITS of @entrofleet/protocol, which this library does not import. */
  chunkSizeBytesMin: 4 * 1024,
  chunkSizeBytesMax: 4 * 1024 * 1024,
  chunksPerArtifact: 4 * 1024 * 1024,
  headerSlices: 1024,
  headerJsonBytes: 64 * 1024 * 1024,
  headerJsonDepth: 32,
  /** A model of 70 billion weights needs about a third of it. */
  headerJsonValues: 4_000_000,
  tensors: 100_000,
  files: 16,
  tensorNameLength: 512,
  tensorRank: 8,
  /** Elements of one tensor: 2^35 is 32 times the largest embedding known. */
  tensorElements: 2 ** 35,
  /** Symbols a writer puts into a segment, where a chunk has room for them. */
  segmentSymbolsDefault: 256 * 1024,
  segmentSymbolsMax: 16 * 1024 * 1024,
  fileSizeBytes: 128 * 1024 * 1024,
} as const;

export const CHECKPOINT_LIMITS = {
  configBytes: 4 * 1024 * 1024,
  configDepth: 24,
  /** Values in any JSON file of a checkpoint. */
  jsonValues: 2_000_000,
  indexBytes: 64 * 1024 * 1024,
  /** The limit of the reference implementation of safetensors (MAX_HEADER_SIZE). */
  safetensorsHeaderBytes: 100_000_000,
  safetensorsDepth: 8,
  shards: 4096,
  tensors: ARTIFACT_LIMITS.tensors,
} as const;
