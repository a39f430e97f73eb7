import type { ArtifactHeader, EvaluationRecord, TensorEntry } from '@entrofleet/artifact';
import { sqnrDb } from '@entrofleet/codec';
import { sizeText } from './size.text.ts';

/** Header facts of one tensor; sizes in bytes. */
export interface TensorFacts {
  readonly name: string;
  readonly codec: TensorEntry['codec'];
  readonly shape: readonly number[];
  readonly weights: number;
  readonly sizeBytes: number;
  /** Steps included. */
  readonly bitsPerWeight: number;
  /** Order-0 entropy of the levels; null for raw tensors, as are the next two. */
  readonly entropyBitsPerWeight: number | null;
  /** Bits over entropy, as a share of the entropy; null also when that is 0. */
  readonly lossOverEntropy: number | null;
  /** null also when there is no error. */
  readonly sqnrDb: number | null;
}

/** What a group of tensors takes: one layer, or one tensor outside the layers. */
export interface LayerFacts {
  readonly layer: string;
  readonly weights: number;
  readonly bitsPerWeight: number;
}

const BAR_WIDTH = 32;
const CONFIG_KEYS = [
  'model_type',
  'num_hidden_layers',
  'hidden_size',
  'num_attention_heads',
  'num_key_value_heads',
  'vocab_size',
  'max_position_embeddings',
  'tie_word_embeddings',
];

export function tensorFacts(tensor: TensorEntry): TensorFacts {
  const weights = tensor.shape.reduce((product, size) => product * size, 1);
  const { name, codec, shape, payloadBytes } = tensor;
  const bitsPerWeight = (payloadBytes * 8) / weights;
  const facts = { name, codec, shape, weights, sizeBytes: payloadBytes, bitsPerWeight };
  if (tensor.codec === 'raw') {
    return { ...facts, entropyBitsPerWeight: null, lossOverEntropy: null, sqnrDb: null };
  }
  const entropy = tensor.entropyMicrobits / 1e6;
  return {
    ...facts,
    entropyBitsPerWeight: entropy,
    lossOverEntropy: entropy === 0 ? null : bitsPerWeight / entropy - 1,
    sqnrDb: sqnrDb({ signal: 1, noise: tensor.noiseTrillionths / 1e12 }),
  };
}

/** Figures over all coded tensors of an artifact, everything that the file holds for them. */
export interface CodedFacts {
  readonly weights: number;
  /** The whole file but its tokenizer files and raw tensors, so header and hashes included. */
  readonly bitsPerWeight: number;
  readonly entropyBitsPerWeight: number;
  readonly lossOverEntropy: number | null;
}

export function codedFacts(header: ArtifactHeader): CodedFacts {
  const coded = header.tensors.map(tensorFacts).filter(({ codec }) => codec !== 'raw');
  const raw = header.tensors.filter(({ codec }) => codec === 'raw');
  const otherBytes = [...header.files, ...raw].reduce((sum, item) => sum + item.payloadBytes, 0);
  const weights = coded.reduce((sum, tensor) => sum + tensor.weights, 0);
  const entropyBits = coded.reduce(
    (sum, tensor) => sum + (tensor.entropyBitsPerWeight ?? 0) * tensor.weights,
    0,
  );
  const bits = (header.ref.sizeBytes - otherBytes) * 8;
  const perWeight = (sum: number) => (weights === 0 ? 0 : sum / weights);
  return {
    weights,
    bitsPerWeight: perWeight(bits),
    entropyBitsPerWeight: perWeight(entropyBits),
    lossOverEntropy: entropyBits === 0 ? null : bits / entropyBits - 1,
  };
}

/** Bits per weight of the coded tensors by layer, layers in order, the others before them. */
export function layerFacts(tensors: readonly TensorFacts[]): LayerFacts[] {
  const groups = new Map<string, { weights: number; sizeBytes: number; order: number }>();
  for (const { name, codec, weights, sizeBytes } of tensors) {
    if (codec === 'raw') continue;
    const number = /\.layers\.(\d+)\./.exec(name)?.[1];
    const layer = number === undefined ? name.replace(/\.weight$/, '') : `layer ${number}`;
    const order = number === undefined ? -1 : Number(number);
    const group = groups.get(layer) ?? { weights: 0, sizeBytes: 0, order };
    group.weights += weights;
    group.sizeBytes += sizeBytes;
    groups.set(layer, group);
  }
  return [...groups]
    .toSorted(([, a], [, b]) => a.order - b.order)
    .map(([layer, { weights, sizeBytes }]) => {
      return { layer, weights, bitsPerWeight: (sizeBytes * 8) / weights };
    });
}

/** Keys of config.json that tell a model apart, where it has them. */
export function configSummary(config: Readonly<Record<string, unknown>>): Record<string, unknown> {
  return Object.fromEntries(
    CONFIG_KEYS.flatMap((key) => (key in config ? [[key, config[key]]] : [])),
  );
}

export function recipeText(recipe: ArtifactHeader['recipe']): string {
  if (recipe.kind === 'affine') return recipe.bits === 8 ? 'u8' : 'u4-paper';
  const target =
    recipe.kind === 'rate' ? `${recipe.targetBitsPerWeight}` : `q${recipe.targetSqnrDb}`;
  const tokens = recipe.calibration?.tokensSha256.slice(0, 12);
  return `rd-${target}${tokens === undefined ? '' : `, calibrated on tokens ${tokens}`}`;
}

/** Text bars, the widest for the most bits. */
export function barChart(layers: readonly LayerFacts[]): string[] {
  const most = layers.reduce((peak, { bitsPerWeight }) => Math.max(peak, bitsPerWeight), 0);
  const width = layers.reduce((longest, { layer }) => Math.max(longest, layer.length), 0);
  return layers.map(({ layer, bitsPerWeight }) => {
    const bar = '#'.repeat(Math.max(1, Math.round((bitsPerWeight / most) * BAR_WIDTH)));
    return `  ${layer.padEnd(width)}  ${bitsPerWeight.toFixed(3)}  ${bar}`;
  });
}

export function inspectText(
  header: ArtifactHeader,
  options: { path: string; withTensors: boolean; evaluation: EvaluationRecord | undefined },
): string {
  const tensors = header.tensors.map(tensorFacts);
  const summary = Object.entries(configSummary(header.config));
  const { ref, files } = header;
  return [
    `artifact  ${options.path}`,
    `id        ${ref.id}`,
    `recipe    ${recipeText(header.recipe)}`,
    `size      ${ref.sizeBytes} bytes (${sizeText(ref.sizeBytes)}), header ` +
      `${ref.headerSizeBytes}, ${ref.chunkCount} chunks of at most ${ref.chunkSizeBytes}`,
    ...codedLines(codedFacts(header)),
    ...evaluationLines(options.evaluation),
    'config',
    ...summary.map(([key, value]) => `  ${key}: ${String(value)}`),
    'files',
    ...files.map((file) => `  ${file.name}: ${file.sizeBytes} bytes, ${file.payloadBytes} stored`),
    `bits per weight, steps included (${tensors.length} tensors)`,
    ...barChart(layerFacts(tensors)),
    ...(options.withTensors ? tensorTable(tensors) : []),
    '',
  ].join('\n');
}

function codedLines({ weights, ...facts }: CodedFacts): string[] {
  const { bitsPerWeight, entropyBitsPerWeight, lossOverEntropy } = facts;
  return [
    `weights   ${weights} coded at ${bitsPerWeight.toFixed(4)} bits, header and hashes included`,
    `entropy   ${entropyBitsPerWeight.toFixed(4)} bits per weight; the file is ` +
      `${percent(lossOverEntropy)} over it`,
  ];
}

function evaluationLines(evaluation: EvaluationRecord | undefined): string[] {
  if (evaluation === undefined) return ['quality   not evaluated'];
  const { perplexity, sourcePerplexity, tokens, rows, origin } = evaluation;
  const ratio = (perplexity / sourcePerplexity).toFixed(4);
  return [
    `quality   perplexity ${perplexity.toFixed(4)}, source ${sourcePerplexity.toFixed(4)}, ` +
      `ratio ${ratio} (${tokens} tokens of ${rows} rows, ${origin})`,
  ];
}

const COLUMNS = ['tensor', 'codec', 'shape', 'bytes', 'bits', 'entropy', 'over', 'SQNR dB'];

function tensorTable(tensors: readonly TensorFacts[]): string[] {
  const rows = [COLUMNS, ...tensors.map(tensorCells)];
  const widths = COLUMNS.map((_, i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const align = (cell: string, i: number) =>
    i < 3 ? cell.padEnd(widths[i] ?? 0) : cell.padStart(widths[i] ?? 0);
  return rows.map((row) => row.map(align).join('  ').trimEnd());
}

function tensorCells(tensor: TensorFacts): string[] {
  const { entropyBitsPerWeight, codec } = tensor;
  return [
    tensor.name,
    codec,
    tensor.shape.join(' x ') || 'scalar',
    String(tensor.sizeBytes),
    tensor.bitsPerWeight.toFixed(3),
    entropyBitsPerWeight === null ? '' : entropyBitsPerWeight.toFixed(3),
    codec === 'raw' ? '' : percent(tensor.lossOverEntropy),
    codec === 'raw' ? '' : (tensor.sqnrDb?.toFixed(2) ?? 'exact'),
  ];
}

function percent(share: number | null): string {
  return share === null ? '-' : `${(share * 100).toFixed(2)} %`;
}
