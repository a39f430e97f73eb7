import type { ModelGeometry } from '@entrofleet/native';
import { z } from 'zod';
import { EngineError } from './engine.error.ts';
import { ENGINE_LIMITS } from './limits.ts';
import {
  parseRope,
  type RopeConfig,
  type RotaryPrecision,
  ropeKeysSchema,
  rotaryFrequencies,
} from './rope.config.ts';

export const SUPPORTED_MODEL_TYPES = ['llama', 'mistral', 'phi3', 'qwen2'] as const;
export type ModelType = (typeof SUPPORTED_MODEL_TYPES)[number];

/** A checked config.json. */
export interface ModelConfig {
  readonly modelType: ModelType;
  readonly vocabularySize: number;
  readonly hiddenSize: number;
  readonly intermediateSize: number;
  readonly layers: number;
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  readonly contextLength: number;
  readonly normEpsilon: number;
  readonly rope: RopeConfig;
  /** Attention sees only this many latest positions; 0: all. */
  readonly slidingWindow: number;
  readonly tiedEmbeddings: boolean;
  /** Biases of query, key and value; `output` says whether the output projection has one too. */
  readonly attentionBias: { readonly input: boolean; readonly output: boolean };
  readonly mlpBias: boolean;
  /** Phi-3 stores q, k, v as one tensor, and gate, up as another. */
  readonly fusedProjections: boolean;
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
}

const count = (most: number) => z.int().min(1).max(most);
const tokenId = z.int().min(0).max(ENGINE_LIMITS.vocabularySize);

const configSchema = ropeKeysSchema.extend({
  model_type: z.string(),
  vocab_size: count(ENGINE_LIMITS.vocabularySize),
  hidden_size: count(ENGINE_LIMITS.hiddenSize),
  intermediate_size: count(ENGINE_LIMITS.intermediateSize),
  num_hidden_layers: count(ENGINE_LIMITS.layers),
  num_attention_heads: count(ENGINE_LIMITS.heads),
  num_key_value_heads: count(ENGINE_LIMITS.heads).nullish(),
  head_dim: count(ENGINE_LIMITS.headSize).nullish(),
  max_position_embeddings: count(ENGINE_LIMITS.contextLength),
  rms_norm_eps: z.number().gt(0).max(1).nullish(),
  hidden_act: z.string().nullish(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  sliding_window: count(ENGINE_LIMITS.contextLength).nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().min(0).nullish(),
  layer_types: z.array(z.string()).nullish(),
  quantization_config: z.unknown().optional(),
  bos_token_id: tokenId.nullish(),
  eos_token_id: z.union([tokenId, z.array(tokenId).max(64)]).nullish(),
});
type Fields = z.infer<typeof configSchema>;

function bad(message: string): EngineError {
  return new EngineError('BadConfig', `config.json: ${message}`);
}

function unsupported(message: string): EngineError {
  return new EngineError('UnsupportedArchitecture', `config.json: ${message}`);
}

/**
 * Reads a Hugging Face config.json. Both spellings are understood: `rope_theta` and
 * `rope_scaling`, or `rope_parameters`; `torch_dtype` and `dtype` are not needed, since every
 * tensor states its type. A missing `head_dim` is hidden_size / num_attention_heads, a missing
 * `num_key_value_heads` is num_attention_heads.
 *
 * @throws EngineError `UnsupportedArchitecture` or `BadConfig`, naming the field.
 */
export function parseModelConfig(json: unknown): ModelConfig {
  const modelType = readModelType(json);
  const parsed = configSchema.safeParse(json);
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw bad(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
  }
  const fields = parsed.data;
  refuseUnsupported(fields);
  const heads = fields.num_attention_heads;
  const keyValueHeads = fields.num_key_value_heads ?? heads;
  if (heads % keyValueHeads !== 0) {
    throw bad(`num_attention_heads ${heads} is no multiple of num_key_value_heads`);
  }
  const eos = fields.eos_token_id ?? [];
  const qwen = modelType === 'qwen2';
  const config: ModelConfig = {
    modelType,
    vocabularySize: fields.vocab_size,
    hiddenSize: fields.hidden_size,
    intermediateSize: fields.intermediate_size,
    layers: fields.num_hidden_layers,
    heads,
    keyValueHeads,
    headSize: readHeadSize(fields),
    contextLength: fields.max_position_embeddings,
    normEpsilon: fields.rms_norm_eps ?? (modelType === 'phi3' ? 1e-5 : 1e-6),
    rope: parseRope(fields),
    slidingWindow: readSlidingWindow(fields, modelType),
    tiedEmbeddings: fields.tie_word_embeddings ?? false,
    attentionBias: {
      input: qwen || (fields.attention_bias ?? false),
      output: !qwen && (fields.attention_bias ?? false),
    },
    mlpBias: fields.mlp_bias ?? false,
    fusedProjections: modelType === 'phi3',
    bosTokenId: fields.bos_token_id ?? null,
    eosTokenIds: Array.isArray(eos) ? eos : [eos],
  };
  requireTokensInVocabulary(config);
  return config;
}

function readModelType(json: unknown): ModelType {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw bad('is not a JSON object');
  }
  const text = 'model_type' in json ? json.model_type : undefined;
  const type = SUPPORTED_MODEL_TYPES.find((supported) => supported === text);
  if (type !== undefined) return type;
  throw unsupported(
    `model_type ${JSON.stringify(text) ?? 'is missing and'} is not supported; ` +
      `supported are ${SUPPORTED_MODEL_TYPES.join(', ')}`,
  );
}

function refuseUnsupported(fields: Fields): void {
  const activation = fields.hidden_act ?? 'silu';
  if (activation !== 'silu' && activation !== 'swish') {
    throw unsupported(`hidden_act "${activation}" is not supported; only silu is`);
  }
  if (fields.quantization_config != null) {
    throw unsupported(
      'quantization_config: the checkpoint is already quantized; ' +
        'give the original one in f32, f16 or bf16',
    );
  }
}

function readHeadSize(fields: Fields): number {
  const size = fields.head_dim ?? fields.hidden_size / fields.num_attention_heads;
  if (!Number.isInteger(size)) {
    throw bad('hidden_size is no multiple of num_attention_heads, and head_dim is missing');
  }
  if (size % 2 !== 0) throw bad(`head_dim ${size} is odd; rotary embeddings need an even one`);
  return size;
}

/**
 * One window for all layers, or none. Qwen2 uses its window only with `use_sliding_window`, and
 * then from layer `max_window_layers` on; Llama has none.
 */
function readSlidingWindow(fields: Fields, modelType: ModelType): number {
  const window = fields.sliding_window ?? 0;
  if (window === 0 || modelType === 'llama') return 0;
  if (modelType !== 'qwen2' && fields.layer_types == null) return window;
  const sliding = slidingLayers(fields, modelType);
  if (sliding === 0) return 0;
  if (sliding === fields.num_hidden_layers) return window;
  throw unsupported('a sliding window in some layers only is not supported');
}

function slidingLayers(fields: Fields, modelType: ModelType): number {
  if (modelType === 'qwen2' && fields.use_sliding_window !== true) return 0;
  if (fields.layer_types != null) {
    if (fields.layer_types.length !== fields.num_hidden_layers) {
      throw bad('layer_types does not have num_hidden_layers entries');
    }
    return fields.layer_types.filter((type) => type === 'sliding_attention').length;
  }
  return Math.max(0, fields.num_hidden_layers - (fields.max_window_layers ?? 0));
}

function requireTokensInVocabulary(config: ModelConfig): void {
  const ids = [...(config.bosTokenId === null ? [] : [config.bosTokenId]), ...config.eosTokenIds];
  const outside = ids.find((id) => id >= config.vocabularySize);
  if (outside === undefined) return;
  throw bad(`bos_token_id or eos_token_id ${outside} is outside vocab_size`);
}

/** What the native engine needs to know of a config. */
export function toGeometry(
  config: ModelConfig,
  precision: RotaryPrecision = 'exact',
): ModelGeometry {
  return {
    vocabularySize: config.vocabularySize,
    hiddenSize: config.hiddenSize,
    intermediateSize: config.intermediateSize,
    layers: config.layers,
    heads: config.heads,
    keyValueHeads: config.keyValueHeads,
    headSize: config.headSize,
    contextLength: config.contextLength,
    normEpsilon: config.normEpsilon,
    rotaryFrequencies: rotaryFrequencies(config.rope, config.headSize, precision),
    rotaryScale: 1,
    slidingWindows: new Uint32Array(config.layers).fill(config.slidingWindow),
    tiedEmbeddings: config.tiedEmbeddings,
  };
}
