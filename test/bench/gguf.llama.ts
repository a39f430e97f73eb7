import type { GgufValue } from './gguf.header.ts';

/** What of config.json llama.cpp's architecture "llama" needs. */
export interface LlamaConfig {
  readonly hidden_size: number;
  readonly intermediate_size: number;
  readonly num_hidden_layers: number;
  readonly num_attention_heads: number;
  readonly num_key_value_heads?: number | undefined;
  readonly max_position_embeddings: number;
  readonly rms_norm_eps: number;
  readonly rope_theta?: number | undefined;
  readonly vocab_size: number;
  readonly bos_token_id: number;
  readonly eos_token_id: number;
}

const LAYER_NAMES: Readonly<Record<string, string>> = {
  input_layernorm: 'attn_norm',
  'self_attn.q_proj': 'attn_q',
  'self_attn.k_proj': 'attn_k',
  'self_attn.v_proj': 'attn_v',
  'self_attn.o_proj': 'attn_output',
  post_attention_layernorm: 'ffn_norm',
  'mlp.gate_proj': 'ffn_gate',
  'mlp.up_proj': 'ffn_up',
  'mlp.down_proj': 'ffn_down',
};
const WHOLE_NAMES: Readonly<Record<string, string>> = {
  'model.embed_tokens.weight': 'token_embd.weight',
  'model.norm.weight': 'output_norm.weight',
  'lm_head.weight': 'output.weight',
};

/** llama.cpp's name of a tensor of a Hugging Face Llama. @throws Error for others. */
export function ggufName(name: string): string {
  const [, layer, part = ''] = /^model\.layers\.(\d+)\.(.+)\.weight$/.exec(name) ?? [];
  const found = layer === undefined ? WHOLE_NAMES[name] : LAYER_NAMES[part];
  if (found === undefined) throw new Error(`${name} is no tensor of a Llama`);
  return layer === undefined ? found : `blk.${layer}.${found}.weight`;
}

/**
 * Which row of a Hugging Face matrix each row of llama.cpp's is. Hugging Face turns the halves of a
 * head against each other, llama.cpp's "llama" neighbours, so queries and keys are woven
 * (convert_hf_to_gguf.py: LlamaModel.permute). Other matrices have `undefined`: their order stays.
 */
export function rowOrder(name: string, config: LlamaConfig): Uint32Array | undefined {
  const { num_attention_heads: heads, hidden_size: hidden } = config;
  const isQuery = name.endsWith('.q_proj.weight');
  if (!isQuery && !name.endsWith('.k_proj.weight')) return undefined;
  const headSize = hidden / heads;
  const count = isQuery ? heads : (config.num_key_value_heads ?? heads);
  return Uint32Array.from({ length: count * headSize }, (_, row) => {
    const within = row % headSize;
    return row - within + (within % 2) * (headSize / 2) + (within >> 1);
  });
}

const TOKEN_TYPE = { normal: 1, unknown: 2, control: 3, byte: 6 } as const;

/**
 * @param tokens by id. Their order stands for their scores: benchmarks give ids, not text, so the
 * vocabulary is only there because llama.cpp wants one.
 */
export function llamaMetadata(
  config: LlamaConfig,
  tokens: readonly string[],
): [string, GgufValue][] {
  const heads = config.num_attention_heads;
  const typeOf = (token: string) => {
    if (token === '<unk>') return TOKEN_TYPE.unknown;
    if (token === '<s>' || token === '</s>') return TOKEN_TYPE.control;
    return /^<0x[0-9A-F]{2}>$/.test(token) ? TOKEN_TYPE.byte : TOKEN_TYPE.normal;
  };
  return [
    ['general.architecture', { string: 'llama' }],
    ['llama.context_length', { uint32: config.max_position_embeddings }],
    ['llama.embedding_length', { uint32: config.hidden_size }],
    ['llama.block_count', { uint32: config.num_hidden_layers }],
    ['llama.feed_forward_length', { uint32: config.intermediate_size }],
    ['llama.attention.head_count', { uint32: heads }],
    ['llama.attention.head_count_kv', { uint32: config.num_key_value_heads ?? heads }],
    ['llama.attention.layer_norm_rms_epsilon', { float32: config.rms_norm_eps }],
    ['llama.rope.dimension_count', { uint32: config.hidden_size / heads }],
    ['llama.rope.freq_base', { float32: config.rope_theta ?? 10_000 }],
    ['llama.vocab_size', { uint32: config.vocab_size }],
    ['tokenizer.ggml.model', { string: 'llama' }],
    ['tokenizer.ggml.tokens', { strings: tokens }],
    ['tokenizer.ggml.scores', { float32s: tokens.map((_, id) => -id) }],
    ['tokenizer.ggml.token_type', { int32s: tokens.map(typeOf) }],
    ['tokenizer.ggml.bos_token_id', { uint32: config.bos_token_id }],
    ['tokenizer.ggml.eos_token_id', { uint32: config.eos_token_id }],
    ['tokenizer.ggml.unknown_token_id', { uint32: 0 }],
  ];
}
