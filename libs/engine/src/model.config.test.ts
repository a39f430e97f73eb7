import { describe, expect, it } from 'vitest';
import { TINY_CONFIG_JSON } from '../test/tiny.model.ts';
import { kvCacheBytes, weightBytes } from './memory.figures.ts';
import { parseModelConfig, toGeometry } from './model.config.ts';
import { planTensors } from './tensor.names.ts';

const parse = (change: Record<string, unknown> = {}) =>
  parseModelConfig({ ...TINY_CONFIG_JSON, ...change });

describe('parseModelConfig', () => {
  it('reads the older spelling', () => {
    expect(parse()).toEqual({
      modelType: 'llama',
      vocabularySize: 96,
      hiddenSize: 32,
      intermediateSize: 48,
      layers: 2,
      heads: 4,
      keyValueHeads: 2,
      headSize: 8,
      contextLength: 64,
      normEpsilon: 1e-5,
      rope: { theta: 10_000, scaling: { kind: 'none' } },
      slidingWindow: 0,
      tiedEmbeddings: true,
      attentionBias: { input: false, output: false },
      mlpBias: false,
      fusedProjections: false,
      bosTokenId: 1,
      eosTokenIds: [2],
    });
  });

  it('reads the newer spelling to the same', () => {
    const { rope_theta, rope_scaling: _, torch_dtype, ...rest } = TINY_CONFIG_JSON;
    const newer = parseModelConfig({
      ...rest,
      dtype: torch_dtype,
      rope_parameters: { rope_theta, rope_type: 'default' },
    });
    expect(newer).toEqual(parse());
  });

  it('fills in what older configs lack', () => {
    expect(parse({ num_key_value_heads: undefined }).keyValueHeads).toBe(4);
    expect(parse({ head_dim: 16 }).headSize).toBe(16);
    expect(parse({ tie_word_embeddings: undefined }).tiedEmbeddings).toBe(false);
    expect(parse({ eos_token_id: [2, 7] }).eosTokenIds).toEqual([2, 7]);
    expect(parse({ eos_token_id: null, bos_token_id: null })).toMatchObject({
      eosTokenIds: [],
      bosTokenId: null,
    });
  });

  it('knows the other families', () => {
    expect(parse({ model_type: 'mistral', sliding_window: 8 }).slidingWindow).toBe(8);
    expect(parse({ model_type: 'mistral', sliding_window: null }).slidingWindow).toBe(0);
    expect(parse({ sliding_window: 8 }).slidingWindow).toBe(0);
    expect(parse({ model_type: 'phi3' }).fusedProjections).toBe(true);
    const qwen = { model_type: 'qwen2', sliding_window: 8 };
    expect(parse(qwen)).toMatchObject({
      slidingWindow: 0,
      attentionBias: { input: true, output: false },
    });
    const windowed = { ...qwen, use_sliding_window: true };
    expect(parse({ ...windowed, max_window_layers: 0 }).slidingWindow).toBe(8);
    expect(parse({ ...windowed, max_window_layers: 2 }).slidingWindow).toBe(0);
    expect(parse({ attention_bias: true, mlp_bias: true })).toMatchObject({
      attentionBias: { input: true, output: true },
      mlpBias: true,
    });
  });

  it('reads rotary scaling in both spellings', () => {
    expect(parse({ rope_scaling: { type: 'linear', factor: 4 } }).rope.scaling).toEqual({
      kind: 'linear',
      factor: 4,
    });
    const llama3 = {
      rope_type: 'llama3',
      factor: 32,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 8192,
    };
    const expected = {
      theta: 500_000,
      scaling: {
        kind: 'llama3',
        factor: 32,
        lowFrequencyFactor: 1,
        highFrequencyFactor: 4,
        originalContextLength: 8192,
      },
    };
    expect(parse({ rope_theta: 500_000, rope_scaling: llama3 }).rope).toEqual(expected);
    const parameters = { ...llama3, rope_theta: 500_000 };
    expect(parse({ rope_theta: undefined, rope_parameters: parameters }).rope).toEqual(expected);
  });

  it.each([
    [{ model_type: 'gpt2' }, 'UnsupportedArchitecture', /gpt2.*llama, mistral, phi3, qwen2/],
    [{ model_type: undefined }, 'UnsupportedArchitecture', /model_type is missing/],
    [{ hidden_act: 'gelu' }, 'UnsupportedArchitecture', /hidden_act "gelu".*silu/],
    [{ quantization_config: {} }, 'UnsupportedArchitecture', /already quantized/],
    [{ rope_scaling: { rope_type: 'yarn' } }, 'UnsupportedArchitecture', /"yarn".*llama3/],
    [{ rope_scaling: { type: 'su' } }, 'UnsupportedArchitecture', /rope_scaling type "su"/],
    [{ partial_rotary_factor: 0.5 }, 'UnsupportedArchitecture', /partial_rotary_factor 0.5/],
    [
      { model_type: 'qwen2', sliding_window: 8, use_sliding_window: true, max_window_layers: 1 },
      'UnsupportedArchitecture',
      /some layers/,
    ],
    [{ hidden_size: undefined }, 'BadConfig', /hidden_size/],
    [{ hidden_size: '32' }, 'BadConfig', /hidden_size/],
    [{ hidden_size: 1.5 }, 'BadConfig', /hidden_size/],
    [{ hidden_size: 33 }, 'BadConfig', /num_attention_heads/],
    [{ head_dim: 7 }, 'BadConfig', /head_dim 7 is odd/],
    [{ vocab_size: 0 }, 'BadConfig', /vocab_size/],
    [{ vocab_size: 1e9 }, 'BadConfig', /vocab_size/],
    [{ num_hidden_layers: -1 }, 'BadConfig', /num_hidden_layers/],
    [{ num_key_value_heads: 3 }, 'BadConfig', /num_key_value_heads/],
    [{ rms_norm_eps: 0 }, 'BadConfig', /rms_norm_eps/],
    [{ rope_theta: 0 }, 'BadConfig', /rope_theta/],
    [{ rope_scaling: { type: 'linear' } }, 'BadConfig', /rope_scaling.factor is missing/],
    [{ rope_scaling: { type: 'linear', factor: 0 } }, 'BadConfig', /rope_scaling.factor/],
    [{ eos_token_id: 96 }, 'BadConfig', /96 is outside vocab_size/],
  ])('refuses %j', (change, reason, message) => {
    expect(() => parse(change)).toThrow(
      expect.objectContaining({ reason, message: expect.stringMatching(message) }),
    );
  });

  it.each([null, [], 'text', 3])('refuses %j', (json) => {
    expect(() => parseModelConfig(json)).toThrow(expect.objectContaining({ reason: 'BadConfig' }));
  });
});

describe('rotary frequencies', () => {
  const frequencies = (scaling: Record<string, unknown>) =>
    toGeometry(parse({ head_dim: 16, rope_scaling: scaling })).rotaryFrequencies;

  it('fall geometrically from 1', () => {
    const plain = frequencies({ type: 'default' });
    expect(plain.length).toBe(8);
    expect(plain[0]).toBe(1);
    expect(plain[4]).toBeCloseTo(10_000 ** -0.5, 12);
  });

  it('are divided by a linear factor', () => {
    expect(frequencies({ type: 'linear', factor: 4 })[4]).toBeCloseTo(10_000 ** -0.5 / 4, 12);
  });

  it('keep short waves and stretch long ones for llama3', () => {
    const scaled = frequencies({
      type: 'llama3',
      factor: 8,
      low_freq_factor: 1,
      high_freq_factor: 4,
      original_max_position_embeddings: 64,
    });
    const plain = frequencies({ type: 'default' });
    const ratios = Array.from(scaled, (value, i) => value / (plain[i] ?? 0));
    // Turns within 64 positions: 10.2, 3.22, 1.02, 0.32, ...
    expect(ratios[0]).toBe(1);
    expect(ratios[1]).toBeCloseTo(
      1 / 8 + (((64 * 10 ** -0.5) / (2 * Math.PI) - 1) / 3) * (7 / 8),
      9,
    );
    expect(ratios[3]).toBeCloseTo(1 / 8, 12);
  });
});

describe('memory figures', () => {
  it('count the KV cache', () => {
    expect(kvCacheBytes(parse(), 10)).toBe(2 * 2 * 2 * 8 * 10 * 4);
    expect(kvCacheBytes(parse())).toBe(6.4 * kvCacheBytes(parse(), 10));
  });

  it('count the weights of every format', () => {
    const attention = 32 * 32 + 2 * 16 * 32 + 32 * 32;
    const matrices = 96 * 32 + 2 * (attention + 3 * 48 * 32);
    const vectors = 32 * 5;
    expect(weightBytes(parse(), 'f32')).toBe(4 * (matrices + vectors));
    const rows = 96 + 2 * (32 + 16 + 16 + 32 + 48 + 48 + 32);
    expect(weightBytes(parse(), 'u8')).toBe(matrices + 4 * (rows + vectors));
    expect(weightBytes(parse(), 'u4')).toBe(matrices / 2 + 4 * (rows + vectors));
  });
});

describe('planTensors', () => {
  it('names every tensor of a Llama, with its shape', () => {
    const plan = planTensors(parse());
    expect(plan.head).toBeUndefined();
    expect(plan.layers[1]?.key).toEqual({
      name: 'model.layers.1.self_attn.k_proj.weight',
      rows: 16,
      columns: 32,
      firstRow: 0,
      rowCount: 16,
    });
    expect(plan.layers[1]?.queryBias).toBeUndefined();
    expect(planTensors(parse({ attention_bias: true })).layers[0]?.outputBias?.name).toBe(
      'model.layers.0.self_attn.o_proj.bias',
    );
  });

  it("takes parts of Phi-3's fused tensors", () => {
    const [layer] = planTensors(parse({ model_type: 'phi3' })).layers;
    const fused = { name: 'model.layers.0.self_attn.qkv_proj.weight', rows: 64, columns: 32 };
    expect(layer?.query).toEqual({ ...fused, firstRow: 0, rowCount: 32 });
    expect(layer?.key).toEqual({ ...fused, firstRow: 32, rowCount: 16 });
    expect(layer?.value).toEqual({ ...fused, firstRow: 48, rowCount: 16 });
    expect(layer?.up).toMatchObject({ rows: 96, firstRow: 48, rowCount: 48 });
  });
});
