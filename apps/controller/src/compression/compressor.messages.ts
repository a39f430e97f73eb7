import {
  artifactRefSchema,
  calibrationSchema,
  layoutSchema,
  probeSchema,
  qualityReportSchema,
} from '@entrofleet/protocol';
import { z } from 'zod';

const evaluationSchema = z.strictObject({
  tokensPath: z.string().optional(),
  rows: z.int().min(1),
  rowTokens: z.int().min(1),
});
const sourceSchema = z.strictObject({ sourcePath: z.string() });
const threadsSchema = z.strictObject({ threads: z.int().min(1) });

const checkTaskSchema = sourceSchema.extend({
  task: z.literal('check'),
  evaluation: evaluationSchema,
  calibrations: z.array(calibrationSchema),
});
export type CheckTask = z.infer<typeof checkTaskSchema>;

const planTaskSchema = sourceSchema.extend({
  task: z.literal('plan'),
  ...threadsSchema.shape,
  recipe: z.string(),
  layout: layoutSchema,
  calibration: calibrationSchema.optional(),
  groupSizeBytes: z.int().min(1),
  planPath: z.string(),
  calibrationFolder: z.string(),
});
export type PlanTask = z.infer<typeof planTaskSchema>;

const encodeTaskSchema = sourceSchema.extend({
  task: z.literal('encode'),
  ...threadsSchema.shape,
  planPath: z.string(),
  group: z.int().min(0),
  partPath: z.string(),
  calibrationFolder: z.string(),
});
export type EncodeTask = z.infer<typeof encodeTaskSchema>;

const assembleTaskSchema = sourceSchema.extend({
  task: z.literal('assemble'),
  planPath: z.string(),
  partPaths: z.array(z.string()),
  draftPath: z.string(),
});
export type AssembleTask = z.infer<typeof assembleTaskSchema>;

const evaluateTaskSchema = sourceSchema.extend({
  task: z.literal('evaluate'),
  ...threadsSchema.shape,
  evaluation: evaluationSchema,
  draftPath: z.string(),
  evaluationFolder: z.string(),
});
export type EvaluateTask = z.infer<typeof evaluateTaskSchema>;

const deltaTaskSchema = threadsSchema.extend({
  task: z.literal('delta'),
  basePath: z.string(),
  targetPath: z.string(),
  draftPath: z.string(),
});
export type DeltaTask = z.infer<typeof deltaTaskSchema>;

/** Parent to child, once: what to do. */
export const compressorTaskSchema = z.discriminatedUnion('task', [
  checkTaskSchema,
  planTaskSchema,
  encodeTaskSchema,
  assembleTaskSchema,
  evaluateTaskSchema,
  deltaTaskSchema,
]);
export type CompressorTask = z.infer<typeof compressorTaskSchema>;

export const assembledSchema = z.strictObject({
  ref: artifactRefSchema,
  totals: qualityReportSchema.pick({
    weights: true,
    codedWeights: true,
    bitsPerWeight: true,
    entropyBitsPerWeight: true,
    sqnrDb: true,
  }),
  tensors: qualityReportSchema.shape.tensors,
});
export type Assembled = z.infer<typeof assembledSchema>;

export const evaluatedSchema = z.strictObject({
  memoryBytes: z.int().min(1),
  contextLength: z.int().min(1),
  kvCacheBytesPerToken: z.int().min(0),
  probe: probeSchema,
  quality: qualityReportSchema.pick({
    perplexity: true,
    sourcePerplexity: true,
    perplexityRatio: true,
    evaluation: true,
  }),
});
export type VariantEvaluation = z.infer<typeof evaluatedSchema>;

const deltaResultSchema = z.strictObject({
  ref: artifactRefSchema,
  reuseSizeBytes: z.int().min(0),
});
export type DeltaResult = z.infer<typeof deltaResultSchema>;

const peakMemoryBytes = z
  .int()
  .min(0)
  .describe('Most memory that the process has held; 0 where the system does not tell');

/** Child to parent: any number of `progress`, then one of the others. */
export const compressorReportSchema = z.discriminatedUnion('report', [
  z.strictObject({
    report: z.literal('progress'),
    fraction: z.number().min(0).max(1).describe('Of this task'),
  }),
  z.strictObject({ report: z.literal('done'), peakMemoryBytes }),
  z.strictObject({ report: z.literal('assembled'), peakMemoryBytes, result: assembledSchema }),
  z.strictObject({ report: z.literal('evaluated'), peakMemoryBytes, result: evaluatedSchema }),
  z.strictObject({ report: z.literal('delta'), peakMemoryBytes, result: deltaResultSchema }),
  z.strictObject({
    report: z.literal('failed'),
    permanent: z.boolean().describe('The same task would fail in the same way again'),
    reason: z.string(),
    message: z.string(),
    pointer: z.string().describe('JSON pointer of the field of the model that is to blame'),
  }),
]);
export type CompressorReport = z.infer<typeof compressorReportSchema>;

/** A report by its kind. */
export type ReportOf<K extends CompressorReport['report']> = Extract<
  CompressorReport,
  { report: K }
>;
