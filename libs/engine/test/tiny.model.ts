import { native } from '@entrofleet/native';
import { LanguageModel } from '../src/language.model.ts';
import { parseModelConfig, toGeometry } from '../src/model.config.ts';
import { type TinyOptions, tinyTensors } from './reference.model.ts';

/** A config.json of the older spelling that is as small as can be. */
export const TINY_CONFIG_JSON = {
  model_type: 'llama',
  vocab_size: 96,
  hidden_size: 32,
  intermediate_size: 48,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  hidden_act: 'silu',
  rope_theta: 10_000,
  rope_scaling: null,
  torch_dtype: 'bfloat16',
  tie_word_embeddings: true,
  bos_token_id: 1,
  eos_token_id: 2,
} as const;

/** A random model whose texts are not all alike. */
export function createTinyModel(
  options: Partial<TinyOptions> & { threads?: number; config?: Record<string, unknown> } = {},
): LanguageModel {
  const config = parseModelConfig({ ...TINY_CONFIG_JSON, ...options.config });
  const geometry = toGeometry(config);
  const threads = options.threads ?? 1;
  const tensors = tinyTensors(geometry, { format: 'f32', ...options });
  return new LanguageModel(native.createModel(geometry, tensors, { threads }), { config, threads });
}
