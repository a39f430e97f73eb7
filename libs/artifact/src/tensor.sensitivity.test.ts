import { describe, expect, it } from 'vitest';
import { layerCount, type SensitivityContext, sensitiveBlocks } from './tensor.sensitivity.ts';

const config = {
  tie_word_embeddings: false,
  hidden_size: 64,
  num_attention_heads: 8,
  num_key_value_heads: 2,
};
const context = { config, layers: 4 };
const sensitivities = (name: string, rows: number, of: SensitivityContext = context) =>
  sensitiveBlocks({ name, rows }, of).map((block) => [block.rows, block.sensitivity]);

describe('sensitivity of tensors', () => {
  it('counts layers by their numbers', () => {
    expect(
      layerCount(['model.layers.0.a.weight', 'model.layers.10.a.weight', 'lm_head.weight']),
    ).toBe(2);
    expect(layerCount(['lm_head.weight'])).toBe(1);
    expect(layerCount([])).toBe(1);
  });

  it('counts look-up and head once each, a tied embedding twice', () => {
    const tied = { ...context, config: { ...config, tie_word_embeddings: true } };
    expect(sensitivities('model.embed_tokens.weight', 100)).toEqual([[100, 1]]);
    expect(sensitivities('lm_head.weight', 100)).toEqual([[100, 1]]);
    expect(sensitivities('model.embed_tokens.weight', 100, tied)).toEqual([[100, 2]]);
  });

  it('shares a function among the layers, whatever its size', () => {
    expect(sensitivities('model.layers.3.self_attn.v_proj.weight', 16)).toEqual([[16, 0.25]]);
    expect(sensitivities('model.layers.3.mlp.down_proj.weight', 64)).toEqual([[64, 0.25]]);
    expect(sensitivities('model.layers.3.self_attn.q_proj.weight', 64)).toEqual([[64, 0.0625]]);
    expect(sensitivities('model.layers.3.self_attn.k_proj.weight', 16)).toEqual([[16, 0.0625]]);
  });

  it('splits fused tensors into what they hold', () => {
    expect(sensitivities('model.layers.0.self_attn.qkv_proj.weight', 96)).toEqual([
      [64, 0.0625],
      [16, 0.0625],
      [16, 0.25],
    ]);
    expect(sensitivities('model.layers.0.mlp.gate_up_proj.weight', 256)).toEqual([
      [128, 0.25],
      [128, 0.25],
    ]);
  });

  it('leaves a fused tensor whole when config.json does not explain its rows', () => {
    expect(sensitivities('model.layers.0.self_attn.qkv_proj.weight', 97)).toEqual([[97, 0.25]]);
    const bare = { config: {}, layers: 4 };
    expect(sensitivities('model.layers.0.self_attn.qkv_proj.weight', 96, bare)).toEqual([
      [96, 0.25],
    ]);
  });

  it('takes a matrix it does not know for one function', () => {
    expect(sensitivities('transformer.h.1.attn.c_attn.weight', 9)).toEqual([[9, 0.25]]);
    expect(sensitivities('vision.projector.weight', 9)).toEqual([[9, 1]]);
  });
});
