import { describe, expect, it } from 'vitest';
import { randomStateDict, SMALL_CONFIG, weightSource } from '../test/random.checkpoint.ts';
import { randomTokens } from '../test/reference.model.ts';
import { type StateDict, transformersLogits } from '../test/transformers.reference.ts';
import { loadModel } from './model.loader.ts';
import { argmax } from './sampler.ts';

type Config = Readonly<Record<string, unknown>>;

const LENGTH = 40;
const longFactors = (pairs: number, first: number) =>
  Array.from({ length: pairs }, (_, i) => first + 0.75 * i);

/** Phi-3 and its like, with long-rope over `pairs` of dimensions. */
const longrope = (pairs: number, change: Config = {}) => ({
  original_max_position_embeddings: 32,
  rope_scaling: {
    type: 'longrope',
    short_factor: longFactors(pairs, 1),
    long_factor: longFactors(pairs, 2),
  },
  ...change,
});

const { rope_theta: _, ...newer } = SMALL_CONFIG;

const CASES: readonly (readonly [string, Config])[] = [
  ['Llama, one head for keys', { model_type: 'llama', num_key_value_heads: 1 }],
  ['Llama, as many heads for keys', { model_type: 'llama', num_key_value_heads: 4 }],
  ['Llama, tied', { model_type: 'llama', tie_word_embeddings: true }],
  ['Llama, own head_dim', { model_type: 'llama', head_dim: 16 }],
  ['Llama, biases', { model_type: 'llama', attention_bias: true, mlp_bias: true }],
  ['Llama ignores a window', { model_type: 'llama', sliding_window: 5 }],
  [
    'Llama 3.2',
    {
      model_type: 'llama',
      head_dim: 32,
      tie_word_embeddings: true,
      rope_theta: 500,
      rope_scaling: {
        rope_type: 'llama3',
        factor: 32,
        low_freq_factor: 1,
        high_freq_factor: 4,
        original_max_position_embeddings: 64,
      },
    },
  ],
  ['linear scaling', { model_type: 'llama', rope_scaling: { type: 'linear', factor: 4 } }],
  ['dynamic scaling', { model_type: 'llama', rope_scaling: { type: 'dynamic', factor: 4 } }],
  ['Mistral, null window', { model_type: 'mistral', sliding_window: null, head_dim: 16 }],
  ['Mistral, window', { model_type: 'mistral', sliding_window: 7 }],
  [
    'Mistral, windows by type of layer',
    {
      model_type: 'mistral',
      sliding_window: 6,
      layer_types: ['sliding_attention', 'full_attention', 'sliding_attention'],
    },
  ],
  ['Phi-3, window', { model_type: 'phi3', sliding_window: 9 }],
  ['Phi-3, tied, heads of their own', { model_type: 'phi3', tie_word_embeddings: true }],
  ['Phi-4-mini', { model_type: 'phi3', head_dim: 16, partial_rotary_factor: 0.75 }],
  ['long-rope, long', { model_type: 'phi3', ...longrope(5) }],
  [
    'long-rope, short',
    { model_type: 'phi3', ...longrope(5, { original_max_position_embeddings: 64 }) },
  ],
  [
    'long-rope by its old name, partly rotated',
    {
      ...{ model_type: 'phi3', head_dim: 16, partial_rotary_factor: 0.75 },
      ...longrope(6),
      rope_scaling: { ...longrope(6).rope_scaling, type: 'su', attention_factor: 1.25 },
    },
  ],
  ['Qwen2', { model_type: 'qwen2', use_sliding_window: false, sliding_window: 5 }],
  [
    'Qwen2, windows from a layer on',
    { model_type: 'qwen2', use_sliding_window: true, sliding_window: 5, max_window_layers: 1 },
  ],
  [
    'Qwen2.5, yarn',
    {
      model_type: 'qwen2',
      tie_word_embeddings: true,
      rope_theta: 1_000_000,
      rope_scaling: { type: 'yarn', factor: 4, original_max_position_embeddings: 24 },
    },
  ],
  [
    'yarn with all its settings',
    {
      model_type: 'llama',
      head_dim: 32,
      rope_scaling: {
        ...{ rope_type: 'yarn', factor: 8, original_max_position_embeddings: 48 },
        ...{ beta_fast: 16, beta_slow: 2, truncate: false, mscale: 1, mscale_all_dim: 0.7 },
      },
    },
  ],
  ['Qwen3', { model_type: 'qwen3', head_dim: 16, tie_word_embeddings: true }],
  ['Qwen3, biases', { model_type: 'qwen3', head_dim: 16, attention_bias: true }],
  [
    'Qwen3, windows by type of layer',
    {
      ...{ model_type: 'qwen3', head_dim: 16, use_sliding_window: true, sliding_window: 4 },
      layer_types: ['full_attention', 'sliding_attention', 'full_attention'],
    },
  ],
];

async function expectReference(config: Config, state: StateDict, length = LENGTH): Promise<void> {
  const tokens = randomTokens(length, Number(config.vocab_size));
  const expected = transformersLogits(config, state, tokens);
  const model = await loadModel(weightSource(config, state), { threads: 2 });
  const logits = await model.createSession(length).allLogits(tokens);
  const flat = expected.flat();
  const mean = flat.reduce((sum, x) => sum + x, 0) / flat.length;
  const deviation = Math.sqrt(flat.reduce((sum, x) => sum + (x - mean) ** 2, 0) / flat.length);
  const worst = flat.reduce((most, x, i) => Math.max(most, Math.abs(x - (logits[i] ?? NaN))), 0);
  expect(worst / deviation).toBeLessThan(3e-5);
  for (const [i, row] of expected.entries()) {
    const ours = logits.subarray(i * row.length, (i + 1) * row.length);
    expect(argmax(ours)).toBe(argmax(Float32Array.from(row)));
  }
  model.close();
}

describe('logits and likeliest tokens are those of transformers', () => {
  it.each(CASES)('%s', async (_, change) => {
    const config = { ...SMALL_CONFIG, ...change };
    await expectReference(config, randomStateDict(config));
  });

  it.each(CASES.filter(([, change]) => !('rope_theta' in change)))(
    '%s, in the newer spelling',
    async (_, { rope_scaling, partial_rotary_factor, ...change }) => {
      const rope_parameters = {
        ...{ rope_theta: 10_000, rope_type: 'default' },
        ...(partial_rotary_factor === undefined ? {} : { partial_rotary_factor }),
        ...withRopeType(rope_scaling),
      };
      const config = { ...newer, ...change, rope_parameters, dtype: 'float32' };
      await expectReference(config, randomStateDict(config));
    },
  );
});

function withRopeType(scaling: unknown): Record<string, unknown> {
  const { type, ...rest } = Object(scaling);
  return type === undefined ? rest : { ...rest, rope_type: type };
}

it('long-rope goes by the context of the session, however little is written into it', async () => {
  const config = { ...SMALL_CONFIG, model_type: 'phi3', ...longrope(5) };
  const state = randomStateDict(config);
  const tokens = randomTokens(LENGTH, SMALL_CONFIG.vocab_size);
  const model = await loadModel(weightSource(config, state), { threads: 1 });
  const few = tokens.slice(0, 10);
  const long = transformersLogits(config, state, tokens).slice(0, few.length);
  const short = transformersLogits(config, state, few);
  for (const [contextLength, expected] of [
    [33, long],
    [32, short],
  ] as const) {
    const logits = await model.createSession(contextLength).allLogits(few);
    const worst = expected.flat().map((x, i) => Math.abs(x - (logits[i] ?? Number.NaN)));
    expect(Math.max(...worst)).toBeLessThan(1e-3);
  }
  expect(
    Math.max(...long.flat().map((x, i) => Math.abs(x - (short.flat()[i] ?? 0)))),
  ).toBeGreaterThan(1);
});

describe('checkpoints that are spelled in other ways', () => {
  const config = { ...SMALL_CONFIG, model_type: 'llama' };

  it('have names without a prefix', async () => {
    const tied = { ...config, tie_word_embeddings: true };
    const state = [...randomStateDict(tied)];
    const bare = new Map(state.map(([name, tensor]) => [name.replace(/^model\./, ''), tensor]));
    await expectReference(tied, bare);
  });

  it('have a head of their own beside tied embeddings', async () => {
    const state = randomStateDict(config);
    await expectReference({ ...config, tie_word_embeddings: true }, state);
  });

  it('repeat the embedding as a head, which takes no memory', async () => {
    const tied = { ...config, tie_word_embeddings: true };
    const state = new Map(randomStateDict(tied));
    const alone = await loadModel(weightSource(tied, state), { threads: 1 });
    const embedding = state.get('model.embed_tokens.weight');
    if (embedding === undefined) throw new Error('no embedding');
    state.set('lm_head.weight', { ...embedding, data: embedding.data.slice() });
    const repeated = await loadModel(weightSource(tied, state), { threads: 1 });
    expect(repeated.weightBytes).toBe(alone.weightBytes);
    await expectReference(tied, state);
  });
});
