import { describe, expect, it } from 'vitest';
import { ggufName, type LlamaConfig, llamaMetadata, rowOrder } from './gguf.llama.ts';

const CONFIG: LlamaConfig = {
  hidden_size: 16,
  intermediate_size: 24,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  vocab_size: 5,
  bos_token_id: 1,
  eos_token_id: 2,
};

describe('ggufName', () => {
  it.each([
    ['model.embed_tokens.weight', 'token_embd.weight'],
    ['model.layers.11.self_attn.o_proj.weight', 'blk.11.attn_output.weight'],
    ['model.layers.0.post_attention_layernorm.weight', 'blk.0.ffn_norm.weight'],
    ['lm_head.weight', 'output.weight'],
  ])('of %s is %s', (name, expected) => {
    expect(ggufName(name)).toBe(expected);
  });

  it('refuses what is no tensor of a Llama', () => {
    expect(() => ggufName('model.layers.0.self_attn.q_norm.weight')).toThrow('q_norm');
  });
});

describe('rowOrder', () => {
  it('weaves the halves of each head of queries and of keys', () => {
    const queries = [0, 4, 1, 5, 2, 6, 3, 7, 8, 12, 9, 13, 10, 14, 11, 15];
    expect([...(rowOrder('model.layers.0.self_attn.q_proj.weight', CONFIG) ?? [])]).toEqual(
      queries,
    );
    expect([...(rowOrder('model.layers.0.self_attn.k_proj.weight', CONFIG) ?? [])]).toEqual(
      queries.slice(0, 8),
    );
  });

  it('leaves other matrices as they are', () => {
    expect(rowOrder('model.layers.0.self_attn.v_proj.weight', CONFIG)).toBeUndefined();
  });
});

describe('llamaMetadata', () => {
  it('tells llama.cpp the shape and which tokens are special', () => {
    const metadata = new Map(llamaMetadata(CONFIG, ['<unk>', '<s>', '</s>', '<0x0A>', 'a']));
    expect(metadata.get('llama.attention.head_count_kv')).toEqual({ uint32: 1 });
    expect(metadata.get('llama.rope.dimension_count')).toEqual({ uint32: 8 });
    expect(metadata.get('llama.rope.freq_base')).toEqual({ float32: 10_000 });
    expect(metadata.get('tokenizer.ggml.token_type')).toEqual({ int32s: [2, 3, 3, 6, 1] });
  });
});
