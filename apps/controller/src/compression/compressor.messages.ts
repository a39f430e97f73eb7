import {
  artifactRefSchema,
  modelSpecSchema,
  probeSchema,
  qualityReportSchema,
} from '@entrofleet/protocol';
import { z } from 'zod';

const evaluationSchema = z.strictObject({
  tokensPath: z.string().optional(),
  rows: z.int().min(1),
  rowTokens: z.int().min(1),
});

/** Parent to child, once: what to do. */
export const compressorTaskSchema = z.discriminatedUnion('task', [
  z.strictObject({
    task: z.literal('check'),
    sourcePath: z.string(),
    evaluation: evaluationSchema,
  }),
  z.strictObject({
    task: z.literal('compress'),
    sourcePath: z.string(),
    evaluation: evaluationSchema,
    recipe: z.string(),
    maxPerplexityRatio: modelSpecSchema.shape.quality.unwrap().shape.maxPerplexityRatio.unwrap(),
    threads: z.int().min(1),
    draftPath: z.string(),
    evaluationFolder: z.string(),
  }),
]);
export type CompressorTask = z.infer<typeof compressorTaskSchema>;
export type CompressTask = Extract<CompressorTask, { task: 'compress' }>;

export const compressedSchema = z.strictObject({
  ref: artifactRefSchema,
  memoryBytes: z.int().min(1),
  contextLength: z.int().min(1),
  kvCacheBytesPerToken: z.int().min(0),
  quality: qualityReportSchema,
  probe: probeSchema,
});
export type Compressed = z.infer<typeof compressedSchema>;

/** Child to parent: any number of `progress`, then one of the others. */
export const compressorReportSchema = z.discriminatedUnion('report', [
  z.strictObject({
    report: z.literal('progress'),
    phase: z.enum(['Compressing', 'Evaluating']),
    progress: z.number().min(0).max(1),
  }),
  z.strictObject({ report: z.literal('checked') }),
  z.strictObject({ report: z.literal('compressed'), result: compressedSchema }),
  z.strictObject({
    report: z.literal('failed'),
    permanent: z.boolean().describe('The same task would fail in the same way again'),
    reason: z.string(),
    message: z.string(),
    pointer: z.string().describe('JSON pointer of the field of the model that is to blame'),
  }),
]);
export type CompressorReport = z.infer<typeof compressorReportSchema>;
export type CompressorProgress = Extract<CompressorReport, { report: 'progress' }>;
