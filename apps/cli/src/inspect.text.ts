import type { ArtifactHeader, TensorEntry } from '@entrofleet/artifact';
import { sizeText } from './size.text.ts';

/** Header facts of one tensor; sizes in bytes. */
export interface TensorFacts {
  readonly name: string;
  readonly codec: 'raw' | 'huffman';
  readonly shape: readonly number[];
  readonly weights: number;
  readonly sizeBytes: number;
  readonly bitsPerWeight: number;
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
  return { name, codec, shape, weights, sizeBytes: payloadBytes, bitsPerWeight };
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
  options: { path: string; withTensors: boolean },
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
    'config',
    ...summary.map(([key, value]) => `  ${key}: ${String(value)}`),
    'files',
    ...files.map((file) => `  ${file.name}: ${file.sizeBytes} bytes, ${file.payloadBytes} stored`),
    `bits per weight, steps included (${tensors.length} tensors)`,
    ...barChart(layerFacts(tensors)),
    ...(options.withTensors ? ['tensors', ...tensors.map(tensorLine)] : []),
    '',
  ].join('\n');
}

function tensorLine({ name, codec, shape, sizeBytes, bitsPerWeight }: TensorFacts): string {
  const size = `${sizeBytes} bytes, ${bitsPerWeight.toFixed(3)} bits`;
  return `  ${name}: ${codec}, ${shape.join(' x ') || 'scalar'}, ${size}`;
}
