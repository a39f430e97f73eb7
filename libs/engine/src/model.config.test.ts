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
      rope: { theta: 10_000, rotatedSize: 8, scaling: { kind: 'none' } },
      slidingWindows: [0, 0],
      tiedEmbeddings: true,
      attentionBias: { input: false, output: false },
      mlpBias: false,
      headNorms: false,
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

  it("takes what is missing from the model type's defaults", () => {
    const without = (modelType: string, ...keys: string[]) => {
      const entries = Object.entries({ ...TINY_CONFIG_JSON, model_type: modelType });
      return parseModelConfig(Object.fromEntries(entries.filter(([key]) => !keys.includes(key))));
    };
    expect(without('llama', 'num_key_value_heads').keyValueHeads).toBe(4);
    expect(without('llama', 'tie_word_embeddings').tiedEmbeddings).toBe(false);
    expect(without('llama', 'max_position_embeddings').contextLength).toBe(2048);
    expect(without('llama', 'eos_token_id', 'bos_token_id')).toMatchObject({
      eosTokenIds: [2],
      bosTokenId: 1,
    });
    expect(() => without('mistral', 'num_key_value_heads')).toThrow(/no multiple/);
    expect(without('mistral').slidingWindows).toEqual([4096, 4096]);
    expect(without('phi3', 'rms_norm_eps').normEpsilon).toBe(1e-5);
    expect(without('qwen2', 'rms_norm_eps').normEpsilon).toBe(1e-6);
    // Outside a vocabulary of 96.
    expect(without('phi3', 'eos_token_id').eosTokenIds).toEqual([]);
    expect(without('qwen3').headSize).toBe(128);
    expect(without('qwen3', 'bos_token_id').bosTokenId).toBeNull();
  });

  it('tells null from missing', () => {
    expect(parse({ num_key_value_heads: null }).keyValueHeads).toBe(4);
    expect(parse({ head_dim: null }).headSize).toBe(8);
    expect(parse({ head_dim: 16 }).headSize).toBe(16);
    expect(parse({ model_type: 'qwen3', head_dim: null }).headSize).toBe(8);
    expect(parse({ rms_norm_eps: null, hidden_act: null }).normEpsilon).toBe(1e-6);
    expect(parse({ eos_token_id: [2, 7, 96, -1] }).eosTokenIds).toEqual([2, 7]);
    expect(parse({ eos_token_id: null, bos_token_id: null })).toMatchObject({
      eosTokenIds: [],
      bosTokenId: null,
    });
  });

  it('knows the other families', () => {
    const windows = (change: Record<string, unknown>) => parse(change).slidingWindows;
    expect(windows({ model_type: 'mistral', sliding_window: 8 })).toEqual([8, 8]);
    expect(windows({ model_type: 'mistral', sliding_window: null })).toEqual([0, 0]);
    expect(windows({ sliding_window: 8 })).toEqual([0, 0]);
    expect(parse({ model_type: 'phi3' })).toMatchObject({
      fusedProjections: true,
      slidingWindows: [0, 0],
    });
    const qwen = { model_type: 'qwen2', sliding_window: 8, attention_bias: false };
    expect(parse(qwen)).toMatchObject({
      slidingWindows: [0, 0],
      attentionBias: { input: true, output: false },
    });
    const windowed = { ...qwen, use_sliding_window: true };
    expect(windows({ ...windowed, max_window_layers: 0 })).toEqual([8, 8]);
    expect(windows({ ...windowed, max_window_layers: 1 })).toEqual([0, 8]);
    expect(windows(windowed)).toEqual([0, 0]);
    const layer_types = ['sliding_attention', 'full_attention'];
    expect(windows({ ...windowed, layer_types })).toEqual([8, 0]);
    const biases = { attention_bias: true, mlp_bias: true };
    const both = { input: true, output: true };
    const none = { input: false, output: false };
    expect(parse(biases)).toMatchObject({ attentionBias: both, mlpBias: true });
    const qwen3 = { model_type: 'qwen3', ...biases };
    expect(parse(qwen3)).toMatchObject({ attentionBias: both, mlpBias: false, headNorms: true });
    expect(parse({ ...biases, model_type: 'mistral' })).toMatchObject({ attentionBias: none });
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
      rotatedSize: 8,
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
    const layered = { full_attention: parameters, sliding_attention: parameters };
    expect(parse({ rope_theta: null, rope_parameters: layered }).rope).toEqual(expected);
  });

  it.each([
    [{ model_type: 'gpt2' }, 'UnsupportedArchitecture', /gpt2.*llama, mistral, phi3, qwen2, qwen3/],
    [{ model_type: undefined }, 'UnsupportedArchitecture', /model_type is missing/],
    [{ hidden_act: 'gelu' }, 'UnsupportedArchitecture', /hidden_act "gelu".*silu/],
    [{ quantization_config: {} }, 'UnsupportedArchitecture', /already quantized/],
    [{ rope_scaling: { rope_type: 'yarn' } }, 'BadConfig', /rope_scaling.factor is missing/],
    [{ rope_scaling: { type: 'su' } }, 'UnsupportedArchitecture', /rope_scaling type "su".*yarn/],
    [
      { rope_parameters: { full_attention: { rope_theta: 5 }, sliding_attention: {} } },
      'UnsupportedArchitecture',
      /rope_parameters differs between types of layers/,
    ],
    [
      {
        model_type: 'phi3',
        rope_scaling: { type: 'longrope', short_factor: [1], long_factor: [] },
      },
      'BadConfig',
      /short_factor has 1 factors; 4 are needed/,
    ],
    [{ model_type: 'phi3', partial_rotary_factor: 0.4 }, 'BadConfig', /gives 3 of 8/],
    [{ partial_rotary_factor: 0.5 }, 'UnsupportedArchitecture', /partial_rotary_factor 0.5/],
    [
      { model_type: 'mistral', sliding_window: 8, layer_types: ['full_attention', 'chunked'] },
      'UnsupportedArchitecture',
      /layer_types has "chunked"/,
    ],
    [
      { model_type: 'mistral', sliding_window: 8, layer_types: ['full_attention'] },
      'BadConfig',
      /layer_types does not have/,
    ],
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
    // Two layers of two heads; values of 8 elements take 16.
    const bytes = (format: 'f32' | 'f16' | 'int8') =>
      kvCacheBytes(parse(), { contextLength: 10, format });
    expect(bytes('f32')).toBe(2 * 2 * (8 + 16) * 10 * 4);
    expect(bytes('f16')).toBe(bytes('f32') / 2);
    expect(bytes('int8')).toBe(bytes('f32') / 4 + 2 * 2 * 8 * 10);
    expect(kvCacheBytes(parse())).toBe(6.4 * bytes('f16'));
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
    expect(plan.layers[1]?.queryNorm).toBeUndefined();
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
