/** Bounds on what a config.json may ask for, checked before anything is allocated. */
export const ENGINE_LIMITS = {
  vocabularySize: 4 * 1024 * 1024,
  hiddenSize: 256 * 1024,
  intermediateSize: 1024 * 1024,
  layers: 1024,
  heads: 4096,
  headSize: 4096,
  contextLength: 16 * 1024 * 1024,
  threads: 256,
  /** Tokens given to the addon at once while a prompt is read; cancelling waits for one block. */
  prefillTokens: 256,
  /** Sequences that are sampled together in one pass over the weights. */
  batchedSequences: 32,
} as const;
