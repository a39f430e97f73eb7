import { kvCacheBytes } from './memory.figures.ts';
import type { ModelConfig } from './model.config.ts';
import type { MatrixSizes, ResidencyRequest } from './residency.plan.ts';
import { plainMatrixBytes, windowMatrixBytes } from './residency.sizes.ts';
import type { TensorPlace, TensorPlan } from './tensor.names.ts';
import type { CodedMatrix } from './weight.source.ts';

/** Positions that share a pass over the weights, each with its own activations. */
const BLOCK_POSITIONS = 256;
const FLOAT_BYTES = 4;
/** A member's panels and sums in a product with decoded symbols, and its buffers while it loads. */
const MEMBER_BYTES = 2 * 1024 * 1024;
/** Segments kept decoded for looking up rows. */
const LOOK_UPS = 2;
/** Without a word about it, sessions are expected to be no longer. */
const CONTEXT_LENGTH_DEFAULT = 4096;

/** A matrix that is loaded coded, with the places in the model that its rows go to. */
export interface PlacedMatrix {
  readonly matrix: CodedMatrix;
  readonly places: readonly TensorPlace[];
}

/**
 * The matrices of a plan that a source holds coded, in the order in which a pass over the model
 * multiplies by them. Places that ask for another shape, or begin within a byte, are not among them.
 */
export function placeMatrices(plan: TensorPlan, coded: readonly CodedMatrix[]): PlacedMatrix[] {
  const byName = new Map(coded.map((matrix) => [matrix.name, matrix]));
  const placed = new Map<string, TensorPlace[]>();
  for (const place of placesInOrder(plan)) {
    const places = placed.get(place.name) ?? [];
    placed.set(place.name, [...places, place]);
  }
  return [...placed].flatMap(([name, places]) => {
    const matrix = byName.get(name);
    const isUsable = matrix !== undefined && places.every((place) => holds(matrix, place));
    return isUsable ? [{ matrix, places }] : [];
  });
}

/** Every place once, in the order of a pass; the embedding, of which a pass reads rows, is first. */
export function placesInOrder(plan: TensorPlan): TensorPlace[] {
  const { embedding, layers, finalNorm, head, spareHead } = plan;
  const ofLayers = layers.flatMap((layer) => {
    const { query, key, value, output, gate, up, down, ...vectors } = layer;
    return [query, key, value, output, gate, up, down, ...Object.values(vectors)];
  });
  return [embedding, ...ofLayers, finalNorm, head, spareHead].filter((p) => p !== undefined);
}

function holds(matrix: CodedMatrix, place: TensorPlace): boolean {
  const isShape = matrix.rows === place.rows && matrix.columns === place.columns;
  const isWholeByte = matrix.bits === 8 || (place.firstRow * place.columns) % 2 === 0;
  return isShape && isWholeByte;
}

/** Of one session as long as the model's context, or as most are. */
export function defaultKeyValueBytes(config: ModelConfig): number {
  return kvCacheBytes(config, {
    contextLength: Math.min(config.contextLength, CONTEXT_LENGTH_DEFAULT),
  });
}

/** What the residency plan needs to know of a model, before anything of it is decoded. */
export function residencyRequest(use: {
  readonly config: ModelConfig;
  readonly plan: TensorPlan;
  readonly placed: readonly PlacedMatrix[];
  readonly threads: number;
  readonly keyValueBytes: number;
  readonly diskBufferBytes: number;
}): Omit<ResidencyRequest, 'constants' | 'form' | 'budgetBytes'> {
  const { config, plan, placed, threads, diskBufferBytes } = use;
  const matrices = placed.map(({ matrix }) => sizesOf(matrix, plan));
  const segmentSymbols = Math.max(0, ...matrices.map((matrix) => matrix.segmentSymbols));
  return {
    matrices,
    fixedBytes:
      use.keyValueBytes +
      otherBytes(plan, placed) +
      activationBytes(config) +
      threads * MEMBER_BYTES,
    decodeScratchBytes: (threads + LOOK_UPS) * segmentSymbols + partSumBytes(matrices),
    diskScratchBytes: diskBufferBytes,
  };
}

function sizesOf(matrix: CodedMatrix, plan: TensorPlan): MatrixSizes {
  const { name, rows, columns, symbols, segmentSymbols, layout, codedBytes } = matrix;
  const isEmbedding = name === plan.embedding.name;
  const isHead = plan.head === undefined;
  return {
    ...{ name, symbols, segmentSymbols, layout, codedBytes },
    weights: rows * columns,
    plainBytes: plainMatrixBytes(matrix),
    windowBytes: windowMatrixBytes(matrix, matrix.shares),
    use: !isEmbedding ? 'product' : isHead ? 'both' : 'rows',
  };
}

/** Tensors that are not coded: vectors in float32. */
function otherBytes(plan: TensorPlan, placed: readonly PlacedMatrix[]): number {
  const coded = new Set(placed.map(({ matrix }) => matrix.name));
  return placesInOrder(plan)
    .filter(({ name }) => !coded.has(name))
    .reduce((sum, place) => sum + place.rowCount * place.columns * FLOAT_BYTES, 0);
}

function activationBytes(config: ModelConfig): number {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize, vocabularySize } = config;
  const attention = (2 * heads + 2 * keyValueHeads) * headSize;
  const widest = Math.max(hiddenSize, intermediateSize, heads * headSize);
  const position = (3 * hiddenSize + attention + 2 * intermediateSize + widest) * FLOAT_BYTES;
  return BLOCK_POSITIONS * position + 2 * vocabularySize * FLOAT_BYTES;
}

/** Sums of rows that two segments share, for the three largest products of a round. */
function partSumBytes(matrices: readonly MatrixSizes[]): number {
  const segments = matrices.map((m) => Math.ceil(m.symbols / m.segmentSymbols));
  return 3 * Math.max(0, ...segments) * 2 * BLOCK_POSITIONS * BigInt64Array.BYTES_PER_ELEMENT;
}
