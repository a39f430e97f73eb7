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
  /** Characters of a chat template; published ones have up to some 20,000. */
  chatTemplateLength: 256 * 1024,
  /** Characters of all messages of a chat together. */
  chatLength: 4 * 1024 * 1024,
  chatMessages: 4096,
  /** Steps a template may take by itself, and for each message. */
  chatTemplateSteps: 100_000,
  chatTemplateStepsPerMessage: 2_000,
  /** Entries of range(). */
  chatTemplateRange: 64 * 1024,
} as const;
