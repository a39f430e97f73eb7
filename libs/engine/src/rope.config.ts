import { z } from 'zod';
import { EngineError } from './engine.error.ts';

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
    };

export interface RopeConfig {
  readonly theta: number;
  readonly scaling: RopeScaling;
}

/** The keys of config.json that describe rotary embeddings, in the older and newer spelling. */
export const ropeKeysSchema = z.object({
  rope_theta: z.number().min(1).max(1e12).nullish(),
  partial_rotary_factor: z.number().nullish(),
  rope_scaling: z.record(z.string(), z.unknown()).nullish(),
  rope_parameters: z.record(z.string(), z.unknown()).nullish(),
});

const factor = z.number().min(1).max(1e6);

const scalingSchema = z.object({
  rope_theta: z.number().min(1).max(1e12).nullish(),
  partial_rotary_factor: z.number().nullish(),
  rope_type: z.string().nullish(),
  type: z.string().nullish(),
  factor: factor.nullish(),
  low_freq_factor: factor.nullish(),
  high_freq_factor: factor.nullish(),
  original_max_position_embeddings: z.int().min(1).nullish(),
});

const DEFAULT_THETA = 10_000;

/**
 * Reads rotary settings: `rope_theta` with `rope_scaling` (transformers 4), or `rope_parameters`
 * (transformers 5). Types `default`, `linear` and `llama3` are supported.
 * @throws EngineError `UnsupportedArchitecture` for another type, `BadConfig` for bad values.
 */
export function parseRope(keys: z.infer<typeof ropeKeysSchema>): RopeConfig {
  const field = keys.rope_parameters == null ? 'rope_scaling' : 'rope_parameters';
  const parsed = scalingSchema.safeParse(keys[field] ?? {});
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    const path = [field, ...(issue?.path ?? [])].join('.');
    throw new EngineError('BadConfig', `config.json: ${path}: ${issue?.message ?? 'invalid'}`);
  }
  const scaling = parsed.data;
  const rotated = scaling.partial_rotary_factor ?? keys.partial_rotary_factor ?? 1;
  if (rotated !== 1) {
    throw new EngineError(
      'UnsupportedArchitecture',
      `config.json: partial_rotary_factor ${rotated} is not supported; only 1 is`,
    );
  }
  const theta = scaling.rope_theta ?? keys.rope_theta ?? DEFAULT_THETA;
  return { theta, scaling: readScaling(scaling, field) };
}

function readScaling(scaling: z.infer<typeof scalingSchema>, field: string): RopeScaling {
  const type = scaling.rope_type ?? scaling.type ?? 'default';
  const required = (name: 'factor' | 'low_freq_factor' | 'high_freq_factor'): number => {
    const value = scaling[name];
    if (value != null) return value;
    throw new EngineError('BadConfig', `config.json: ${field}.${name} is missing for "${type}"`);
  };
  if (type === 'default') return { kind: 'none' };
  if (type === 'linear') return { kind: 'linear', factor: required('factor') };
  if (type === 'llama3') return readLlama3(scaling, field, required);
  throw new EngineError(
    'UnsupportedArchitecture',
    `config.json: ${field} type "${type}" is not supported; default, linear and llama3 are`,
  );
}

function readLlama3(
  scaling: z.infer<typeof scalingSchema>,
  field: string,
  required: (name: 'factor' | 'low_freq_factor' | 'high_freq_factor') => number,
): RopeScaling {
  const lowFrequencyFactor = required('low_freq_factor');
  const highFrequencyFactor = required('high_freq_factor');
  const originalContextLength = scaling.original_max_position_embeddings;
  if (originalContextLength == null || highFrequencyFactor <= lowFrequencyFactor) {
    throw new EngineError(
      'BadConfig',
      `config.json: ${field} of type "llama3" needs original_max_position_embeddings and ` +
        'high_freq_factor above low_freq_factor',
    );
  }
  return {
    kind: 'llama3',
    factor: required('factor'),
    lowFrequencyFactor,
    highFrequencyFactor,
    originalContextLength,
  };
}

/**
 * How exactly rotary frequencies are held. `exact` is the mathematics, in double precision; every
 * Hugging Face checkpoint opened with `from_pretrained` comes within float32 rounding of it.
 * `bf16` rounds them to bfloat16, as happens when a whole PyTorch model, buffers included, is cast
 * with `model.to(torch.bfloat16)`: only to compare with figures that were made that way.
 */
export type RotaryPrecision = 'exact' | 'bf16';

/** Rounds to nearest, ties to even. */
export function roundToBf16(value: number): number {
  const words = new Uint32Array(1);
  const floats = new Float32Array(words.buffer);
  floats[0] = value;
  const bits = words[0] ?? 0;
  words[0] = (bits + 0x7fff + ((bits >>> 16) & 1)) & 0xffff0000;
  return floats[0] ?? value;
}

/**
 * Inverse frequencies in radians per position, headSize / 2 entries: theta^(-2i / headSize), then
 * scaled. The llama3 rule keeps short wavelengths, divides long ones by `factor` and blends
 * between (Llama 3.1's reference code).
 */
export function rotaryFrequencies(
  rope: RopeConfig,
  headSize: number,
  precision: RotaryPrecision = 'exact',
): Float64Array {
  const frequencies = new Float64Array(headSize / 2);
  for (let i = 0; i < frequencies.length; i++) {
    const frequency = scaled(rope.theta ** ((-2 * i) / headSize), rope.scaling);
    frequencies[i] = precision === 'bf16' ? roundToBf16(frequency) : frequency;
  }
  return frequencies;
}

function scaled(frequency: number, scaling: RopeScaling): number {
  if (scaling.kind === 'none') return frequency;
  if (scaling.kind === 'linear') return frequency / scaling.factor;
  const turns = (scaling.originalContextLength * frequency) / (2 * Math.PI);
  if (turns > scaling.highFrequencyFactor) return frequency;
  if (turns < scaling.lowFrequencyFactor) return frequency / scaling.factor;
  const kept =
    (turns - scaling.lowFrequencyFactor) /
    (scaling.highFrequencyFactor - scaling.lowFrequencyFactor);
  return (1 - kept) * (frequency / scaling.factor) + kept * frequency;
}
