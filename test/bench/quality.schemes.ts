import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type Calibration,
  type Checkpoint,
  encodeArtifact,
  openArtifact,
} from '@entrofleet/artifact';
import { loadModel, perplexity, type WeightSource } from '@entrofleet/engine';
import { parseRecipe } from '@entrofleet/protocol';
import { type BlockFormat, Q4_0, Q4_K, Q5_0, Q6_K, Q8_0 } from './ggml.blocks.ts';

/** One point of the curve. */
export interface QualityPoint {
  readonly scheme: string;
  readonly isCalibrated: boolean;
  /** Bits per weight over all matrices, as stored: codes, steps or scales, tables, header entries. */
  readonly bitsPerWeight: number;
  /** Order-0 entropy of the integers; null where they are not entropy coded. */
  readonly entropyBitsPerWeight: number | null;
  readonly perplexity: number;
}

export interface QualityBench {
  readonly checkpoint: Checkpoint;
  readonly rows: readonly (readonly number[])[];
  readonly threads: number;
}

export async function measureFloat(bench: QualityBench): Promise<QualityPoint> {
  return {
    scheme: 'float (source)',
    isCalibrated: false,
    bitsPerWeight: 16,
    entropyBitsPerWeight: null,
    perplexity: await measured(bench.checkpoint, bench),
  };
}

/** Encodes with a recipe, and measures what is read back. */
export async function measureRecipe(
  bench: QualityBench,
  { text, calibration }: { readonly text: string; readonly calibration?: Calibration },
): Promise<QualityPoint> {
  const { checkpoint, threads } = bench;
  const recipe = parseRecipe(text);
  if (recipe === undefined) throw new Error(`unknown recipe ${text}`);
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-quality-'));
  try {
    const path = join(folder, 'model.efa');
    const calibrated = calibration === undefined ? {} : { calibration };
    const { totals } = await encodeArtifact({ checkpoint, recipe, path, threads, ...calibrated });
    const reader = await openArtifact(path);
    const { config, tensorNames } = reader;
    const readResident = (name: string) => reader.readResident(name, { threads });
    try {
      return {
        scheme: text,
        isCalibrated: calibration !== undefined,
        bitsPerWeight: totals.bitsPerWeight,
        entropyBitsPerWeight: totals.entropyBitsPerWeight,
        perplexity: await measured({ config, tensorNames, readResident }, bench),
      };
    } finally {
      await reader.close();
    }
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** A format of llama.cpp for each matrix. */
export interface BlockScheme {
  readonly scheme: string;
  readonly formatOf: (name: string, columns: number) => BlockFormat;
}

export async function measureBlocks(
  bench: QualityBench,
  { scheme, formatOf }: BlockScheme,
): Promise<QualityPoint> {
  const { checkpoint } = bench;
  const { config, tensorNames } = checkpoint;
  let bits = 0;
  let weights = 0;
  const readResident: WeightSource['readResident'] = async (name) => {
    const tensor = await checkpoint.readResident(name);
    const isMatrix = checkpoint.tensors.find((info) => info.name === name)?.shape.length === 2;
    if (!isMatrix || tensor.format !== 'f32') return tensor;
    const data = tensor.data.slice();
    const format = formatOf(name, tensor.columns);
    for (let i = 0; i < data.length; i += format.blockWeights) {
      format.round(data.subarray(i, i + format.blockWeights));
    }
    bits += format.bitsPerWeight * data.length;
    weights += data.length;
    return { ...tensor, data };
  };
  const value = await measured({ config, tensorNames, readResident }, bench);
  return {
    scheme,
    isCalibrated: false,
    bitsPerWeight: bits / weights,
    entropyBitsPerWeight: null,
    perplexity: value,
  };
}

async function measured(source: WeightSource, { rows, threads }: QualityBench): Promise<number> {
  const model = await loadModel(source, { threads });
  try {
    return (await perplexity(model, rows)).perplexity;
  } finally {
    model.close();
  }
}

/**
 * llama.cpp's formats. Blocks of 256 need rows of whole blocks; where a model has none, llama.cpp
 * falls back to Q5_0 and Q8_0. The other line lets blocks run on across rows, which llama.cpp does
 * not do, so that the format itself can be compared.
 */
export function blockSchemes(layers: number): BlockScheme[] {
  const kinds = mixedKinds(layers);
  return [
    { scheme: 'Q8_0', formatOf: () => Q8_0 },
    { scheme: 'Q4_0', formatOf: () => Q4_0 },
    {
      scheme: 'Q4_K_M, blocks across rows',
      formatOf: (name) => (kinds(name) === 'more' ? Q6_K : Q4_K),
    },
    {
      scheme: 'Q4_K_M as llama.cpp falls back',
      formatOf: (name, columns) => {
        const fits = columns % 256 === 0;
        if (kinds(name) === 'more') return fits ? Q6_K : Q8_0;
        return fits ? Q4_K : Q5_0;
      },
    },
  ];
}

/** Which tensors Q4_K_M gives 6 bits (llama-quant.cpp): the head, and values and down in part. */
function mixedKinds(layers: number): (name: string) => 'more' | 'less' {
  const eighth = Math.floor(layers / 8);
  const hasMore = (layer: number) =>
    layer < eighth || layer >= Math.floor((7 * layers) / 8) || (layer - eighth) % 3 === 2;
  return (name) => {
    if (/embed_tokens|lm_head/.test(name)) return 'more';
    const layer = Number(/\.layers\.(\d+)\.(?:self_attn\.v_proj|mlp\.down_proj)\./.exec(name)?.[1]);
    return hasMore(layer) ? 'more' : 'less';
  };
}
