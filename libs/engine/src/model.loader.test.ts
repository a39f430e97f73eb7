import type { ResidentTensor } from '@entrofleet/native';
import { describe, expect, it } from 'vitest';
import { randomTokens, referenceLogits, tinyTensors } from '../test/reference.model.ts';
import { TINY_CONFIG_JSON } from '../test/tiny.model.ts';
import { parseModelConfig, toGeometry } from './model.config.ts';
import { loadModel } from './model.loader.ts';
import { planTensors } from './tensor.names.ts';
import type { WeightSource } from './weight.source.ts';

/** Random tensors under their Hugging Face names. */
function source(change: Record<string, unknown> = {}) {
  const json = { ...TINY_CONFIG_JSON, ...change };
  const config = parseModelConfig(json);
  const tensors = tinyTensors(toGeometry(config), { format: 'u4', biases: true });
  const named = new Map<string, ResidentTensor>();
  const plan = planTensors(config);
  named.set(plan.embedding.name, tensors.embedding);
  named.set(plan.finalNorm.name, tensors.finalNorm);
  if (plan.head !== undefined && tensors.head !== undefined) {
    named.set(plan.head.name, tensors.head);
  }
  for (const [i, layer] of plan.layers.entries()) {
    for (const [role, place] of Object.entries(layer)) {
      const tensor = tensors.layers[i]?.[role as keyof typeof layer];
      if (tensor !== undefined) named.set(place.name, tensor);
    }
  }
  const weights: WeightSource = {
    config: json,
    tensorNames: [...named.keys()],
    readResident: async (name) => {
      const tensor = named.get(name);
      if (tensor === undefined) throw new Error(`no tensor ${name}`);
      return tensor;
    },
  };
  return { config, tensors, named, weights };
}

const tokens = randomTokens(20, TINY_CONFIG_JSON.vocab_size);

describe('loadModel', () => {
  it.each([
    { tie_word_embeddings: true },
    { tie_word_embeddings: false, attention_bias: true, mlp_bias: true },
    { model_type: 'qwen2' },
  ])('puts every tensor in its place: %j', async (change) => {
    const { config, tensors, weights } = source(change);
    const progress: number[] = [];
    const model = await loadModel(weights, {
      threads: 1,
      onProgress: ({ tensorsRead }) => progress.push(tensorsRead),
    });
    expect(progress).toEqual(weights.tensorNames.map((_, i) => i + 1));
    const logits = await model.createSession().allLogits(tokens);
    const used = change.model_type === 'qwen2' ? withoutUnusedBiases(tensors) : tensors;
    const plain = 'attention_bias' in change || 'model_type' in change ? used : noBiases(tensors);
    const expected = referenceLogits(toGeometry(config), plain, tokens).flat();
    for (const [i, logit] of logits.entries()) {
      expect(Math.abs(logit - (expected[i] ?? Number.NaN))).toBeLessThan(5e-3);
    }
  });

  it('names a missing tensor and its shape', async () => {
    const { weights } = source();
    const name = 'model.layers.1.mlp.up_proj.weight';
    const tensorNames = weights.tensorNames.filter((other) => other !== name);
    await expect(loadModel({ ...weights, tensorNames }, { threads: 1 })).rejects.toMatchObject({
      reason: 'MissingTensor',
      message: expect.stringContaining(`${name} (48 x 32)`),
    });
  });

  it('names a tensor of the wrong shape and the expected one', async () => {
    const { weights, named } = source();
    const name = 'model.norm.weight';
    named.set(name, { format: 'f32', rows: 1, columns: 31, data: new Float32Array(31) });
    await expect(loadModel(weights, { threads: 1 })).rejects.toMatchObject({
      reason: 'BadShape',
      message: `tensor ${name} is 1 x 31; config.json asks for 32`,
    });
    named.set(name, { format: 'f32', rows: 32, columns: 1, data: new Float32Array(32) });
    await expect(loadModel(weights, { threads: 1 })).resolves.toBeDefined();
  });

  it('passes on errors of the source, and heeds the signal', async () => {
    const { weights } = source();
    const broken = { ...weights, readResident: () => Promise.reject(new Error('disk on fire')) };
    await expect(loadModel(broken, { threads: 1 })).rejects.toThrow('disk on fire');
    const signal = AbortSignal.abort();
    await expect(loadModel(weights, { threads: 1, signal })).rejects.toMatchObject({
      reason: 'Cancelled',
    });
  });

  it.each([0, 1.5, 1000])('refuses %d threads', async (threads) => {
    await expect(loadModel(source().weights, { threads })).rejects.toMatchObject({
      reason: 'BadArgument',
    });
  });
});

type Tensors = ReturnType<typeof source>['tensors'];

function noBiases(tensors: Tensors): Tensors {
  const layers = tensors.layers.map((layer) => ({
    attentionNorm: layer.attentionNorm,
    query: layer.query,
    key: layer.key,
    value: layer.value,
    output: layer.output,
    mlpNorm: layer.mlpNorm,
    gate: layer.gate,
    up: layer.up,
    down: layer.down,
  }));
  return { ...tensors, layers };
}

/** Qwen2 has biases at query, key and value only. */
function withoutUnusedBiases(tensors: Tensors): Tensors {
  const layers = noBiases(tensors).layers.map((layer, i) => {
    const { queryBias, keyBias, valueBias } = tensors.layers[i] ?? {};
    if (queryBias === undefined || keyBias === undefined || valueBias === undefined) return layer;
    return { ...layer, queryBias, keyBias, valueBias };
  });
  return { ...tensors, layers };
}
