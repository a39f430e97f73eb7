import type { ModelGeometry, ModelTensors, ResidentTensor } from '@entrofleet/native';
import { createRandomSource, type RandomSource } from '../src/random.source.ts';

export type Format = 'f32' | 'u8' | 'u4';
export interface TinyOptions {
  readonly format: Format;
  /** Overrides of the geometry. */
  readonly geometry?: Partial<ModelGeometry>;
  readonly biases?: boolean;
  readonly stepPerRow?: boolean;
  readonly seed?: number;
}

/** Sizes that are no multiples of any vector width, so that every tail is exercised. */
export function tinyGeometry(overrides: Partial<ModelGeometry> = {}): ModelGeometry {
  const headSize = overrides.headSize ?? 10;
  return {
    vocabularySize: 101,
    hiddenSize: 54,
    intermediateSize: 75,
    layers: 2,
    heads: 6,
    keyValueHeads: 2,
    headSize,
    contextLength: 160,
    normEpsilon: 1e-5,
    rotaryFrequencies: Float64Array.from(
      { length: headSize / 2 },
      (_, i) => 10_000 ** ((-2 * i) / headSize),
    ),
    slidingWindow: 0,
    tiedEmbeddings: false,
    ...overrides,
  };
}

/** Random tensors for a geometry. */
export function tinyTensors(geometry: ModelGeometry, options: TinyOptions): ModelTensors {
  const random = createRandomSource(options.seed ?? 7);
  const { hiddenSize: hidden, intermediateSize: inner, vocabularySize: vocabulary } = geometry;
  const querySize = geometry.heads * geometry.headSize;
  const keySize = geometry.keyValueHeads * geometry.headSize;
  const matrix = (rows: number, columns: number) => randomTensor(random, options, rows, columns);
  const norm = () => vector(hidden, () => 0.5 + random.next());
  const biases = (sizes: Record<string, number>) =>
    options.biases === true
      ? Object.fromEntries(
          Object.entries(sizes).map(([role, size]) => [
            role,
            vector(size, () => random.next() - 0.5),
          ]),
        )
      : {};
  const layer = () => ({
    attentionNorm: norm(),
    query: matrix(querySize, hidden),
    key: matrix(keySize, hidden),
    value: matrix(keySize, hidden),
    output: matrix(hidden, querySize),
    mlpNorm: norm(),
    gate: matrix(inner, hidden),
    up: matrix(inner, hidden),
    down: matrix(hidden, inner),
    ...biases({
      queryBias: querySize,
      keyBias: keySize,
      valueBias: keySize,
      outputBias: hidden,
      gateBias: inner,
      upBias: inner,
      downBias: hidden,
    }),
  });
  return {
    embedding: matrix(vocabulary, hidden),
    finalNorm: norm(),
    ...(geometry.tiedEmbeddings ? {} : { head: matrix(vocabulary, hidden) }),
    layers: Array.from({ length: geometry.layers }, layer),
  };
}

function vector(size: number, value: () => number): ResidentTensor {
  return {
    format: 'f32',
    rows: 1,
    columns: size,
    data: Float32Array.from({ length: size }, value),
  };
}

function randomTensor(
  random: RandomSource,
  options: TinyOptions,
  rows: number,
  columns: number,
): ResidentTensor {
  const count = rows * columns;
  const spread = 4 / Math.sqrt(columns);
  if (options.format === 'f32') {
    const data = Float32Array.from({ length: count }, () => (random.next() - 0.5) * spread);
    return { format: 'f32', rows, columns, data };
  }
  const levels = options.format === 'u8' ? 256 : 16;
  const size = options.format === 'u8' ? count : Math.ceil(count / 2);
  const symbols = Uint8Array.from({ length: size }, () => Math.floor(random.next() * 256));
  const stepCount = options.stepPerRow === true ? rows : 1;
  const steps = Float32Array.from(
    { length: stepCount },
    () => ((0.5 + random.next()) * spread) / levels,
  );
  const zeroPoint = Math.floor(levels * (0.4 + 0.2 * random.next()));
  return { format: options.format, rows, columns, symbols, zeroPoint, steps };
}

type Row = number[];

function weightAt(tensor: ResidentTensor, row: number, column: number): number {
  const i = row * tensor.columns + column;
  if (tensor.format === 'f32') return tensor.data[i] ?? Number.NaN;
  const byte = tensor.symbols[tensor.format === 'u8' ? i : i >> 1] ?? Number.NaN;
  const symbol = tensor.format === 'u8' ? byte : (byte >> (4 * (i & 1))) & 15;
  const step = tensor.steps[tensor.steps.length === 1 ? 0 : row] ?? Number.NaN;
  return step * (symbol - tensor.zeroPoint);
}

function at(values: ArrayLike<number>, i: number): number {
  return values[i] ?? Number.NaN;
}

function project(weights: ResidentTensor, input: Row, bias?: ResidentTensor): Row {
  return Array.from({ length: weights.rows }, (_, r) => {
    let sum = bias === undefined ? 0 : weightAt(bias, 0, r);
    for (let c = 0; c < weights.columns; c++) sum += weightAt(weights, r, c) * at(input, c);
    return sum;
  });
}

function normalize(input: Row, weight: ResidentTensor, epsilon: number): Row {
  const mean = input.reduce((sum, x) => sum + x * x, 0) / input.length;
  return input.map((x, i) => (x / Math.sqrt(mean + epsilon)) * weightAt(weight, 0, i));
}

/** Rotates every head of a row of queries or keys, as Hugging Face's rotate_half does. */
function rotate(row: Row, position: number, geometry: ModelGeometry): Row {
  const { headSize, rotaryFrequencies: frequencies } = geometry;
  const half = frequencies.length;
  const result = [...row];
  for (let base = 0; base < row.length; base += headSize) {
    for (let i = 0; i < half; i++) {
      const angle = position * at(frequencies, i);
      const first = at(row, base + i);
      const second = at(row, base + i + half);
      result[base + i] = first * Math.cos(angle) - second * Math.sin(angle);
      result[base + i + half] = second * Math.cos(angle) + first * Math.sin(angle);
    }
  }
  return result;
}

function attend(queries: Row, keys: Row[], values: Row[], geometry: ModelGeometry): Row {
  const { heads, keyValueHeads, headSize, slidingWindow } = geometry;
  const begin = slidingWindow === 0 ? 0 : Math.max(0, keys.length - slidingWindow);
  const output: Row = [];
  for (let head = 0; head < heads; head++) {
    const shared = Math.floor((head * keyValueHeads) / heads) * headSize;
    const scores = keys.slice(begin).map((key) => {
      let dot = 0;
      for (let d = 0; d < headSize; d++)
        dot += at(queries, head * headSize + d) * at(key, shared + d);
      return dot / Math.sqrt(headSize);
    });
    const peak = Math.max(...scores);
    const weights = scores.map((score) => Math.exp(score - peak));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    for (let d = 0; d < headSize; d++) {
      let sum = 0;
      for (const [j, weight] of weights.entries()) {
        sum += (weight / total) * at(values[begin + j] ?? [], shared + d);
      }
      output.push(sum);
    }
  }
  return output;
}

function add(a: Row, b: Row): Row {
  return a.map((x, i) => x + at(b, i));
}

/**
 * Logits of every position, computed in double precision, token by token, exactly as the Llama
 * paper's formulas read.
 */
export function referenceLogits(
  geometry: ModelGeometry,
  tensors: ModelTensors,
  tokens: readonly number[],
): Row[] {
  const caches = tensors.layers.map(() => ({ keys: [] as Row[], values: [] as Row[] }));
  return tokens.map((token, position) => {
    const { embedding } = tensors;
    let hidden: Row = Array.from({ length: geometry.hiddenSize }, (_, c) =>
      weightAt(embedding, token, c),
    );
    for (const [i, layer] of tensors.layers.entries()) {
      const cache = caches[i];
      if (cache === undefined) throw new Error('no cache');
      const input = normalize(hidden, layer.attentionNorm, geometry.normEpsilon);
      const queries = rotate(project(layer.query, input, layer.queryBias), position, geometry);
      cache.keys.push(rotate(project(layer.key, input, layer.keyBias), position, geometry));
      cache.values.push(project(layer.value, input, layer.valueBias));
      const attended = attend(queries, cache.keys, cache.values, geometry);
      hidden = add(hidden, project(layer.output, attended, layer.outputBias));
      const inner = normalize(hidden, layer.mlpNorm, geometry.normEpsilon);
      const gate = project(layer.gate, inner, layer.gateBias);
      const up = project(layer.up, inner, layer.upBias);
      const gated = gate.map((x, k) => (x / (1 + Math.exp(-x))) * at(up, k));
      hidden = add(hidden, project(layer.down, gated, layer.downBias));
    }
    const last = normalize(hidden, tensors.finalNorm, geometry.normEpsilon);
    return project(tensors.head ?? embedding, last);
  });
}

/** Negative log-likelihood of each token after the first, from reference logits. */
export function referenceLosses(logits: readonly Row[], tokens: readonly number[]): number[] {
  return tokens.slice(1).map((token, i) => {
    const row = logits[i] ?? [];
    const peak = Math.max(...row);
    const total = row.reduce((sum, logit) => sum + Math.exp(logit - peak), 0);
    return peak + Math.log(total) - at(row, token);
  });
}

/** `count` token ids of a vocabulary. */
export function randomTokens(count: number, vocabularySize: number, seed = 3): number[] {
  const random = createRandomSource(seed);
  return Array.from({ length: count }, () => Math.floor(random.next() * vocabularySize));
}
