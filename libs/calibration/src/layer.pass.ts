import type { LayerRole, ModelConfig } from '@entrofleet/engine';
import { native } from '@entrofleet/native';
import { type LayerWeights, requireRole } from './layer.weights.ts';

/** Where linear parts of a layer get their inputs from; parts of one site share them. */
export type InputSite = 'attention' | 'output' | 'mlp' | 'down';

export const SITE_OF = {
  query: 'attention',
  key: 'attention',
  value: 'attention',
  output: 'output',
  gate: 'mlp',
  up: 'mlp',
  down: 'down',
} as const satisfies Partial<Record<LayerRole, InputSite>>;
export type LinearRole = keyof typeof SITE_OF;

const BIAS_OF = {
  query: 'queryBias',
  key: 'keyBias',
  value: 'valueBias',
  output: 'outputBias',
  gate: 'gateBias',
  up: 'upBias',
  down: 'downBias',
} as const satisfies Record<LinearRole, LayerRole>;

const NORM_OF = { query: 'queryNorm', key: 'keyNorm' } as const satisfies Record<string, LayerRole>;

/** Gathers what passes through one layer. */
export interface LayerSums {
  /** Sums of inputs' products, columns x columns, see CalibrationBinding.addGram. */
  readonly grams: ReadonlyMap<InputSite, Float64Array>;
  /** Sums of squared outputs. */
  readonly powers: Map<LinearRole, number>;
}

/** Some whole sequences and their hidden states. */
export interface TokenBatch {
  /** Tokens x hiddenSize; replaced by the layer's output. */
  readonly hidden: Float32Array;
  readonly lengths: Uint32Array;
}

export interface LayerModel {
  readonly config: ModelConfig;
  readonly rotaryFrequencies: Float64Array;
  /** Multiplies cosines and sines, see ModelGeometry. */
  readonly rotaryScale: number;
  readonly threads: number;
}

/** Runs one layer over a batch, adding to the sums. */
export async function runLayer(
  layer: LayerWeights,
  batch: TokenBatch,
  use: { readonly index: number; readonly model: LayerModel; readonly sums: LayerSums },
): Promise<void> {
  const { model, sums } = use;
  const pass = new LayerPass(layer, model, sums);
  const { config, rotaryFrequencies, threads } = model;
  const { heads, keyValueHeads, headSize } = config;
  const slidingWindow = config.slidingWindows[use.index] ?? 0;
  const attentionInputs = await pass.normalized('attentionNorm', batch.hidden);
  await pass.tap('attention', attentionInputs);
  const attended = await native.attendSequences({
    queries: await pass.heads('query', attentionInputs),
    keys: await pass.heads('key', attentionInputs),
    values: await pass.linear('value', attentionInputs),
    ...{ heads, keyValueHeads, headSize, slidingWindow, rotaryFrequencies, threads },
    lengths: batch.lengths,
  });
  await pass.tap('output', attended);
  addTo(batch.hidden, await pass.linear('output', attended));
  const mlpInputs = await pass.normalized('mlpNorm', batch.hidden);
  await pass.tap('mlp', mlpInputs);
  const gate = await pass.linear('gate', mlpInputs);
  const up = await pass.linear('up', mlpInputs);
  const gated = await native.gateRows({ gate, up });
  await pass.tap('down', gated);
  addTo(batch.hidden, await pass.linear('down', gated));
}

class LayerPass {
  readonly #layer: LayerWeights;
  readonly #model: LayerModel;
  readonly #sums: LayerSums;

  constructor(layer: LayerWeights, model: LayerModel, sums: LayerSums) {
    this.#layer = layer;
    this.#model = model;
    this.#sums = sums;
  }

  normalized(role: 'attentionNorm' | 'mlpNorm', inputs: Float32Array): Promise<Float32Array> {
    const weight = requireRole(this.#layer, role).data;
    return native.normalizeRows({ inputs, weight, epsilon: this.#model.config.normEpsilon });
  }

  /** Queries or keys, with all that is done to them before the rotation. */
  async heads(role: 'query' | 'key', inputs: Float32Array): Promise<Float32Array> {
    const projected = await this.linear(role, inputs);
    const norm = this.#layer[NORM_OF[role]];
    const heads =
      norm === undefined
        ? projected
        : await native.normalizeRows({
            inputs: projected,
            weight: norm.data,
            epsilon: this.#model.config.normEpsilon,
          });
    scaleRotated(heads, this.#model);
    return heads;
  }

  async linear(role: LinearRole, inputs: Float32Array): Promise<Float32Array> {
    const { place, data } = requireRole(this.#layer, role);
    const { outputs, power } = await native.linear({
      inputs,
      weights: data,
      columns: place.columns,
      rows: place.rowCount,
      bias: this.#layer[BIAS_OF[role]]?.data,
      threads: this.#model.threads,
    });
    this.#sums.powers.set(role, (this.#sums.powers.get(role) ?? 0) + power);
    return outputs;
  }

  async tap(site: InputSite, inputs: Float32Array): Promise<void> {
    const sums = this.#sums.grams.get(site);
    if (sums === undefined) return;
    const columns = Math.sqrt(sums.length);
    await native.addGram({ sums, inputs, columns, threads: this.#model.threads });
  }
}

/** A rotation that stretches is the same as stretching what is rotated. */
function scaleRotated(heads: Float32Array, { config, rotaryScale }: LayerModel): void {
  if (rotaryScale === 1) return;
  const { headSize, rope } = config;
  for (let head = 0; head < heads.length; head += headSize) {
    for (let i = head; i < head + rope.rotatedSize; i++) heads[i] = (heads[i] ?? 0) * rotaryScale;
  }
}

function addTo(sums: Float32Array, terms: Float32Array): void {
  for (let i = 0; i < sums.length; i++) sums[i] = (sums[i] ?? 0) + (terms[i] ?? 0);
}
