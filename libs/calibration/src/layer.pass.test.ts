import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Checkpoint, openCheckpoint } from '@entrofleet/artifact';
import { loadModel, parseModelConfig, planTensors, toGeometry } from '@entrofleet/engine';
import { native } from '@entrofleet/native';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { writeTinyCheckpoint } from '../../../test/fixtures/tiny.checkpoint.ts';
import { runLayer } from './layer.pass.ts';
import { readLayer, readWeights } from './layer.weights.ts';
import { lookUp } from './vocabulary.pass.ts';

let folder = '';
let checkpoint: Checkpoint;

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-layers-'));
  const tiedEmbeddings = true;
  checkpoint = await openCheckpoint(await writeTinyCheckpoint(folder, { tiedEmbeddings }));
});

afterAll(async () => {
  await checkpoint.close();
  await rm(folder, { recursive: true, force: true });
});

it("layer by layer, gives the engine's logits for each of several sequences", async () => {
  const config = parseModelConfig(checkpoint.config);
  const plan = planTensors(config);
  const rows = [
    [3, 1, 4, 1, 5, 9, 2, 6],
    [271, 8, 28, 1, 82, 8],
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
  expect([...powers.values()].every((power) => power > 0)).toBe(true);
});
