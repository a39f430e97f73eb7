import { z } from 'zod';
import { LIMITS } from './limits.ts';
import { conditionSchema, objectMetaInputSchema, objectMetaSchema } from './meta.ts';
import { sha256Schema, variantNameSchema } from './names.ts';
import { qualityReportSchema } from './quality.ts';
import { recipeSchema } from './recipe.ts';

/** As libs/artifact/FORMAT.md names them. */
export const layoutSchema = z
  .enum(['auto', 'lanes', 'streams', 'paper'])
  .describe(
    'How coded weights are laid out: lanes decode fastest with wide vectors, streams on small ' +
      'cores; paper is one Huffman code for the model. Every device reads every layout',
  );

/** Tokens that tell a recipe what its rounding must preserve. */
export const calibrationSchema = z
  .strictObject({
    tokensPath: z
      .string()
      .min(1)
      .max(4096)
      .describe('JSON file with rows of token ids on the controller, not those of the evaluation'),
    skipRows: z.int().min(0).max(LIMITS.calibrationRows).default(0),
    rows: z
      .int()
      .min(1)
      .max(LIMITS.calibrationRows)
      .default(128)
      .describe('At most so many rows are used, after those that are skipped'),
  })
  .describe('Round so that the outputs on these tokens change least; recipes rd-... only');
export type CalibrationSpec = z.infer<typeof calibrationSchema>;

const variantObjectSchema = z
  .strictObject({
    name: variantNameSchema,
    recipe: recipeSchema,
    layout: layoutSchema.default('auto'),
    calibration: calibrationSchema.optional(),
  })
  .refine(({ recipe, calibration }) => calibration === undefined || recipe.startsWith('rd-'), {
    path: ['calibration'],
    message: "EntroLLM's recipes are not calibrated; use rd-<bits per weight> or rd-q<decibels>",
  });

/** One wanted encoding. The short form `"u8"` means `{ name: "u8", recipe: "u8" }`. */
export const variantSpecSchema = z
  .union([
    recipeSchema.transform((recipe) => ({ name: recipe, recipe, layout: 'auto' as const })),
    variantObjectSchema,
  ])
  .pipe(
    z.strictObject({
      name: variantNameSchema,
      recipe: z.string(),
      layout: layoutSchema,
      calibration: z
        .strictObject({ tokensPath: z.string(), skipRows: z.int(), rows: z.int() })
        .optional(),
    }),
  );
export type VariantSpec = z.infer<typeof variantObjectSchema>;

export const modelSpecSchema = z.strictObject({
  source: z.strictObject({
    path: z
      .string()
      .min(1)
      .max(4096)
      .describe('Hugging Face folder (config.json, safetensors, tokenizer.json) on the controller'),
  }),
  variants: z
    .array(variantSpecSchema)
    .min(1)
    .max(LIMITS.variantsPerModel)
    .refine((list) => new Set(list.map((v) => v.name)).size === list.length, {
      message: 'variant names must differ',
    }),
  quality: z
    .strictObject({
      maxPerplexityRatio: z
        .number()
        .min(1)
        .default(1.15)
        .describe('A variant whose perplexity exceeds the source by more is not rolled out'),
    })
    .prefault({}),
  serving: z
    .strictObject({
      contextLength: z
        .int()
        .min(16)
        .max(LIMITS.contextLengthMax)
        .default(LIMITS.contextLengthDefault)
        .describe(
          "Longest prompt and completion a device serves, at most the model's own; the memory " +
            'for its KV cache must fit the device',
        ),
    })
    .prefault({}),
  evaluation: z
    .strictObject({
      tokensPath: z
        .string()
        .min(1)
        .max(4096)
        .optional()
        .describe(
          'JSON file with rows of token ids. Default: eval-tokens.json in the source folder, ' +
            'else rows sampled from the source model itself',
        ),
      rows: z.int().min(1).max(4096).default(16),
      rowTokens: z.int().min(8).max(8192).default(256),
    })
    .prefault({}),
});
export type ModelSpec = z.infer<typeof modelSpecSchema>;

export const variantPhaseSchema = z.enum([
  'Pending',
  'Compressing',
  'Evaluating',
  'Ready',
  'Failed',
]);
export type VariantPhase = z.infer<typeof variantPhaseSchema>;

export const variantStatusSchema = z.strictObject({
  name: variantNameSchema,
  recipe: z.string(),
  phase: variantPhaseSchema,
  progress: z.number().min(0).max(1),
  artifactId: sha256Schema.nullable(),
  quality: qualityReportSchema.omit({ tensors: true }).nullable(),
  message: z.string().max(LIMITS.errorMessageLength),
  attempts: z.int().min(0),
});
export type VariantStatus = z.infer<typeof variantStatusSchema>;

export const modelStatusSchema = z.strictObject({
  observedGeneration: z.int().min(0),
  variants: z.array(variantStatusSchema),
  counts: z
    .strictObject({
      variants: z.int().min(0),
      ready: z.int().min(0),
      failed: z.int().min(0),
    })
    .default({ variants: 0, ready: 0, failed: 0 })
    .describe('Of the variants, as the list above tells'),
  conditions: z.array(conditionSchema),
});
export type ModelStatus = z.infer<typeof modelStatusSchema>;

/** `POST /api/v1/models` body. */
export const modelInputSchema = z.strictObject({
  metadata: objectMetaInputSchema,
  spec: modelSpecSchema,
});

export const modelSchema = z.strictObject({
  metadata: objectMetaSchema,
  spec: modelSpecSchema,
  status: modelStatusSchema,
});
export type Model = z.infer<typeof modelSchema>;
