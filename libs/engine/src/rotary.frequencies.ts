import type { RopeConfig, RopeScaling } from './rope.config.ts';

/**
 * How exactly rotary frequencies are held. `exact` is the mathematics, in double precision; every
 * Hugging Face checkpoint opened with `from_pretrained` comes within float32 rounding of it.
 * `bf16` rounds them to bfloat16, as happens when a whole PyTorch model, buffers included, is cast
 * with `model.to(torch.bfloat16)`: only to compare with figures that were made that way. Even then
 * the frequencies of long-rope's long contexts are exact, which are computed when they are needed.
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
 * Inverse frequencies in radians per position, one for each pair of rotated dimensions:
 * theta^(-2i / rotatedSize), then scaled.
 * @param options.context which of long-rope's two sets; `short` unless told.
 */
export function rotaryFrequencies(
  rope: RopeConfig,
  options: { precision?: RotaryPrecision | undefined; context?: 'short' | 'long' } = {},
): Float64Array {
  const { rotatedSize, theta } = rope;
  const isRounded = options.precision === 'bf16' && options.context !== 'long';
  return Float64Array.from({ length: rotatedSize / 2 }, (_, pair) => {
    const plain = theta ** ((-2 * pair) / rotatedSize);
    const frequency = plain * kept(rope, { pair, plain, context: options.context ?? 'short' });
    return isRounded ? roundToBf16(frequency) : frequency;
  });
}

/** What cosines and sines are multiplied with. */
export function rotaryScale({ scaling }: RopeConfig): number {
  return scaling.kind === 'yarn' || scaling.kind === 'longrope' ? scaling.attentionFactor : 1;
}

/** The part of a plain frequency that its scaling keeps. */
function kept(
  { scaling, theta, rotatedSize }: RopeConfig,
  at: { pair: number; plain: number; context: 'short' | 'long' },
): number {
  switch (scaling.kind) {
    case 'none':
      return 1;
    case 'linear':
      return 1 / scaling.factor;
    case 'llama3':
      return blend(scaling.factor, llama3Share(scaling, at.plain));
    case 'yarn':
      return blend(scaling.factor, yarnShare(scaling, { pair: at.pair, theta, rotatedSize }));
    case 'longrope': {
      const factors = at.context === 'short' ? scaling.shortFactors : scaling.longFactors;
      return 1 / (factors[at.pair] ?? 1);
    }
  }
}

/** `share` of it as it is, the rest divided by `factor`. */
function blend(factor: number, share: number): number {
  return share + (1 - share) / factor;
}

type Llama3 = Extract<RopeScaling, { kind: 'llama3' }>;
type Yarn = Extract<RopeScaling, { kind: 'yarn' }>;

/** Short wavelengths stay, long ones are divided (Llama 3.1's reference code). */
function llama3Share(scaling: Llama3, frequency: number): number {
  const turns = (scaling.originalContextLength * frequency) / (2 * Math.PI);
  const { lowFrequencyFactor: low, highFrequencyFactor: high } = scaling;
  return clamp((turns - low) / (high - low));
}

/** YaRN (arXiv 2309.00071), section 3.2, by dimension as transformers does it. */
function yarnShare(
  scaling: Yarn,
  at: { pair: number; theta: number; rotatedSize: number },
): number {
  const dimensionOf = (turns: number) =>
    (at.rotatedSize * Math.log(scaling.originalContextLength / (turns * 2 * Math.PI))) /
    (2 * Math.log(at.theta));
  const fast = dimensionOf(scaling.betaFast);
  const slow = dimensionOf(scaling.betaSlow);
  const low = Math.max(0, scaling.truncate ? Math.floor(fast) : fast);
  const high = Math.min(at.rotatedSize - 1, scaling.truncate ? Math.ceil(slow) : slow);
  // The width transformers gives to a ramp that has none.
  const width = low === high ? 0.001 : high - low;
  return 1 - clamp((at.pair - low) / width);
}

function clamp(value: number): number {
  return Math.min(1, Math.max(0, value));
}
