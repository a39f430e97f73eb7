import { z } from 'zod';
import { LIMITS } from './limits.ts';

/** Per-tensor figures of one encoded tensor. */
export const tensorQualitySchema = z.strictObject({
  name: z.string(),
  shape: z.array(z.int().min(1)),
  codec: z.string(),
  sizeBytes: z.int().min(0).describe('Coded size with scales, without the header'),
  bitsPerWeight: z.number().min(0),
  entropyBitsPerWeight: z.number().min(0).nullable().describe('Order-0 entropy of the integers'),
  sqnrDb: z.number().nullable().describe('null when the error is exactly zero'),
});
export type TensorQuality = z.infer<typeof tensorQualitySchema>;

/** Measured quality of one variant. Nothing in it is estimated. */
export const qualityReportSchema = z.strictObject({
  sizeBytes: z.int().min(0).describe('The whole artifact file'),
  weights: z.int().min(0).describe('Number of weights in the model'),
  codedWeights: z.int().min(0).describe('Weights in entropy-coded tensors'),
  bitsPerWeight: z.number().min(0).describe('Coded tensors, tables, scales and segments included'),
  entropyBitsPerWeight: z.number().min(0).describe('Order-0 entropy over the coded tensors'),
  sqnrDb: z.number().nullable(),
  perplexity: z.number().min(1),
  sourcePerplexity: z.number().min(1),
  perplexityRatio: z.number().min(0),
  evaluation: z.strictObject({
    origin: z.string().describe('Where the evaluation tokens came from'),
    rows: z.int().min(1),
    tokens: z.int().min(1),
  }),
  withinBound: z.boolean().describe('perplexityRatio <= the model spec quality bound'),
  tensors: z.array(tensorQualitySchema),
});
export type QualityReport = z.infer<typeof qualityReportSchema>;

/**
 * A prompt with the logits that the encoded variant must give for it. A device that computes
 * them within `tolerance` (of the logits' standard deviation) holds the right weights and a
 * working kernel.
 */
export const probeSchema = z.strictObject({
  promptTokens: z.array(z.int().min(0)).min(1).max(LIMITS.probeTokens),
  generateTokens: z.int().min(1).max(LIMITS.probeTokens).describe('Tokens to time decoding over'),
  fingerprint: z.strictObject({
    tokenIds: z.array(z.int().min(0)).min(1).max(LIMITS.fingerprintLogits),
    logits: z.array(z.number()).min(1).max(LIMITS.fingerprintLogits),
    standardDeviation: z.number().positive(),
    tolerance: z.number().positive().describe('In units of standardDeviation'),
  }),
});
export type Probe = z.infer<typeof probeSchema>;
