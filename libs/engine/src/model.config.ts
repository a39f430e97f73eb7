import type { ModelGeometry } from '@entrofleet/native';
import { z } from 'zod';
import { badConfig, unsupportedConfig } from './config.error.ts';
import { ENGINE_LIMITS } from './limits.ts';
import { MODEL_DEFAULTS, type ModelType, SUPPORTED_MODEL_TYPES } from './model.defaults.ts';
import { parseRope, type RopeConfig, ropeKeysSchema } from './rope.config.ts';
import { type RotaryPrecision, rotaryFrequencies, rotaryScale } from './rotary.frequencies.ts';
import { slidingWindows } from './sliding.windows.ts';

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
  /** For each layer how many of the latest positions attention sees; 0: all. */
  readonly slidingWindows: readonly number[];
  readonly tiedEmbeddings: boolean;
  /** Biases of query, key and value; `output` says whether the output projection has one too. */
  readonly attentionBias: { readonly input: boolean; readonly output: boolean };
  readonly mlpBias: boolean;
  /** Qwen3 normalizes each head of queries and keys before it is rotated. */
  readonly headNorms: boolean;
  /** Phi-3 stores q, k, v as one tensor, and gate, up as another. */
  readonly fusedProjections: boolean;
  readonly bosTokenId: number | null;
  readonly eosTokenIds: readonly number[];
}

const count = (most: number) => z.int().min(1).max(most);

const configSchema = ropeKeysSchema.extend({
  vocab_size: count(ENGINE_LIMITS.vocabularySize),
  hidden_size: count(ENGINE_LIMITS.hiddenSize),
  intermediate_size: count(ENGINE_LIMITS.intermediateSize),
  num_hidden_layers: count(ENGINE_LIMITS.layers),
  num_attention_heads: count(ENGINE_LIMITS.heads),
  num_key_value_heads: count(ENGINE_LIMITS.heads).nullish(),
  head_dim: count(ENGINE_LIMITS.headSize).nullish(),
  max_position_embeddings: count(ENGINE_LIMITS.contextLength),
  rms_norm_eps: z.number().gt(0).max(1),
  hidden_act: z.string(),
  attention_bias: z.boolean().nullish(),
  mlp_bias: z.boolean().nullish(),
  tie_word_embeddings: z.boolean().nullish(),
  sliding_window: count(ENGINE_LIMITS.contextLength).nullish(),
  use_sliding_window: z.boolean().nullish(),
  max_window_layers: z.int().min(0).nullish(),
  layer_types: z.array(z.string()).nullish(),
  quantization_config: z.unknown().optional(),
  bos_token_id: z.int().nullish(),
  eos_token_id: z.union([z.int(), z.array(z.int()).max(64)]).nullish(),
});
type Fields = z.infer<typeof configSchema>;

/** Keys for which null is nothing but another way to leave them out. */
const NEVER_NULL = Object.keys(configSchema.shape).filter(
  (key) => !configSchema.shape[key as keyof typeof configSchema.shape].safeParse(null).success,
);

/**
 * Reads a Hugging Face config.json. Both spellings are understood: `rope_theta` and
 * `rope_scaling`, or `rope_parameters`; `torch_dtype` and `dtype` are not needed, since every
 * tensor states its type. Missing keys have the defaults of transformers for the model type; a
 * `head_dim` of null is hidden_size / num_attention_heads, `num_key_value_heads` of null is
 * num_attention_heads. Token ids outside the vocabulary are left out: they can never come up.
 *
 * @throws EngineError `UnsupportedArchitecture` or `BadConfig`, naming the field.
 */
export function parseModelConfig(json: unknown): ModelConfig {
  const modelType = readModelType(json);
  const fields = readFields(json, modelType);
  refuseUnsupported(fields);
  const heads = fields.num_attention_heads;
  const keyValueHeads = fields.num_key_value_heads ?? heads;
  if (heads % keyValueHeads !== 0) {
    throw badConfig(`num_attention_heads ${heads} is no multiple of num_key_value_heads`);
  }
  const headSize = readHeadSize(fields);
  const contextLength = fields.max_position_embeddings;
  const isToken = (id: number) => id >= 0 && id < fields.vocab_size;
  return {
    modelType,
    vocabularySize: fields.vocab_size,
    hiddenSize: fields.hidden_size,
    intermediateSize: fields.intermediate_size,
    layers: fields.num_hidden_layers,
    heads,
    keyValueHeads,
    headSize,
    contextLength,
    normEpsilon: fields.rms_norm_eps,
    rope: parseRope(fields, { modelType, headSize, contextLength }),
    slidingWindows: slidingWindows(fields, modelType),
    tiedEmbeddings: fields.tie_word_embeddings ?? false,
    attentionBias: readAttentionBias(fields, modelType),
    mlpBias: modelType === 'llama' && (fields.mlp_bias ?? false),
    headNorms: modelType === 'qwen3',
    fusedProjections: modelType === 'phi3',
    bosTokenId: [fields.bos_token_id ?? -1].find(isToken) ?? null,
    eosTokenIds: [fields.eos_token_id ?? []].flat().filter(isToken),
  };
}

function readModelType(json: unknown): ModelType {
  if (typeof json !== 'object' || json === null || Array.isArray(json)) {
    throw badConfig('is not a JSON object');
  }
  const text = 'model_type' in json ? json.model_type : undefined;
  const type = SUPPORTED_MODEL_TYPES.find((supported) => supported === text);
  if (type !== undefined) return type;
  throw unsupportedConfig(
    `model_type ${JSON.stringify(text) ?? 'is missing and'} is not supported; ` +
      `supported are ${SUPPORTED_MODEL_TYPES.join(', ')}`,
  );
}

function readFields(json: unknown, modelType: ModelType): Fields {
  const stated = Object.entries(Object(json)).filter(
    ([key, value]) => value !== undefined && !(value === null && NEVER_NULL.includes(key)),
  );
  const parsed = configSchema.safeParse({
    ...MODEL_DEFAULTS[modelType],
    ...Object.fromEntries(stated),
  });
  if (parsed.success) return parsed.data;
  const issue = parsed.error.issues[0];
  throw badConfig(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'invalid'}`);
}

function refuseUnsupported(fields: Fields): void {
  const { hidden_act: activation } = fields;
  if (activation !== 'silu' && activation !== 'swish') {
    throw unsupportedConfig(`hidden_act "${activation}" is not supported; only silu is`);
  }
  if (fields.quantization_config != null) {
    throw unsupportedConfig(
      'quantization_config: the checkpoint is already quantized; ' +
        'give the original one in f32, f16 or bf16',
    );
  }
}

function readHeadSize(fields: Fields): number {
  const size = fields.head_dim ?? fields.hidden_size / fields.num_attention_heads;
  if (!Number.isInteger(size)) {
    throw badConfig('hidden_size is no multiple of num_attention_heads, and head_dim is missing');
  }
  if (size % 2 !== 0)
    throw badConfig(`head_dim ${size} is odd; rotary embeddings need an even one`);
  return size;
}

/** Qwen2 always has biases at its inputs, Mistral and Phi-3 none whatever the file says. */
function readAttentionBias(fields: Fields, modelType: ModelType): ModelConfig['attentionBias'] {
  if (modelType === 'qwen2') return { input: true, output: false };
  const isOptional = modelType === 'llama' || modelType === 'qwen3';
  const bias = isOptional && (fields.attention_bias ?? false);
  return { input: bias, output: bias };
}

/**
 * What the native engine needs to know of a config. With long-rope a session keeps to one set of
 * frequencies, chosen by the length of its context; transformers chooses by the length of the text
 * so far, which is the same for a session that the text fills.
 */
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
    rotaryFrequencies: rotaryFrequencies(config.rope, { precision }),
    ...longRotary(config.rope),
    rotaryScale: rotaryScale(config.rope),
    slidingWindows: Uint32Array.from(config.slidingWindows),
    tiedEmbeddings: config.tiedEmbeddings,
  };
}

function longRotary(rope: RopeConfig): Pick<ModelGeometry, 'longRotary'> {
  if (rope.scaling.kind !== 'longrope') return {};
  const frequencies = rotaryFrequencies(rope, { context: 'long' });
  return { longRotary: { frequencies, shortContextLength: rope.scaling.originalContextLength } };
}
