import { initialStatus } from '../../apps/controller/src/rollouts/rollout.status.plan.ts';
import type {
  Artifact,
  Device,
  Model,
  Report,
  Rollout,
  RolloutSpec,
} from '../../libs/protocol/src/index.ts';
import { rolloutSpecSchema } from '../../libs/protocol/src/index.ts';

export const NOW = '2026-11-21T08:00:00.000Z';
const MIB = 1024 * 1024;

/** 64 hexadecimal digits that tell artifacts apart. */
export function digest(text: string): string {
  return Buffer.from(text).toString('hex').padEnd(64, '0').slice(0, 64);
}

function metadata(name: string) {
  return {
    name,
    uid: '00000000-0000-4000-8000-000000000000',
    labels: {},
    generation: 1,
    resourceVersion: '1',
    creationTimestamp: NOW,
    owner: null,
  };
}

export function exampleArtifact(change: Partial<Artifact> = {}): Artifact {
  const id = change.id ?? digest('artifact');
  return {
    id,
    model: 'stories',
    variant: 'u8',
    recipe: 'u8',
    createdAt: NOW,
    ref: {
      id,
      sizeBytes: 20 * MIB,
      headerSizeBytes: 1000,
      headerChunks: [digest('header')],
      chunkCount: 80,
      chunkSizeBytes: 256 * 1024,
    },
    memoryBytes: 60 * MIB,
    contextLength: 1024,
    kvCacheBytesPerToken: 10 * 1024,
    quality: { ...exampleQuality(), tensors: [] },
    probe: {
      promptTokens: [1],
      generateTokens: 1,
      fingerprint: { tokenIds: [1], logits: [0], standardDeviation: 1, tolerance: 1 },
    },
    ...change,
  };
}

function exampleQuality() {
  return {
    sizeBytes: 20 * MIB,
    weights: 15_000_000,
    codedWeights: 15_000_000,
    bitsPerWeight: 5.7,
    entropyBitsPerWeight: 5.66,
    sqnrDb: 40,
    perplexity: 2.863,
    sourcePerplexity: 2.839,
    perplexityRatio: 1.0085,
    evaluation: { origin: 'eval-tokens.json', rows: 16, tokens: 4096 },
    withinBound: true,
  };
}

export function exampleModel(change: Partial<Model['status']['variants'][number]> = {}): Model {
  return {
    metadata: metadata('stories'),
    spec: {
      source: { path: '/models/stories' },
      variants: [
        { name: 'u8', recipe: 'u8', layout: 'auto' },
        { name: 'u4-paper', recipe: 'u4-paper', layout: 'auto' },
      ],
      quality: { maxPerplexityRatio: 1.15 },
      serving: { contextLength: 4096 },
      evaluation: { rows: 16, rowTokens: 256 },
    },
    status: {
      observedGeneration: 1,
      variants: [
        {
          name: 'u8',
          recipe: 'u8',
          phase: 'Ready',
          progress: 1,
          artifactId: digest('artifact'),
          quality: exampleQuality(),
          message: '',
          attempts: 1,
          ...change,
        },
      ],
      counts: { variants: 1, ready: 1, failed: 0 },
      conditions: [],
    },
  };
}

/** A model whose variant u8 is as bad as the paper's uint4 on a small model. */
export function badModel(): Model {
  const quality = { perplexity: 621, perplexityRatio: 218.7, withinBound: false };
  return exampleModel({ quality: { ...exampleQuality(), ...quality } });
}

export function exampleReport(device: string, change: Partial<Report> = {}): Report {
  return {
    schemaVersion: 1,
    device,
    boot: 1,
    sequence: 1,
    at: NOW,
    agentVersion: '0.1.0',
    labels: { site: 'lab' },
    capabilities: {
      architecture: 'aarch64',
      cpuModel: null,
      cores: 6,
      isa: ['neon'],
      memoryBytes: 8192 * MIB,
      memoryAvailableBytes: null,
      diskFreeBytes: 10_000 * MIB,
      accelerator: null,
    },
    observedRevision: 0,
    observedAttempt: 0,
    phase: 'Idle',
    target: null,
    active: null,
    endpoint: null,
    download: null,
    phaseSeconds: {},
    measurement: null,
    sample: null,
    error: null,
    ...change,
  };
}

export function exampleDevice(name: string, change: Partial<Device['status']> = {}): Device {
  return {
    metadata: { ...metadata(name), labels: { site: 'lab' } },
    spec: { labels: {}, pinned: false, quarantined: false },
    status: {
      online: true,
      lastSeen: NOW,
      desired: null,
      report: exampleReport(name),
      conditions: [],
      ...change,
    },
  };
}

export function exampleRollout(
  spec: Partial<Omit<RolloutSpec, 'strategy'>> & {
    strategy?: Partial<RolloutSpec['strategy']>;
  } = {},
): Rollout {
  return {
    metadata: metadata('rollout'),
    spec: rolloutSpecSchema.parse({
      selector: { matchLabels: { site: 'lab' } },
      model: 'stories',
      variant: 'u8',
      ...spec,
    }),
    status: initialStatus(),
  };
}
