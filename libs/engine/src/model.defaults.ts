/**
 * What a config.json means that leaves a key out: the defaults of the Hugging Face transformers
 * configuration classes (4.57 and 5). An absent num_key_value_heads is not always the same as null,
 * which means as many as heads; nor is an absent sliding_window, as null means none.
 */
const LLAMA = {
  vocab_size: 32_000,
  hidden_size: 4096,
  intermediate_size: 11_008,
  num_hidden_layers: 32,
  num_attention_heads: 32,
  max_position_embeddings: 2048,
  rms_norm_eps: 1e-6,
  hidden_act: 'silu',
  tie_word_embeddings: false,
  rope_theta: 10_000,
  bos_token_id: 1,
  eos_token_id: 2,
} as const;

const QWEN = {
  ...LLAMA,
  vocab_size: 151_936,
  intermediate_size: 22_016,
  num_key_value_heads: 32,
  max_position_embeddings: 32_768,
  use_sliding_window: false,
  sliding_window: 4096,
  max_window_layers: 28,
  bos_token_id: null,
  eos_token_id: null,
} as const;

export const MODEL_DEFAULTS = {
  llama: LLAMA,
  mistral: {
    ...LLAMA,
    intermediate_size: 14_336,
    num_key_value_heads: 8,
    max_position_embeddings: 131_072,
    sliding_window: 4096,
  },
  phi3: {
    ...LLAMA,
    vocab_size: 32_064,
    hidden_size: 3072,
    intermediate_size: 8192,
    max_position_embeddings: 4096,
    original_max_position_embeddings: 4096,
    rms_norm_eps: 1e-5,
    eos_token_id: 32_000,
  },
  qwen2: QWEN,
  qwen3: { ...QWEN, head_dim: 128 },
} as const;

/** The `model_type` of config.json. */
export type ModelType = keyof typeof MODEL_DEFAULTS;
export const SUPPORTED_MODEL_TYPES = Object.keys(MODEL_DEFAULTS) as readonly ModelType[];
