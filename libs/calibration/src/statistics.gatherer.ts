import { mkdir } from 'node:fs/promises';
import {
  type CalibratedTensor,
  type CalibrationStatistics,
  type Checkpoint,
  writeFactor,
  writeSpreads,
} from '@entrofleet/artifact';
import {
  type ModelConfig,
  parseModelConfig,
  planTensors,
  type TensorPlace,
  toGeometry,
} from '@entrofleet/engine';
import { native } from '@entrofleet/native';
import { CalibrationError } from './calibration.error.ts';
import {
  type InputSite,
  type LayerModel,
  type LayerSums,
  type LinearRole,
  runLayer,
  SITE_OF,
} from './layer.pass.ts';
import { type LayerWeights, readLayer, readWeights } from './layer.weights.ts';
import { type RowUse, rowSpreads, type TokenStatistics } from './token.importance.ts';
import { batchesOf, cutRows, requireRows, rowsSha256, type SequenceBatch } from './token.rows.ts';
import { lookUp, predictions, rowPowers } from './vocabulary.pass.ts';

/** Of the mean diagonal of a Gram matrix: keeps what the tokens never showed from mattering less. */
const DAMPING = 0.01;

export interface CalibrationOptions {
  readonly checkpoint: Checkpoint;
  /** Sequences of token ids, each at most the model's context. */
  readonly rows: readonly (readonly number[])[];
  /** Takes the statistics' files; see {@link calibrationPeakBytes} for the size of the memory. */
  readonly folder: string;
  /** Any number gives the same statistics. */
  readonly threads: number;
  readonly signal?: AbortSignal | undefined;
  readonly onProgress?: (progress: {
    readonly layersDone: number;
    readonly layers: number;
  }) => void;
}

/**
 * Runs the model over calibration tokens, in float32, one layer at a time: of the weights only one
 * layer (or a slice of the embedding or head) is in memory, with the hidden states of all tokens
 * and the layer's four Gram matrices. The same checkpoint and rows give the same statistics on
 * every machine and for every number of threads.
 * @throws CalibrationError, EngineError `UnsupportedArchitecture` or `BadConfig`, CheckpointError;
 * the signal's reason.
 */
export async function gatherStatistics(
  options: CalibrationOptions,
): Promise<CalibrationStatistics> {
  const { checkpoint, rows, folder, threads, signal } = options;
  const config = parseModelConfig(checkpoint.config);
  requireRows(rows, config);
  await mkdir(folder, { recursive: true });
  const plan = planTensors(config, checkpoint.tensorNames);
  const batches = batchesOf(cutRows(rows));
  const tokens = rows.flat();
  const hidden = await lookUp(checkpoint, plan.embedding, tokens);
  // In float32: the last bits of a power differ from one machine to the next.
  const geometry = toGeometry(config);
  const rotaryFrequencies = geometry.rotaryFrequencies.map(Math.fround);
  const { rotaryScale } = geometry;
  const model: LayerModel = { config, rotaryFrequencies, rotaryScale, threads };
  const tensors: CalibratedTensor[] = [];
  for (const [index, places] of plan.layers.entries()) {
    signal?.throwIfAborted();
    const layer = await readLayer(checkpoint, places);
    const sums = emptySums(layer);
    for (const batch of batches) {
      signal?.throwIfAborted();
      const part = hiddenOf(hidden, batch, config);
      await runLayer(layer, { hidden: part, lengths: batch.lengths }, { index, model, sums });
    }
    tensors.push(...(await layerStatistics(layer, sums, { folder, threads })));
    options.onProgress?.({ layersDone: index + 1, layers: plan.layers.length });
  }
  const finalNorm = await readWeights(checkpoint, plan.finalNorm);
  const normalized = await native.normalizeRows({
    inputs: hidden,
    weight: finalNorm,
    epsilon: config.normEpsilon,
  });
  tensors.push(...(await vocabularyStatistics({ ...options, normalized, tokens }, config)));
  return { tokensSha256: rowsSha256(rows), tensors };
}

/**
 * Bound of the memory that {@link gatherStatistics} takes, without the process itself: for T
 * tokens, B = min(T, 2048) of them at a time, hidden size H, intermediate size I, Q query and K key
 * columns, P weights in a layer and V tokens in the vocabulary,
 * 4 P + 8 T H + 8 (2 H^2 + Q^2 + I^2) + 12 max(H, Q, I)^2 + 4 B (3 H + 3 Q + 2 K + 3 I)
 * + 4 * 2^24 + 2048 V.
 */
export function calibrationPeakBytes(config: ModelConfig, tokens: number): number {
  const { hiddenSize: hidden, intermediateSize: wide, vocabularySize } = config;
  const queries = config.heads * config.headSize;
  const keys = config.keyValueHeads * config.headSize;
  const weights = hidden * (2 * queries + 2 * keys + 3 * wide);
  const grams = 8 * (2 * hidden ** 2 + queries ** 2 + wide ** 2);
  const factor = 12 * Math.max(hidden, queries, wide) ** 2;
  const batch = Math.min(tokens, 2048) * (3 * hidden + 3 * queries + 2 * keys + 3 * wide);
  const slices = 4 * 2 ** 24 + 2048 * vocabularySize;
  return 4 * weights + 8 * tokens * hidden + grams + factor + 4 * batch + slices;
}

function hiddenOf(hidden: Float32Array, batch: SequenceBatch, config: ModelConfig): Float32Array {
  const begin = batch.firstToken * config.hiddenSize;
  return hidden.subarray(begin, begin + batch.tokens * config.hiddenSize);
}

const ROLES = Object.keys(SITE_OF) as LinearRole[];

function emptySums(layer: LayerWeights): LayerSums {
  const grams = new Map<InputSite, Float64Array>();
  for (const role of ROLES) {
    const columns = layer[role]?.place.columns ?? 0;
    if (!grams.has(SITE_OF[role])) grams.set(SITE_OF[role], new Float64Array(columns ** 2));
  }
  return { grams, powers: new Map() };
}

interface FactoredGram {
  readonly name: string;
  readonly meanPivot: number;
}

async function layerStatistics(
  layer: LayerWeights,
  sums: LayerSums,
  work: { readonly folder: string; readonly threads: number },
): Promise<CalibratedTensor[]> {
  const factors = new Map<InputSite, FactoredGram>();
  for (const [site, gram] of sums.grams) factors.set(site, await factored(gram, work));
  const byTensor = new Map<string, { role: LinearRole; place: TensorPlace }[]>();
  for (const role of ROLES) {
    const place = layer[role]?.place;
    if (place === undefined) continue;
    byTensor.set(place.name, [...(byTensor.get(place.name) ?? []), { role, place }]);
  }
  return [...byTensor].map(([name, parts]) => {
    const site = parts[0] && SITE_OF[parts[0].role];
    const factor = site && factors.get(site);
    const ordered = parts.toSorted((a, b) => a.place.firstRow - b.place.firstRow);
    return {
      name,
      statistics: { factor: factor?.name ?? null, spreads: null },
      meanPivot: factor?.meanPivot ?? 1,
      functions: ordered.map(({ role, place }) => ({
        rows: place.rowCount,
        outputPower: finite(sums.powers.get(role) ?? 0, name),
      })),
    };
  });
}

function finite(power: number, name: string): number {
  if (Number.isFinite(power)) return power;
  throw new CalibrationError(
    'NonFiniteActivation',
    `the outputs of ${name} are not finite on the calibration tokens; ` +
      'check that the checkpoint works in float32',
  );
}

async function factored(
  gram: Float64Array,
  { folder, threads }: { readonly folder: string; readonly threads: number },
): Promise<FactoredGram> {
  const columns = Math.sqrt(gram.length);
  const factor = await native.factorGram({ gram, columns, damping: DAMPING, threads });
  const meanPivot = factor.pivots.reduce((sum, pivot) => sum + pivot, 0) / columns;
  return { name: await writeFactor(folder, factor), meanPivot };
}

/** Embedding and head, which a tied model has in one. */
async function vocabularyStatistics(
  work: CalibrationOptions & {
    readonly normalized: Float32Array;
    readonly tokens: readonly number[];
  },
  config: ModelConfig,
): Promise<CalibratedTensor[]> {
  const { checkpoint, folder, threads, normalized } = work;
  const plan = planTensors(config, checkpoint.tensorNames);
  const counts = new Float64Array(config.vocabularySize);
  for (const token of work.tokens) counts[token] = (counts[token] ?? 0) + 1;
  const head = plan.head ?? plan.embedding;
  const predicted = await predictions(checkpoint, head, { normalized, threads });
  const tokens: TokenStatistics = { counts, ...predicted };
  const uses: { place: TensorPlace; use: RowUse }[] =
    plan.head === undefined
      ? [{ place: plan.embedding, use: { lookUp: true, head: true } }]
      : [
          { place: plan.embedding, use: { lookUp: true, head: false } },
          { place: plan.head, use: { lookUp: false, head: true } },
        ];
  const calibrated: CalibratedTensor[] = [];
  for (const { place, use } of uses) {
    const powers = await rowPowers(checkpoint, place);
    const spreads = await writeSpreads(folder, rowSpreads(tokens, { use, powers }));
    const factor = use.head ? await headFactor(work, { columns: place.columns, use }) : null;
    calibrated.push({
      name: place.name,
      statistics: { factor: factor?.name ?? null, spreads },
      meanPivot: factor?.meanPivot ?? 1,
      functions: [],
    });
  }
  return calibrated;
}

/**
 * The head's inputs hang together, with mean power 1; where the rows are looked up as well, whose
 * errors count alike in each column, both are averaged.
 */
async function headFactor(
  { normalized, folder, threads }: CalibrationOptions & { readonly normalized: Float32Array },
  { columns, use }: { readonly columns: number; readonly use: RowUse },
): Promise<FactoredGram> {
  const gram = new Float64Array(columns ** 2);
  await native.addGram({ sums: gram, inputs: normalized, columns, threads });
  let trace = 0;
  for (let i = 0; i < columns; i++) trace += gram[i * columns + i] ?? 0;
  const scale = (use.lookUp ? 0.5 : 1) * (columns / (trace > 0 ? trace : 1));
  for (let i = 0; i < gram.length; i++) gram[i] = (gram[i] ?? 0) * scale;
  for (let i = 0; use.lookUp && i < columns; i++) {
    gram[i * columns + i] = (gram[i * columns + i] ?? 0) + 0.5;
  }
  return factored(gram, { folder, threads });
}
