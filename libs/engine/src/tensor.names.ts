import type { ModelTensors } from '@entrofleet/native';
import type { ModelConfig } from './model.config.ts';

/** A tensor of a layer, by its role in {@link ModelTensors}. */
export type LayerRole = keyof ModelTensors['layers'][number];

/** Where a role's tensor lies: a whole checkpoint tensor, or some of its rows. */
export interface TensorPlace {
  /** Hugging Face name. */
  readonly name: string;
  /** Shape of the whole checkpoint tensor; a vector has one row. */
  readonly rows: number;
  readonly columns: number;
  /** The role's rows within it. */
  readonly firstRow: number;
  readonly rowCount: number;
}

export interface TensorPlan {
  readonly embedding: TensorPlace;
  readonly finalNorm: TensorPlace;
  /** Absent when embeddings are tied. */
  readonly head?: TensorPlace;
  /**
   * A head that lies beside tied embeddings. transformers 5 uses it, despite config.json, where it
   * differs from the embedding.
   */
  readonly spareHead?: TensorPlace;
  readonly layers: readonly Readonly<Partial<Record<LayerRole, TensorPlace>>>[];
}

function whole(name: string, rows: number, columns: number): TensorPlace {
  return { name, rows, columns, firstRow: 0, rowCount: rows };
}

/** Consecutive parts of one tensor, by their row counts. */
function parts(name: string, columns: number, rowCounts: readonly number[]): TensorPlace[] {
  const rows = rowCounts.reduce((sum, count) => sum + count, 0);
  let firstRow = 0;
  return rowCounts.map((rowCount) => {
    const place = { name, rows, columns, firstRow, rowCount };
    firstRow += rowCount;
    return place;
  });
}

const HEAD = 'lm_head.weight';
const EMBEDDING = 'embed_tokens.weight';

/**
 * The Hugging Face names and shapes of all tensors a model of this config has. Names that are
 * nowhere in the plan (old checkpoints carry rotary frequencies, for example) are not used.
 * @param names of the checkpoint's tensors, where they are known. Without `model.` in front they are
 * those of a model that was saved without its head.
 */
export function planTensors(config: ModelConfig, names?: readonly string[]): TensorPlan {
  const isBare = names?.includes(EMBEDDING) === true && !names.includes(`model.${EMBEDDING}`);
  const prefix = isBare ? '' : 'model.';
  const embedding = whole(`${prefix}${EMBEDDING}`, config.vocabularySize, config.hiddenSize);
  const plan: TensorPlan = {
    embedding,
    finalNorm: whole(`${prefix}norm.weight`, 1, config.hiddenSize),
    layers: Array.from({ length: config.layers }, (_, layer) =>
      planLayer(config, `${prefix}layers.${layer}.`),
    ),
  };
  const head = { ...embedding, name: HEAD };
  if (!config.tiedEmbeddings) return { ...plan, head };
  return names?.includes(HEAD) === true ? { ...plan, spareHead: head } : plan;
}

function planLayer(config: ModelConfig, prefix: string): Partial<Record<LayerRole, TensorPlace>> {
  const { hiddenSize, intermediateSize } = config;
  const querySize = config.heads * config.headSize;
  return {
    attentionNorm: whole(`${prefix}input_layernorm.weight`, 1, hiddenSize),
    mlpNorm: whole(`${prefix}post_attention_layernorm.weight`, 1, hiddenSize),
    output: whole(`${prefix}self_attn.o_proj.weight`, hiddenSize, querySize),
    down: whole(`${prefix}mlp.down_proj.weight`, hiddenSize, intermediateSize),
    ...(config.fusedProjections ? fusedInputs(config, prefix) : separateInputs(config, prefix)),
    ...(config.headNorms ? headNorms(config, prefix) : {}),
    ...biases(config, prefix),
  };
}

function headNorms(config: ModelConfig, prefix: string): Partial<Record<LayerRole, TensorPlace>> {
  return {
    queryNorm: whole(`${prefix}self_attn.q_norm.weight`, 1, config.headSize),
    keyNorm: whole(`${prefix}self_attn.k_norm.weight`, 1, config.headSize),
  };
}

function separateInputs(
  config: ModelConfig,
  prefix: string,
): Partial<Record<LayerRole, TensorPlace>> {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = config;
  return {
    query: whole(`${prefix}self_attn.q_proj.weight`, heads * headSize, hiddenSize),
    key: whole(`${prefix}self_attn.k_proj.weight`, keyValueHeads * headSize, hiddenSize),
    value: whole(`${prefix}self_attn.v_proj.weight`, keyValueHeads * headSize, hiddenSize),
    gate: whole(`${prefix}mlp.gate_proj.weight`, intermediateSize, hiddenSize),
    up: whole(`${prefix}mlp.up_proj.weight`, intermediateSize, hiddenSize),
  };
}

function fusedInputs(config: ModelConfig, prefix: string): Partial<Record<LayerRole, TensorPlace>> {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = config;
  const keySize = keyValueHeads * headSize;
  const [query, key, value] = parts(`${prefix}self_attn.qkv_proj.weight`, hiddenSize, [
    heads * headSize,
    keySize,
    keySize,
  ]);
  const [gate, up] = parts(`${prefix}mlp.gate_up_proj.weight`, hiddenSize, [
    intermediateSize,
    intermediateSize,
  ]);
  return defined({ query, key, value, gate, up });
}

function biases(config: ModelConfig, prefix: string): Partial<Record<LayerRole, TensorPlace>> {
  const { hiddenSize, intermediateSize, heads, keyValueHeads, headSize } = config;
  const bias = (name: string, size: number) => whole(`${prefix}${name}_proj.bias`, 1, size);
  const { input, output } = config.attentionBias;
  return defined({
    queryBias: input ? bias('self_attn.q', heads * headSize) : undefined,
    keyBias: input ? bias('self_attn.k', keyValueHeads * headSize) : undefined,
    valueBias: input ? bias('self_attn.v', keyValueHeads * headSize) : undefined,
    outputBias: output ? bias('self_attn.o', hiddenSize) : undefined,
    gateBias: config.mlpBias ? bias('mlp.gate', intermediateSize) : undefined,
    upBias: config.mlpBias ? bias('mlp.up', intermediateSize) : undefined,
    downBias: config.mlpBias ? bias('mlp.down', hiddenSize) : undefined,
  });
}

function defined<Key extends string, Value>(
  object: Record<Key, Value | undefined>,
): Partial<Record<Key, Value>> {
  const result: Partial<Record<Key, Value>> = {};
  for (const key in object) {
    const value = object[key];
    if (value !== undefined) result[key] = value;
  }
  return result;
}
