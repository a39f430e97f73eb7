/**
 * What Hugging Face transformers computes for a checkpoint, in double precision, written after its
 * modelling code (modeling_llama.py and its siblings, modeling_rope_utils.py of version 5) and
 * sharing nothing with the engine: configuration keys and tensor names as they stand in the files.
 */

type Row = number[];
type Json = Readonly<Record<string, unknown>>;
export interface NamedTensor {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}
export type StateDict = ReadonlyMap<string, NamedTensor>;

const number = (value: unknown): number => Number(value);

/** Logits at every position of one text. */
export function transformersLogits(
  config: Json,
  state: StateDict,
  inputIds: readonly number[],
): Row[] {
  const model = new CausalLm(config, state);
  return model.forward(inputIds);
}

class CausalLm {
  readonly #config: Json;
  readonly #state: StateDict;
  readonly #headDim: number;
  readonly #heads: number;
  readonly #keyValueHeads: number;

  constructor(config: Json, state: StateDict) {
    this.#config = config;
    this.#state = state;
    this.#heads = number(config.num_attention_heads);
    this.#keyValueHeads = number(config.num_key_value_heads ?? this.#heads);
    this.#headDim = number(config.head_dim ?? number(config.hidden_size) / this.#heads);
  }

  forward(inputIds: readonly number[]): Row[] {
    const embed = this.#weight('model.embed_tokens.weight');
    let hidden = inputIds.map((id) => rowOf(embed, id));
    const { cos, sin } = this.#rotaryEmbedding(inputIds.length);
    for (let layer = 0; layer < number(this.#config.num_hidden_layers); layer++) {
      const name = (part: string) => `model.layers.${layer}.${part}`;
      const normed = this.#rmsNorm(hidden, name('input_layernorm'));
      hidden = sum(hidden, this.#attention(normed, { layer, name, cos, sin }));
      hidden = sum(
        hidden,
        this.#mlp(this.#rmsNorm(hidden, name('post_attention_layernorm')), name),
      );
    }
    const head = this.#state.get('lm_head.weight') ?? embed;
    return this.#rmsNorm(hidden, 'model.norm').map((row) => matVec(head, row));
  }

  #attention(
    hidden: Row[],
    at: { layer: number; name: (part: string) => string; cos: Row[]; sin: Row[] },
  ): Row[] {
    const { query, key, value } = this.#queryKeyValue(hidden, at.name);
    const rotated = (rows: Row[], norm: string) =>
      rows.map((row, position) =>
        split(row, this.#headDim).map((head) =>
          applyRotary(this.#headNorm(head, at.name(norm)), at.cos[position], at.sin[position]),
        ),
      );
    const queries = rotated(query, 'self_attn.q_norm');
    const keys = rotated(key, 'self_attn.k_norm');
    const values = value.map((row) => split(row, this.#headDim));
    const window = this.#slidingWindow(at.layer);
    const groups = this.#heads / this.#keyValueHeads;
    const attended = queries.map((heads, position) =>
      heads.flatMap((head, h) => {
        const seen = keys.map((_, j) => j).filter((j) => j <= position && j > position - window);
        const scores = seen.map((j) => dot(head, keys[j]?.[Math.floor(h / groups)]));
        const weights = softmax(scores.map((score) => score * this.#headDim ** -0.5));
        return head.map((_, d) =>
          seen.reduce(
            (total, j, i) =>
              total + (weights[i] ?? 0) * (values[j]?.[Math.floor(h / groups)]?.[d] ?? Number.NaN),
            0,
          ),
        );
      }),
    );
    return this.#linear(attended, at.name('self_attn.o_proj'));
  }

  #queryKeyValue(
    hidden: Row[],
    name: (part: string) => string,
  ): { query: Row[]; key: Row[]; value: Row[] } {
    if (this.#config.model_type !== 'phi3') {
      return {
        query: this.#linear(hidden, name('self_attn.q_proj')),
        key: this.#linear(hidden, name('self_attn.k_proj')),
        value: this.#linear(hidden, name('self_attn.v_proj')),
      };
    }
    const qkv = this.#linear(hidden, name('self_attn.qkv_proj'));
    const queryEnd = this.#heads * this.#headDim;
    const keyEnd = queryEnd + this.#keyValueHeads * this.#headDim;
    return {
      query: qkv.map((row) => row.slice(0, queryEnd)),
      key: qkv.map((row) => row.slice(queryEnd, keyEnd)),
      value: qkv.map((row) => row.slice(keyEnd)),
    };
  }

  #mlp(hidden: Row[], name: (part: string) => string): Row[] {
    const silu = (x: number) => x / (1 + Math.exp(-x));
    const inner = number(this.#config.intermediate_size);
    const isFused = this.#config.model_type === 'phi3';
    const gateUp = isFused ? this.#linear(hidden, name('mlp.gate_up_proj')) : [];
    const gate = isFused
      ? gateUp.map((row) => row.slice(0, inner))
      : this.#linear(hidden, name('mlp.gate_proj'));
    const up = isFused
      ? gateUp.map((row) => row.slice(inner))
      : this.#linear(hidden, name('mlp.up_proj'));
    const gated = gate.map((row, i) => row.map((x, j) => silu(x) * (up[i]?.[j] ?? Number.NaN)));
    return this.#linear(gated, name('mlp.down_proj'));
  }

  /** A bias is added where the architecture has one, not wherever the file happens to hold one. */
  #linear(rows: Row[], name: string): Row[] {
    const weight = this.#weight(`${name}.weight`);
    const bias = this.#hasBias(name) ? this.#weight(`${name}.bias`) : undefined;
    return rows.map((row) => matVec(weight, row).map((x, i) => x + (bias?.data[i] ?? 0)));
  }

  #hasBias(name: string): boolean {
    const { model_type, attention_bias, mlp_bias } = this.#config;
    if (model_type === 'qwen2') return /\.[qkv]_proj$/.test(name);
    const isAttention = name.includes('.self_attn.');
    if (model_type === 'qwen3') return isAttention && attention_bias === true;
    if (model_type !== 'llama') return false;
    return isAttention ? attention_bias === true : mlp_bias === true;
  }

  #headNorm(head: Row, name: string): Row {
    return this.#config.model_type === 'qwen3' ? (this.#rmsNorm([head], name)[0] ?? []) : head;
  }

  #rmsNorm(rows: Row[], name: string): Row[] {
    const weight = this.#weight(`${name}.weight`).data;
    const epsilon = number(this.#config.rms_norm_eps);
    return rows.map((row) => {
      const variance = row.reduce((total, x) => total + x * x, 0) / row.length;
      return row.map((x, i) => ((weight[i] ?? Number.NaN) * x) / Math.sqrt(variance + epsilon));
    });
  }

  #slidingWindow(layer: number): number {
    const { model_type, sliding_window, use_sliding_window, layer_types } = this.#config;
    const { max_window_layers } = this.#config;
    const window = sliding_window == null ? Number.POSITIVE_INFINITY : number(sliding_window);
    const types = layer_types as readonly string[] | undefined;
    if (model_type === 'mistral' && types === undefined) return window;
    if (model_type === 'phi3') return window;
    if (model_type === 'llama') return Number.POSITIVE_INFINITY;
    if (model_type !== 'mistral' && use_sliding_window !== true) return Number.POSITIVE_INFINITY;
    const isSliding =
      types === undefined
        ? layer >= number(max_window_layers)
        : types[layer] === 'sliding_attention';
    return isSliding ? window : Number.POSITIVE_INFINITY;
  }

  #rotaryEmbedding(length: number): { cos: Row[]; sin: Row[] } {
    const { inverse, attention } = ropeParameters(this.#config, this.#headDim, length);
    const angles = Array.from({ length }, (_, position) => {
      const freqs = inverse.map((frequency) => frequency * position);
      return [...freqs, ...freqs];
    });
    return {
      cos: angles.map((row) => row.map((angle) => Math.cos(angle) * attention)),
      sin: angles.map((row) => row.map((angle) => Math.sin(angle) * attention)),
    };
  }

  #weight(name: string): NamedTensor {
    const tensor = this.#state.get(name) ?? this.#state.get(name.replace(/^model\./, ''));
    if (tensor === undefined) throw new Error(`no tensor ${name}`);
    return tensor;
  }
}

function ropeParameters(
  config: Json,
  headDim: number,
  length: number,
): { inverse: Row; attention: number } {
  const dict = (config.rope_parameters ?? config.rope_scaling ?? {}) as Json;
  const base = number(dict.rope_theta ?? config.rope_theta ?? 10_000);
  const dim = Math.trunc(
    headDim * number(dict.partial_rotary_factor ?? config.partial_rotary_factor ?? 1),
  );
  const plain = Array.from({ length: dim / 2 }, (_, i) => 1 / base ** ((2 * i) / dim));
  const named = String(dict.rope_type ?? dict.type ?? 'default');
  const type = config.model_type === 'phi3' && /^(su|yarn)$/.test(named) ? 'longrope' : named;
  const original = number(
    config.original_max_position_embeddings ??
      dict.original_max_position_embeddings ??
      config.max_position_embeddings,
  );
  const factor = number(dict.factor ?? number(config.max_position_embeddings) / original);
  if (type === 'linear') return { inverse: plain.map((f) => f / factor), attention: 1 };
  if (type === 'llama3') return { inverse: llama3(plain, dict, original), attention: 1 };
  if (type === 'yarn') return yarn(plain, { dict, original, factor, base, dim });
  if (type !== 'longrope') return { inverse: plain, attention: 1 };
  const factors = (length > original ? dict.long_factor : dict.short_factor) as number[];
  const stretch = factor <= 1 ? 1 : Math.sqrt(1 + Math.log(factor) / Math.log(original));
  return {
    inverse: factors.map((f, i) => 1 / (f * base ** ((2 * i) / dim))),
    attention: number(dict.attention_factor ?? stretch),
  };
}

function llama3(plain: Row, dict: Json, original: number): Row {
  const factor = number(dict.factor);
  const low = number(dict.low_freq_factor);
  const high = number(dict.high_freq_factor);
  return plain.map((frequency) => {
    const wavelength = (2 * Math.PI) / frequency;
    if (wavelength < original / high) return frequency;
    if (wavelength > original / low) return frequency / factor;
    const smooth = (original / wavelength - low) / (high - low);
    return ((1 - smooth) * frequency) / factor + smooth * frequency;
  });
}

function yarn(
  plain: Row,
  use: { dict: Json; original: number; factor: number; base: number; dim: number },
): { inverse: Row; attention: number } {
  const { dict, original, factor, base, dim } = use;
  const correctionDim = (rotations: number) =>
    (dim * Math.log(original / (rotations * 2 * Math.PI))) / (2 * Math.log(base));
  const fast = correctionDim(number(dict.beta_fast ?? 32));
  const slow = correctionDim(number(dict.beta_slow ?? 1));
  const truncate = dict.truncate ?? true;
  const low = Math.max(truncate ? Math.floor(fast) : fast, 0);
  const high = Math.min(truncate ? Math.ceil(slow) : slow, dim - 1);
  const span = low === high ? 0.001 : high - low;
  const inverse = plain.map((frequency, i) => {
    const extrapolation = 1 - Math.min(1, Math.max(0, (i - low) / span));
    return (frequency / factor) * (1 - extrapolation) + frequency * extrapolation;
  });
  const mscale = (scale: number, weight = 1) =>
    scale <= 1 ? 1 : 0.1 * weight * Math.log(scale) + 1;
  const split =
    dict.mscale && dict.mscale_all_dim
      ? mscale(factor, number(dict.mscale)) / mscale(factor, number(dict.mscale_all_dim))
      : mscale(factor);
  return { inverse, attention: number(dict.attention_factor ?? split) };
}

/** Of a head, the first dimensions as many as there are cosines; the others pass. */
function applyRotary(head: Row, cos: Row = [], sin: Row = []): Row {
  const rotated = head.slice(0, cos.length);
  const half = rotated.length / 2;
  const turned = [...rotated.slice(half).map((x) => -x), ...rotated.slice(0, half)];
  const embedded = rotated.map(
    (x, i) => x * (cos[i] ?? Number.NaN) + (turned[i] ?? Number.NaN) * (sin[i] ?? Number.NaN),
  );
  return [...embedded, ...head.slice(cos.length)];
}

function matVec({ shape, data }: NamedTensor, input: Row): Row {
  const [rows = 0, columns = 0] = shape;
  return Array.from({ length: rows }, (_, r) => {
    let total = 0;
    for (let c = 0; c < columns; c++) {
      total += (data[r * columns + c] ?? Number.NaN) * (input[c] ?? Number.NaN);
    }
    return total;
  });
}

function rowOf({ shape, data }: NamedTensor, row: number): Row {
  const columns = shape[1] ?? 0;
  return Array.from(data.subarray(row * columns, (row + 1) * columns));
}

function split(row: Row, size: number): Row[] {
  return Array.from({ length: row.length / size }, (_, i) => row.slice(i * size, (i + 1) * size));
}

function sum(a: Row[], b: Row[]): Row[] {
  return a.map((row, i) => row.map((x, j) => x + (b[i]?.[j] ?? Number.NaN)));
}

function dot(a: Row, b: Row = []): number {
  return a.reduce((total, x, i) => total + x * (b[i] ?? Number.NaN), 0);
}

function softmax(scores: Row): Row {
  const peak = Math.max(...scores);
  const weights = scores.map((score) => Math.exp(score - peak));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.map((weight) => weight / total);
}
