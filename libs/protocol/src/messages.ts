import { z } from 'zod';
import { artifactRefSchema, deltaRefSchema } from './artifact.ts';
import { LIMITS } from './limits.ts';
import { instantSchema } from './meta.ts';
import {
  labelsSchema,
  labelValueSchema,
  nameSchema,
  sha256Schema,
  variantNameSchema,
} from './names.ts';
import { probeSchema } from './quality.ts';
import { timeoutsSchema } from './strategy.ts';

export const SCHEMA_VERSION = 1;

/** The model a device shall run. */
export const targetSchema = z.strictObject({
  model: nameSchema,
  variant: variantNameSchema,
  artifact: artifactRefSchema,
  memoryBytes: z.int().min(1).describe('Resident size of the decoded weights'),
  contextLength: z.int().min(1).describe('Longest context to serve'),
  kvCacheBytes: z.int().min(0).describe('KV cache at that context length'),
  probe: probeSchema,
  samplePrompt: z.string().max(1000).nullable().describe('Prompt to continue as a sample'),
  deltas: z
    .array(deltaRefSchema)
    .max(LIMITS.deltasPerTarget)
    .optional()
    .describe('Smaller ways to this artifact for a device that holds another one complete'),
});
export type Target = z.infer<typeof targetSchema>;

/**
 * How far a device may go. `Download`: fetch nothing (what is held stays; what is complete is
 * verified and waits). `Activation`: fetch, verify, then wait in phase Staged. A device that has
 * begun to activate goes on whatever the hold.
 */
export const holdSchema = z.enum(['None', 'Download', 'Activation']);
export type Hold = z.infer<typeof holdSchema>;

/**
 * Retained on `d/<device>/desired`: the whole wanted state. A device acts on the highest
 * `revision` it has seen and ignores lower ones.
 */
export const desiredSchema = z.strictObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  device: nameSchema,
  revision: z.int().min(1),
  rollout: nameSchema.nullable(),
  attempt: z.int().min(0).describe('Raised to make the device try a failed target again'),
  target: targetSchema.nullable().describe('null: run no model'),
  issuedAt: instantSchema,
  hold: holdSchema.optional().describe('None when absent'),
  timeouts: timeoutsSchema.optional().describe('The device fails a step that takes longer'),
  onAbandon: z
    .enum(['Finish', 'RollBack'])
    .optional()
    .describe(
      'Of a target that this one replaces: a device that is activating it finishes first, or ' +
        'drops it at once (when absent)',
    ),
});
export type Desired = z.infer<typeof desiredSchema>;

export const phaseSchema = z.enum([
  'Idle',
  'Downloading',
  'Verifying',
  'Staged',
  'Decoding',
  'Testing',
  'Activating',
  'Active',
  'Failed',
]);
export type Phase = z.infer<typeof phaseSchema>;

/** Read from the system, never invented: a reading that is absent is null. */
export const capabilitiesSchema = z.strictObject({
  architecture: z.string().describe('As uname -m prints it, e.g. x86_64, aarch64'),
  cpuModel: z.string().nullable(),
  cores: z.int().min(1),
  isa: z.array(z.string()).describe('Instruction set extensions the kernels can use'),
  memoryBytes: z.int().min(1),
  memoryAvailableBytes: z.int().min(0).nullable(),
  diskFreeBytes: z.int().min(0).nullable(),
  diskReclaimableBytes: z
    .int()
    .min(0)
    .optional()
    .describe('Older artifacts, which the device deletes when an update needs the room'),
  accelerator: z.string().nullable(),
  linkBytesPerSecond: z
    .number()
    .min(0)
    .nullable()
    .optional()
    .describe('Chunk payload received in a second while downloading, as last measured'),
  readBytesPerSecond: z
    .number()
    .min(0)
    .nullable()
    .optional()
    .describe('Memory bandwidth of the kernels with all threads, as measured at start'),
});
export type Capabilities = z.infer<typeof capabilitiesSchema>;

export const measurementSchema = z.strictObject({
  kind: z.enum(['Activation', 'Periodic']),
  measuredAt: instantSchema,
  artifactId: sha256Schema,
  threads: z.int().min(1),
  prefillTokensPerSecond: z.number().min(0).nullable(),
  decodeTokensPerSecond: z.number().min(0).nullable(),
  entropyDecodeGigabytesPerSecond: z
    .number()
    .min(0)
    .nullable()
    .describe('Decoded bytes per second of the parallel entropy decoder, in 10^9'),
  loadSeconds: z.number().min(0).nullable(),
  residency: z
    .string()
    .max(2000)
    .nullable()
    .optional()
    .describe('How the weights are held in memory, and why'),
  peakRssBytes: z.int().min(0).nullable(),
  temperatureCelsius: z.number().nullable(),
  p95TokenSeconds: z
    .number()
    .min(0)
    .nullable()
    .optional()
    .describe('Time of a decoded token that 95 % of them stayed within'),
  perplexity: z
    .number()
    .min(1)
    .nullable()
    .optional()
    .describe("Of the probe's prompt tokens, by this device's kernels"),
  fingerprintDeviation: z
    .number()
    .min(0)
    .nullable()
    .describe('Largest logit difference over the expected standard deviation'),
});
export type Measurement = z.infer<typeof measurementSchema>;

/** One variant of a model, as it was encoded once. */
export const modelIdentitySchema = z.strictObject({
  model: nameSchema,
  variant: variantNameSchema,
  artifactId: sha256Schema,
});

export type ModelIdentity = z.infer<typeof modelIdentitySchema>;

/**
 * Published on `d/<device>/report`: the device's whole reported state. Of two reports the one
 * with the greater (`boot`, `sequence`) is newer, whatever order they arrive in.
 */
export const reportSchema = z.strictObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  device: nameSchema,
  boot: z.int().min(1).describe('Starts of this agent, counted in its journal'),
  sequence: z.int().min(1),
  at: instantSchema,
  agentVersion: z.string(),
  labels: labelsSchema,
  capabilities: capabilitiesSchema,
  observedRevision: z.int().min(0).describe('Revision of desired this report speaks of; 0: none'),
  observedAttempt: z.int().min(0),
  phase: phaseSchema,
  target: modelIdentitySchema.nullable(),
  active: modelIdentitySchema.nullable().describe('The model that serves right now'),
  restoring: modelIdentitySchema
    .nullable()
    .optional()
    .describe('The model that served before a start and is being loaded again'),
  endpoint: z.string().nullable().describe('Where the OpenAI-compatible API listens'),
  download: z
    .strictObject({
      chunksTotal: z.int().min(0),
      chunksHeld: z.int().min(0),
      bytesTotal: z.int().min(0),
      bytesHeld: z.int().min(0),
      bytesReceived: z.int().min(0).describe('Wanted chunk payload since the target was set'),
      bytesDuplicate: z.int().min(0).describe('Chunk payload that was held already'),
      chunksCorrupt: z.int().min(0),
    })
    .nullable(),
  phaseSeconds: z.partialRecord(phaseSchema, z.number().min(0)),
  measurement: measurementSchema.nullable(),
  baseline: measurementSchema
    .nullable()
    .optional()
    .describe('The last measurement of the model that served before, on this device'),
  rolledBack: z
    .strictObject({
      from: modelIdentitySchema,
      reason: z.string().regex(/^[A-Z][A-Za-z0-9]*$/),
      message: z.string().max(LIMITS.errorMessageLength),
      at: instantSchema,
    })
    .nullable()
    .optional()
    .describe('The device went back to its previous model by itself'),
  delta: z
    .strictObject({
      baseArtifactId: sha256Schema,
      outcome: z.enum(['Applied', 'FellBack']),
      message: z.string().max(LIMITS.errorMessageLength),
    })
    .nullable()
    .optional()
    .describe('Whether the target was rebuilt from a delta, or why it was fetched whole'),
  sample: z
    .strictObject({
      prompt: z.string().max(1000),
      text: z.string().max(LIMITS.sampleTextLength),
    })
    .nullable(),
  error: z
    .strictObject({
      reason: z.string().regex(/^[A-Z][A-Za-z0-9]*$/),
      message: z.string().max(LIMITS.errorMessageLength),
    })
    .nullable(),
});
export type Report = z.infer<typeof reportSchema>;

/**
 * `Any`: to all lanes. A device leaves the shared lane for its site's, and that for its own, when
 * the first chunk arrives there: that is how it learns that a cap holds for it.
 */
export const listensSchema = z.enum(['Any', 'Site', 'Device']);
export type Listens = z.infer<typeof listensSchema>;

/**
 * Published on `d/<device>/want`: chunks the device still lacks, as a bitmap (bit i of byte
 * i>>3, least significant first, is transfer index i), and how many may be in flight.
 */
export const wantSchema = z.strictObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  device: nameSchema,
  artifact: sha256Schema,
  window: z.int().min(1).max(LIMITS.windowChunksMax),
  chunkCount: z.int().min(1).max(LIMITS.chunksPerArtifact),
  lacking: z.base64().max(LIMITS.chunksPerArtifact / 6),
  site: labelValueSchema.min(1).optional().describe("The device's label entrofleet.io/site"),
  listens: listensSchema
    .optional()
    .describe('On which lanes chunks reach the device; the shared one alone when absent'),
  bytesPerSecond: z
    .int()
    .min(0)
    .optional()
    .describe("The device's own cap instead of the controller's default; 0: none"),
  ref: artifactRefSchema.optional().describe('For a relay, which hears of artifacts only here'),
});
export type Want = z.infer<typeof wantSchema>;

/** Retained on `d/<device>/presence`; `online: false` is the agent's MQTT will message. */
export const presenceSchema = z.strictObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  device: nameSchema,
  online: z.boolean(),
  boot: z.int().min(1),
});
export type Presence = z.infer<typeof presenceSchema>;

/** Retained on `relay` at a site's own broker; `online: false` is the relay's MQTT will message. */
export const relayPresenceSchema = z.strictObject({
  schemaVersion: z.literal(SCHEMA_VERSION),
  device: nameSchema,
  online: z.boolean(),
});
export type RelayPresence = z.infer<typeof relayPresenceSchema>;
