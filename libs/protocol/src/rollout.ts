import { z } from 'zod';
import { LIMITS } from './limits.ts';
import { conditionSchema, instantSchema, objectMetaInputSchema, objectMetaSchema } from './meta.ts';
import { nameSchema, sha256Schema, variantNameSchema } from './names.ts';
import { selectorSchema } from './selector.ts';
import { strategySchema } from './strategy.ts';

export const rolloutSpecSchema = z.strictObject({
  selector: selectorSchema,
  model: nameSchema,
  variant: variantNameSchema
    .nullable()
    .default(null)
    .describe('The variant for all devices; null: for each device the best that fits it'),
  variants: z
    .array(variantNameSchema)
    .max(LIMITS.variantsPerModel)
    .default([])
    .describe('Without a variant: those to choose from; none: all of the model'),
  preference: z
    .enum(['Quality', 'Speed', 'Size'])
    .default('Quality')
    .describe('Without a variant: what makes one better, of those that fit'),
  force: z
    .boolean()
    .default(false)
    .describe('Roll out a variant although its perplexity is beyond the quality bound'),
  paused: z.boolean().default(false),
  samplePrompt: z
    .string()
    .max(1000)
    .nullable()
    .default(null)
    .describe('Each device continues this prompt and reports the text'),
  strategy: strategySchema.prefault({}),
  revisionHistoryLimit: z.int().min(0).max(100).default(10),
});
export type RolloutSpec = z.infer<typeof rolloutSpecSchema>;

/** What a gate said of one hardware class after a wave, with its numbers. */
export const gateResultSchema = z.strictObject({
  gate: nameSchema,
  wave: z.int().min(0),
  hardwareClass: z.string(),
  outcome: z.enum(['Passed', 'Failed', 'Inconclusive']),
  observed: z.number().nullable().describe('The figure or ratio that was judged'),
  samples: z.int().min(0),
  message: z.string().max(LIMITS.errorMessageLength).describe('The arithmetic, for people'),
  at: instantSchema,
  overriddenAt: instantSchema
    .nullable()
    .optional()
    .describe('A person resumed the rollout in spite of it; the class goes on for its next wave'),
});
export type GateResult = z.infer<typeof gateResultSchema>;

/** Where one device stands in a rollout. */
export const memberStateSchema = z.enum([
  'Pending',
  'Updating',
  'Active',
  'Failed',
  'Offline',
  'Unfit',
  'Conflict',
]);
export type MemberState = z.infer<typeof memberStateSchema>;

export const memberSchema = z.strictObject({
  device: nameSchema,
  wave: z.int().min(0).nullable().describe('null until the device is started'),
  state: memberStateSchema,
  reason: z.string(),
  message: z.string().max(LIMITS.errorMessageLength),
  progressAt: instantSchema.nullable().describe('When the device last made progress'),
});
export type Member = z.infer<typeof memberSchema>;

export const rolloutPhaseSchema = z.enum([
  'Pending',
  'Progressing',
  'Paused',
  'Complete',
  'Refused',
]);
export type RolloutPhase = z.infer<typeof rolloutPhaseSchema>;

export const rolloutStatusSchema = z.strictObject({
  observedGeneration: z.int().min(0),
  phase: rolloutPhaseSchema,
  revision: z.int().min(0).describe('The generation that is being rolled out'),
  specDigest: z
    .string()
    .describe(
      'SHA-256 of what is being rolled out: the spec without paused and force, and how it is served',
    ),
  artifactId: sha256Schema.nullable().describe('What is being rolled out; null: nothing yet'),
  attempt: z.int().min(0).describe('Raised by the retry action'),
  currentWave: z.int().min(0),
  totalWaves: z.int().min(0),
  counts: z.strictObject({
    selected: z.int().min(0),
    active: z.int().min(0),
    updating: z.int().min(0),
    failed: z.int().min(0),
    offline: z.int().min(0),
    pending: z.int().min(0),
    unfit: z.int().min(0),
    conflict: z.int().min(0),
  }),
  conditions: z.array(conditionSchema),
});
export type RolloutStatus = z.infer<typeof rolloutStatusSchema>;

/** `POST /api/v1/rollouts` body. */
export const rolloutInputSchema = z.strictObject({
  metadata: objectMetaInputSchema,
  spec: rolloutSpecSchema,
});

export const rolloutSchema = z.strictObject({
  metadata: objectMetaSchema,
  spec: rolloutSpecSchema,
  status: rolloutStatusSchema,
});
export type Rollout = z.infer<typeof rolloutSchema>;

/** Something worth telling a person, as `kubectl describe` shows under Events. */
export const eventSchema = z.strictObject({
  id: z.int().min(1),
  at: instantSchema,
  object: z.strictObject({ kind: z.enum(['Model', 'Rollout', 'Device']), name: nameSchema }),
  type: z.enum(['Normal', 'Warning']),
  reason: z.string(),
  message: z.string(),
});
export type FleetEvent = z.infer<typeof eventSchema>;
