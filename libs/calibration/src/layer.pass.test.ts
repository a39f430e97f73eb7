import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openCheckpoint } from '@entrofleet/artifact';
import { loadModel, parseModelConfig, planTensors, toGeometry } from '@entrofleet/engine';
import { native } from '@entrofleet/native';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { floatSafetensors } from '../../../test/fixtures/safetensors.bytes.ts';
import { writeTinyCheckpoint } from '../../../test/fixtures/tiny.checkpoint.ts';
import { randomStateDict, SMALL_CONFIG } from '../../engine/test/random.checkpoint.ts';
import { runLayer } from './layer.pass.ts';
import { readLayer, readWeights } from './layer.weights.ts';
import { lookUp } from './vocabulary.pass.ts';

let folder = '';

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-layers-'));
});

afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** A random checkpoint of a family. */
async function writeFamily(change: Record<string, unknown>): Promise<string> {
  const config: Record<string, unknown> = {
    ...SMALL_CONFIG,
    tie_word_embeddings: true,
    ...change,
  };
  const path = join(folder, String(config.model_type));
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'config.json'), JSON.stringify(config));
  const tensors = [...randomStateDict(config)].map(([name, { shape, data }]) => [
    name,
    { shape: [...shape], values: [...data] },
  ]);
  const bytes = floatSafetensors(Object.fromEntries(tensors));
  await writeFile(join(path, 'model.safetensors'), bytes);
  return path;
}

const yarn = { type: 'yarn', factor: 4, original_max_position_embeddings: 24 };

describe("layer by layer, gives the engine's logits for each of several sequences", () => {
  it('Llama', () => expectEngine(() => writeTinyCheckpoint(folder, { tiedEmbeddings: true })));

  it('Qwen2 with yarn, and windows from a layer on', () =>
    expectEngine(() =>
      writeFamily({
        ...{ model_type: 'qwen2', rope_scaling: yarn },
        ...{ use_sliding_window: true, sliding_window: 3, max_window_layers: 1 },
      }),
    ));

  it('Qwen3', () => expectEngine(() => writeFamily({ model_type: 'qwen3', head_dim: 16 })));

  it('Phi-3, partly rotated', () =>
    expectEngine(() =>
      writeFamily({ model_type: 'phi3', head_dim: 16, partial_rotary_factor: 0.75 }),
    ));
});

async function expectEngine(write: () => Promise<string>): Promise<void> {
  const checkpoint = await openCheckpoint(await write(), { tokenizer: 'optional' });
  const config = parseModelConfig(checkpoint.config);
  const plan = planTensors(config);
  const rows = [
    [3, 1, 4, 1, 5, 9, 2, 6],
    [61, 8, 28, 1, 52, 8],
  ];
  const hidden = await lookUp(checkpoint, plan.embedding, rows.flat());
  const { rotaryFrequencies, rotaryScale } = toGeometry(config);
  const model = { config, rotaryFrequencies, rotaryScale, threads: 2 };
  const powers = new Map();
  for (const [index, places] of plan.layers.entries()) {
    const layer = await readLayer(checkpoint, places);
    const sums = { grams: new Map(), powers };
    await runLayer(layer, { hidden, lengths: Uint32Array.of(8, 6) }, { index, model, sums });
  }
  const normalized = await native.normalizeRows({
    inputs: hidden,
    weight: await readWeights(checkpoint, plan.finalNorm),
    epsilon: config.normEpsilon,
  });
  const { hiddenSize: columns, vocabularySize } = config;
  const head = await readWeights(checkpoint, plan.embedding);
  const { outputs } = await native.linear({
    ...{ inputs: normalized, columns, weights: head, rows: vocabularySize, threads: 2 },
  });
  const engine = await loadModel(checkpoint, { threads: 1 });
  let at = 0;
  for (const row of rows) {
    const logits = await engine.createSession().allLogits(row);
    const ours = outputs.subarray(at, at + logits.length);
    const worst = logits.reduce((most, x, i) => Math.max(most, Math.abs(x - (ours[i] ?? 0))), 0);
    expect(worst).toBeLessThan(1e-4);
    at += logits.length;
  }
  engine.close();
  await checkpoint.close();
  expect([...powers.values()].every((power) => power > 0)).toBe(true);
}
