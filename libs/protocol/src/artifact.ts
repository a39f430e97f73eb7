import { z } from 'zod';
import { LIMITS } from './limits.ts';
import { instantSchema } from './meta.ts';
import { nameSchema, sha256Schema, variantNameSchema } from './names.ts';
import { probeSchema, qualityReportSchema } from './quality.ts';

/**
 * What a device must know to fetch an artifact before it has the header. Transfer indices
 * 0..headerChunks.length-1 are the header's slices; the header then names the payload chunks,
 * which follow in its order.
 */
export const artifactRefSchema = z.strictObject({
  id: sha256Schema.describe('SHA-256 of the header bytes'),
  sizeBytes: z.int().min(1),
  headerSizeBytes: z.int().min(1),
  headerChunks: z.array(sha256Schema).min(1).max(LIMITS.headerChunks),
  chunkCount: z.int().min(1).max(LIMITS.chunksPerArtifact).describe('Header and payload chunks'),
  chunkSizeBytes: z.int().min(LIMITS.chunkSizeBytesMin).max(LIMITS.chunkSizeBytesMax),
});
export type ArtifactRef = z.infer<typeof artifactRefSchema>;

/**
 * A file that, with the base artifact at hand, gives the target artifact byte for byte. Its chunks
 * travel like an artifact's, under its own id.
 */
export const deltaRefSchema = z.strictObject({
  baseArtifactId: sha256Schema,
  file: artifactRefSchema,
});
export type DeltaRef = z.infer<typeof deltaRefSchema>;

/** One encoded file in the blob store, with the evidence gathered about it. */
export const artifactSchema = z.strictObject({
  id: sha256Schema,
  model: nameSchema,
  variant: variantNameSchema,
  recipe: z.string(),
  createdAt: instantSchema,
  ref: artifactRefSchema,
  memoryBytes: z.int().min(1).describe('Resident size of the decoded weights on a device'),
  contextLength: z.int().min(1).describe('Longest context the model was made for'),
  kvCacheBytesPerToken: z.int().min(0),
  quality: qualityReportSchema,
  probe: probeSchema,
});
export type Artifact = z.infer<typeof artifactSchema>;
