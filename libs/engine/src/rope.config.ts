import { z } from 'zod';
import { badConfig, unsupportedConfig } from './config.error.ts';
import type { ModelType } from './model.defaults.ts';

/** How rotary frequencies are scaled for longer contexts. */
export type RopeScaling =
  | { readonly kind: 'none' }
  | { readonly kind: 'linear'; readonly factor: number }
  | {
      readonly kind: 'llama3';
      readonly factor: number;
      readonly lowFrequencyFactor: number;
      readonly highFrequencyFactor: number;
      readonly originalContextLength: number;
    }
  | {
      readonly kind: 'yarn';
      readonly factor: number;
      readonly attentionFactor: number;
      /** Turns within the original context from which on frequencies stay as they are. */
      readonly betaFast: number;
      /** Turns up to which frequencies are divided by `factor`. */
      readonly betaSlow: number;
      /** Whether the bounds between are whole dimensions. */
      readonly truncate: boolean;
      readonly originalContextLength: number;
    }
  | {
      readonly kind: 'longrope';
      /** Divide the frequencies of contexts up to `originalContextLength`, and of longer ones. */
      readonly shortFactors: readonly number[];
      readonly longFactors: readonly number[];
      readonly attentionFactor: number;
      readonly originalContextLength: number;
    };

export interface RopeConfig {
  readonly theta: number;
  /** Dimensions of a head that are rotated, the first ones; even. */
  readonly rotatedSize: number;
  readonly scaling: RopeScaling;
}

/** The keys of config.json that describe rotary embeddings, in the older and newer spelling. */
export const ropeKeysSchema = z.object({
  rope_theta: z.number().min(1).max(1e12).nullish(),
  partial_rotary_factor: z.number().nullish(),
  original_max_position_embeddings: z.int().min(2).nullish(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
});

const FACTORS_MOST = 2048;
const factor = z.number().min(1).max(1e6);
const positive = z.number().gt(0).max(1e6);

const parametersSchema = z.object({
  rope_theta: z.number().min(1).max(1e12).nullish(),
  partial_rotary_factor: z.number().gt(0).max(1).nullish(),
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  factor: factor.nullish(),
  low_freq_factor: factor.nullish(),
  high_freq_factor: factor.nullish(),
  original_max_position_embeddings: z.int().min(2).nullish(),
  attention_factor: positive.nullish(),
  mscale: z.number().nullish(),
  mscale_all_dim: z.number().nullish(),
  beta_fast: positive.nullish(),
  beta_slow: positive.nullish(),
  truncate: z.boolean().nullish(),
  short_factor: z.array(positive).max(FACTORS_MOST).nullish(),
  long_factor: z.array(positive).max(FACTORS_MOST).nullish(),
});

export interface RopeContext {
  readonly modelType: ModelType;
  readonly headSize: number;
  readonly contextLength: number;
}

/**
 * Reads rotary settings: `rope_theta` with `rope_scaling` (transformers 4), or `rope_parameters`
 * (transformers 5), which may be given for each type of layer as long as all are the same. Types
 * `default`, `linear`, `llama3`, `yarn` and `longrope` are as in transformers 5. `dynamic` changes
 * nothing within max_position_embeddings, beyond which no session reaches here.
 * @throws EngineError `UnsupportedArchitecture` for another type, `BadConfig` for bad values.
 */
export function parseRope(keys: z.infer<typeof ropeKeysSchema>, context: RopeContext): RopeConfig {
  const reader = new RopeReader(keys, context);
  return { theta: reader.theta, rotatedSize: reader.rotatedSize(), scaling: reader.scaling() };
}

type Parameters = z.infer<typeof parametersSchema>;

class RopeReader {
  readonly theta: number;
  readonly #context: RopeContext;
  readonly #keys: z.infer<typeof ropeKeysSchema>;
  readonly #field: 'rope_scaling' | 'rope_parameters';
  readonly #parameters: Parameters;

  constructor(keys: z.infer<typeof ropeKeysSchema>, context: RopeContext) {
    this.#keys = keys;
    this.#context = context;
    this.#field = keys.rope_parameters == null ? 'rope_scaling' : 'rope_parameters';
    const parsed = parametersSchema.safeParse(this.#ofAllLayers(keys[this.#field] ?? {}));
    if (!parsed.success) {
      const issue = parsed.error.issues[0];
      const path = [this.#field, ...(issue?.path ?? [])].join('.');
      throw badConfig(`${path}: ${issue?.message ?? 'invalid'}`);
    }
    this.#parameters = parsed.data;
    this.theta = parsed.data.rope_theta ?? keys.rope_theta ?? 10_000;
  }

  rotatedSize(): number {
    const { headSize, modelType } = this.#context;
    const share = this.#parameters.partial_rotary_factor ?? this.#keys.partial_rotary_factor ?? 1;
    if (share === 1) return headSize;
    if (modelType !== 'phi3') {
      throw unsupportedConfig(`partial_rotary_factor ${share} is supported for phi3 only`);
    }
    const size = Math.floor(headSize * share);
    if (size >= 2 && size <= headSize && size % 2 === 0) return size;
    throw badConfig(`partial_rotary_factor ${share} gives ${size} of ${headSize} dimensions`);
  }

  scaling(): RopeScaling {
    const { rope_type, type } = this.#parameters;
    const named = rope_type ?? type ?? 'default';
    // Phi-3's older configurations call long-rope by other names.
    const isLong =
      named === 'longrope' ||
      (this.#context.modelType === 'phi3' && (named === 'su' || named === 'yarn'));
    if (isLong) return this.#longrope();
    if (named === 'default' || named === 'dynamic') return { kind: 'none' };
    if (named === 'linear') return { kind: 'linear', factor: this.#required('factor') };
    if (named === 'llama3') return this.#llama3();
    if (named === 'yarn') return this.#yarn();
    throw unsupportedConfig(
      `${this.#field} type "${named}" is not supported; ` +
        'default, linear, dynamic, llama3, yarn and longrope are',
    );
  }

  #llama3(): RopeScaling {
    const lowFrequencyFactor = this.#required('low_freq_factor');
    const highFrequencyFactor = this.#required('high_freq_factor');
    if (highFrequencyFactor <= lowFrequencyFactor) {
      throw badConfig(`${this.#field}.high_freq_factor must be above low_freq_factor`);
    }
    return {
      kind: 'llama3',
      factor: this.#required('factor'),
      lowFrequencyFactor,
      highFrequencyFactor,
      originalContextLength: this.#originalContextLength(),
    };
  }

  #yarn(): RopeScaling {
    const p = this.#parameters;
    const originalContextLength = this.#originalContextLength();
    const implied = this.#context.contextLength / originalContextLength;
    const factor = p.factor ?? (implied > 1 ? implied : this.#required('factor'));
    // YaRN (arXiv 2309.00071), section 3.4; DeepSeek's configurations split it in two.
    const scale = (weight: number) => (factor <= 1 ? 1 : 0.1 * weight * Math.log(factor) + 1);
    const split = p.mscale && p.mscale_all_dim ? scale(p.mscale) / scale(p.mscale_all_dim) : null;
    if (this.theta === 1) throw badConfig('rope_theta must be above 1 for "yarn"');
    return {
      kind: 'yarn',
      factor,
      attentionFactor: p.attention_factor ?? split ?? scale(1),
      betaFast: p.beta_fast ?? 32,
      betaSlow: p.beta_slow ?? 1,
      truncate: p.truncate ?? true,
      originalContextLength,
    };
  }

  #longrope(): RopeScaling {
    const p = this.#parameters;
    const originalContextLength = this.#originalContextLength();
    const factor = p.factor ?? this.#context.contextLength / originalContextLength;
    const stretch = Math.sqrt(1 + Math.log(factor) / Math.log(originalContextLength));
    return {
      kind: 'longrope',
      shortFactors: this.#factors('short_factor'),
      longFactors: this.#factors('long_factor'),
      attentionFactor: p.attention_factor ?? (factor <= 1 ? 1 : stretch),
      originalContextLength,
    };
  }

  /** The one outside goes first, which Phi-3 always has. */
  #originalContextLength(): number {
    return (
      this.#keys.original_max_position_embeddings ??
      this.#parameters.original_max_position_embeddings ??
      this.#context.contextLength
    );
  }

  #factors(name: 'short_factor' | 'long_factor'): readonly number[] {
    const factors = this.#parameters[name] ?? [];
    const pairs = this.rotatedSize() / 2;
    if (factors.length === pairs) return factors;
    throw badConfig(
      `${this.#field}.${name} has ${factors.length} factors; ${pairs} are needed, one for each ` +
        'pair of rotated dimensions',
    );
  }

  #required(name: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number {
    const value = this.#parameters[name];
    if (value != null) return value;
    throw badConfig(`${this.#field}.${name} is missing`);
  }

  /** Parameters given for each type of layer, as those of all of them. */
  #ofAllLayers(parameters: Record<string, unknown>): unknown {
    const types = Object.keys(parameters).filter((key) => key.endsWith('_attention'));
    const [first] = types;
    if (first === undefined) return parameters;
    const texts = types.map((type) => JSON.stringify(parameters[type]));
    if (types.length === Object.keys(parameters).length && texts.every((t) => t === texts[0])) {
      return parameters[first];
    }
    throw unsupportedConfig(`${this.#field} differs between types of layers`);
  }
}
