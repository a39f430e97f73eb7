import type { ResidentTensor } from '@entrofleet/native';
import { createRandomSource } from '../src/random.source.ts';
import type { WeightSource } from '../src/weight.source.ts';
import type { NamedTensor, StateDict } from './transformers.reference.ts';

/** A config.json with everything that must be there; the older spelling. */
export const SMALL_CONFIG = {
  vocab_size: 67,
  hidden_size: 40,
  intermediate_size: 56,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  max_position_embeddings: 96,
  rms_norm_eps: 1e-5,
  hidden_act: 'silu',
  rope_theta: 10_000,
  bos_token_id: 1,
  eos_token_id: 2,
} as const;

/**
 * Random tensors under the names that transformers gives to a model of this config. Every bias a
 * family may have is there, in use or not.
 */
export function randomStateDict(config: Readonly<Record<string, unknown>>, seed = 5): StateDict {
  const random = createRandomSource(seed);
  const state = new Map<string, NamedTensor>();
  const add = (name: string, shape: number[], spread: number, mean = 0) => {
    const length = shape.reduce((a, b) => a * b, 1);
    const value = () => mean + (random.next() - 0.5) * spread;
    state.set(name, { shape, data: Float32Array.from({ length }, value) });
  };
  const matrix = (name: string, rows: number, columns: number) => {
    add(`${name}.weight`, [rows, columns], 5 / Math.sqrt(columns));
    add(`${name}.bias`, [rows], 1);
  };
  const norm = (name: string, size: number) => add(`${name}.weight`, [size], 1, 1);
  const read = (key: string, otherwise = 0) => Number(config[key] ?? otherwise);
  const hidden = read('hidden_size');
  const inner = read('intermediate_size');
  const heads = read('num_attention_heads');
  const headDim = read('head_dim', hidden / heads);
  const [queries, keys] = [heads * headDim, read('num_key_value_heads', heads) * headDim];
  add('model.embed_tokens.weight', [read('vocab_size'), hidden], 2);
  for (let layer = 0; layer < read('num_hidden_layers'); layer++) {
    const prefix = `model.layers.${layer}`;
    norm(`${prefix}.input_layernorm`, hidden);
    norm(`${prefix}.post_attention_layernorm`, hidden);
    matrix(`${prefix}.self_attn.o_proj`, hidden, queries);
    matrix(`${prefix}.mlp.down_proj`, hidden, inner);
    if (config.model_type === 'phi3') {
      matrix(`${prefix}.self_attn.qkv_proj`, queries + 2 * keys, hidden);
      matrix(`${prefix}.mlp.gate_up_proj`, 2 * inner, hidden);
      continue;
    }
    matrix(`${prefix}.self_attn.q_proj`, queries, hidden);
    matrix(`${prefix}.self_attn.k_proj`, keys, hidden);
    matrix(`${prefix}.self_attn.v_proj`, keys, hidden);
    matrix(`${prefix}.mlp.gate_proj`, inner, hidden);
    matrix(`${prefix}.mlp.up_proj`, inner, hidden);
    if (config.model_type === 'qwen3') {
      norm(`${prefix}.self_attn.q_norm`, headDim);
      norm(`${prefix}.self_attn.k_norm`, headDim);
    }
    add(`${prefix}.self_attn.rotary_emb.inv_freq`, [headDim / 2], 1);
  }
  norm('model.norm', hidden);
  if (config.tie_word_embeddings !== true) {
    add('lm_head.weight', [read('vocab_size'), hidden], 5 / Math.sqrt(hidden));
  }
  return state;
}

/** A checkpoint with these files, for the loader. */
export function weightSource(config: unknown, state: StateDict): WeightSource {
  return {
    config,
    tensorNames: [...state.keys()],
    readResident: async (name): Promise<ResidentTensor> => {
      const tensor = state.get(name);
      if (tensor === undefined) throw new Error(`no tensor ${name}`);
      const [rows = 1, columns] = tensor.shape;
      return columns === undefined
        ? { format: 'f32', rows: 1, columns: rows, data: tensor.data }
        : { format: 'f32', rows, columns, data: tensor.data };
    },
  };
}
