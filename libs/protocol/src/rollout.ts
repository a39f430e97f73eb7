import { z } from 'zod';
import { LIMITS } from './limits.ts';
import { holdSchema, modelIdentitySchema } from './messages.ts';
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
  artifactIds: z
    .array(sha256Schema)
    .min(1)
    .max(LIMITS.variantsPerModel)
    .optional()
    .describe(
      'These artifacts of the model, of those variants, instead of what it has now; a roll back ' +
        'sets them where the model has changed since',
    ),
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
  'Pinned',
  'RolledBack',
]);
export type MemberState = z.infer<typeof memberStateSchema>;

/** What an update of one device costs: as predicted before, or as it was. */
export const updateCostSchema = z.strictObject({
  bytesToFetch: z.int().min(0),
  seconds: z.number().min(0).nullable().describe('null: not known'),
});

export const memberSchema = z.strictObject({
  device: nameSchema,
  wave: z.int().min(0).nullable().describe('null until the device is started'),
  state: memberStateSchema,
  reason: z.string(),
  message: z.string().max(LIMITS.errorMessageLength),
  progressAt: instantSchema.nullable().describe('When the device last made progress'),
  variant: variantNameSchema.nullable().default(null).describe('What it shall run'),
  artifactId: sha256Schema.nullable().default(null).describe('What it shall run'),
  previous: modelIdentitySchema
    .nullable()
    .default(null)
    .describe('What it ran when it was started, and goes back to; null: nothing'),
  hardwareClass: z.string().default('unknown').describe('Gates judge each class by itself'),
  hold: holdSchema.default('None').describe('How far it may go now'),
  attempts: z.int().min(0).default(0).describe('That failed, since it was started or retried'),
  failedRevision: z
    .int()
    .min(0)
    .nullable()
    .default(null)
    .describe('Of the desired state that failed last'),
  nextAttemptAt: instantSchema.nullable().default(null).describe('When it is started again'),
  startedAt: instantSchema.nullable().default(null).describe('The last attempt'),
  activatedAt: instantSchema.nullable().default(null),
  stoppedAt: instantSchema
    .nullable()
    .default(null)
    .describe('Since when it is offline or held, so that its timeout does not run'),
  stoppedSeconds: z.number().min(0).default(0).describe('So spent before, since startedAt'),
  predicted: updateCostSchema.nullable().default(null),
  actual: z
    .strictObject({ bytesFetched: z.int().min(0), seconds: z.number().min(0).nullable() })
    .nullable()
    .default(null),
});
export type Member = z.infer<typeof memberSchema>;

export const rolloutPhaseSchema = z.enum([
  'Pending',
  'Progressing',
  'Paused',
  'Complete',
  'Refused',
  'Aborted',
  'RollingBack',
  'RolledBack',
]);
export type RolloutPhase = z.infer<typeof rolloutPhaseSchema>;

/** Why a revision is given up. A changed spec, or the retry action, starts over. */
export const abandonmentSchema = z.strictObject({
  how: z
    .enum(['Abort', 'RollBack'])
    .describe('Abort: what is active stays; RollBack: every device goes back'),
  reason: z.string(),
  message: z.string().max(LIMITS.errorMessageLength),
  at: instantSchema,
  generation: z.int().min(1).describe('The last one that asks for what is given up'),
});
export type Abandonment = z.infer<typeof abandonmentSchema>;

export const rolloutStatusSchema = z.strictObject({
  observedGeneration: z.int().min(0),
  phase: rolloutPhaseSchema,
  revision: z.int().min(0).describe('The generation that is being rolled out'),
  specDigest: z
    .string()
    .describe(
      'SHA-256 of what is being rolled out: the spec without paused and force, and how it is served',
    ),
  artifactId: sha256Schema
    .nullable()
    .describe('What is being rolled out; null: nothing yet, or several'),
  artifactIds: z.array(sha256Schema).default([]).describe('Of the variants to choose from'),
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
    pinned: z.int().min(0).default(0),
    rolledBack: z.int().min(0).default(0),
  }),
  startedAt: instantSchema.nullable().default(null).describe('When this revision was taken up'),
  approvedWave: z.int().min(0).default(0).describe('The last wave that a person let open'),
  gates: z
    .array(gateResultSchema)
    .default([])
    .describe('The last result of each gate and hardware class'),
  abandoned: abandonmentSchema.nullable().default(null),
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

export const revisionOutcomeSchema = z.enum([
  'InProgress',
  'Complete',
  'Aborted',
  'RolledBack',
  'Superseded',
]);
export type RevisionOutcome = z.infer<typeof revisionOutcomeSchema>;

/** What a rollout was once asked to do, and what became of it. */
export const revisionSchema = z.strictObject({
  revision: z.int().min(1).describe('The generation that set it'),
  spec: rolloutSpecSchema,
  artifactIds: z.array(sha256Schema),
  outcome: revisionOutcomeSchema,
  createdAt: instantSchema,
  updatedAt: instantSchema,
});
export type Revision = z.infer<typeof revisionSchema>;

/** `POST /api/v1/rollouts/{name}/rollback` body. */
export const rollbackInputSchema = z.strictObject({
  revision: z.int().min(1).optional().describe('None: the one before this'),
});

/** `POST /api/v1/rollouts/{name}/approve` body. */
export const approveInputSchema = z.strictObject({
  wave: z
    .int()
    .min(1)
    .optional()
    .describe('The wave to open, as the condition says; none: the next'),
});

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
