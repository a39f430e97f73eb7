import type { ModelGeometry, ModelTensors, PlainTensor, ResidentTensor } from '@entrofleet/native';
import { createRandomSource, type RandomSource } from '../src/random.source.ts';

export type Format = 'f32' | 'f16' | 'bf16' | 'u8' | 'u4';
export interface TinyOptions {
  readonly format: Format;
  /** Overrides of the geometry. */
  readonly geometry?: Partial<ModelGeometry>;
  readonly biases?: boolean;
  /** Norms of queries and keys, as Qwen3 has. */
  readonly headNorms?: boolean;
  readonly stepPerRow?: boolean;
  /** Of symbols. */
  readonly form?: 'window' | 'plain';
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
    rotaryScale: 1,
    slidingWindows: new Uint32Array(overrides.layers ?? 2),
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
  const norm = (size = hidden) => vector(size, () => 0.5 + random.next());
  const headNorms = () =>
    options.headNorms === true
      ? { queryNorm: norm(geometry.headSize), keyNorm: norm(geometry.headSize) }
      : {};
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
    ...headNorms(),
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

function vector(size: number, value: () => number): PlainTensor {
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
): PlainTensor {
  const count = rows * columns;
  const spread = 4 / Math.sqrt(columns);
  if (options.format === 'f32') {
    const data = Float32Array.from({ length: count }, () => (random.next() - 0.5) * spread);
    return { format: 'f32', rows, columns, data };
  }
  if (options.format === 'f16' || options.format === 'bf16') {
    const data = Uint16Array.from({ length: count }, () =>
      toHalf((random.next() - 0.5) * spread, options.format === 'f16'),
    );
    return { format: options.format, rows, columns, data };
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
  const { format, form = 'window' } = options;
  return { format, rows, columns, symbols, zeroPoint, steps, form };
}

/** Bits of a number of small magnitude, cut off after as many as the format has. */
function toHalf(value: number, float16: boolean): number {
  const bits = new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0;
  if (!float16) return bits >>> 16;
  const magnitude = Math.max(0, ((bits & 0x7fffffff) >>> 13) - (112 << 10));
  return ((bits >>> 16) & 0x8000) | magnitude;
}

function fromHalf(bits: number, float16: boolean): number {
  if (!float16) return new Float32Array(Uint32Array.of(bits << 16).buffer)[0] ?? Number.NaN;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  const magnitude =
    exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15);
  return bits >> 15 === 0 ? magnitude : -magnitude;
}

type Row = number[];

function weightAt(tensor: ResidentTensor, row: number, column: number): number {
  const i = row * tensor.columns + column;
  if (tensor.format === 'native') throw new Error('the reference cannot see native tensors');
  if (tensor.format === 'f32') return tensor.data[i] ?? Number.NaN;
  if (tensor.format === 'f16' || tensor.format === 'bf16') {
    return fromHalf(tensor.data[i] ?? Number.NaN, tensor.format === 'f16');
  }
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

function normalizeHeads(
  row: Row,
  norm: ResidentTensor | undefined,
  { headSize, normEpsilon }: ModelGeometry,
): Row {
  if (norm === undefined) return row;
  const heads = Array.from({ length: row.length / headSize }, (_, head) =>
    row.slice(head * headSize, (head + 1) * headSize),
  );
  return heads.flatMap((head) => normalize(head, norm, normEpsilon));
}

/** Rotates every head of a row of queries or keys, as Hugging Face's rotate_half does. */
function rotate(row: Row, position: number, geometry: ModelGeometry): Row {
  const { headSize, rotaryFrequencies: frequencies } = geometry;
  const half = frequencies.length;
  const result = [...row];
  for (let base = 0; base < row.length; base += headSize) {
    for (let i = 0; i < half; i++) {
      const angle = position * at(frequencies, i);
      const cosine = geometry.rotaryScale * Math.cos(angle);
      const sine = geometry.rotaryScale * Math.sin(angle);
      const first = at(row, base + i);
      const second = at(row, base + i + half);
      result[base + i] = first * cosine - second * sine;
      result[base + i + half] = second * cosine + first * sine;
    }
  }
  return result;
}

interface Cache {
  readonly keys: Row[];
  readonly values: Row[];
  /** 0: none. */
  readonly window: number;
}

function attend(queries: Row, { keys, values, window }: Cache, geometry: ModelGeometry): Row {
  const { heads, keyValueHeads, headSize } = geometry;
  const begin = window === 0 ? 0 : Math.max(0, keys.length - window);
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
  const caches = tensors.layers.map(
    (_, i): Cache => ({ keys: [], values: [], window: geometry.slidingWindows[i] ?? 0 }),
  );
  return tokens.map((token, position) => {
    const { embedding } = tensors;
    let hidden: Row = Array.from({ length: geometry.hiddenSize }, (_, c) =>
      weightAt(embedding, token, c),
    );
    for (const [i, layer] of tensors.layers.entries()) {
      const cache = caches[i];
      if (cache === undefined) throw new Error('no cache');
      const input = normalize(hidden, layer.attentionNorm, geometry.normEpsilon);
      const place = (row: Row, norm?: ResidentTensor) =>
        rotate(normalizeHeads(row, norm, geometry), position, geometry);
      const queries = place(project(layer.query, input, layer.queryBias), layer.queryNorm);
      cache.keys.push(place(project(layer.key, input, layer.keyBias), layer.keyNorm));
      cache.values.push(project(layer.value, input, layer.valueBias));
      const attended = attend(queries, cache, geometry);
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
