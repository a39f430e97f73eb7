/**
 * Block formats of llama.cpp, rounded as its reference quantizers do (ggml-quants.c:
 * quantize_row_q4_0_ref, quantize_row_q5_0_ref, quantize_row_q8_0_ref, quantize_row_q4_K_ref, quantize_row_q6_K_ref without
 * an importance matrix), for comparison only: weights to the weights that would be read back.
 */
export interface BlockFormat {
  readonly bitsPerWeight: number;
  readonly blockWeights: number;
  /** Replaces the block's weights by what the format keeps of them. */
  readonly round: (block: Float32Array) => void;
}

/** To the nearest float16, as scales are stored; none here is large enough to overflow. */
function half(value: number): number {
  const exponent = Math.max(-14, Math.floor(Math.log2(Math.abs(value) || 1)));
  const unit = 2 ** (exponent - 10);
  return nearest(value / unit) * unit;
}

const at = (values: Float32Array | readonly number[], i: number): number => values[i] ?? 0;

/** Ties to even, as nearest_int's magic number rounds. */
function nearest(value: number): number {
  const rounded = Math.round(value);
  return Math.abs(value % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

const clamp = (value: number, low: number, high: number) => Math.min(high, Math.max(low, value));

/** The value of largest magnitude, with its sign. */
function extreme(values: Float32Array): number {
  return values.reduce((most, value) => (Math.abs(value) > Math.abs(most) ? value : most), 0);
}

/** 32 weights: a float16 scale and a nibble each. */
export const Q4_0: BlockFormat = {
  bitsPerWeight: 4.5,
  blockWeights: 32,
  round(block) {
    const scale = Math.fround(extreme(block) / -8);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const stored = half(scale);
    for (const [i, weight] of block.entries()) {
      const level = Math.min(15, Math.trunc(Math.fround(Math.fround(weight * inverse) + 8.5)));
      block[i] = stored * (level - 8);
    }
  },
};

/** 32 weights: a float16 scale and 5 bits each. */
export const Q5_0: BlockFormat = {
  bitsPerWeight: 5.5,
  blockWeights: 32,
  round(block) {
    const scale = Math.fround(extreme(block) / -16);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const stored = half(scale);
    for (const [i, weight] of block.entries()) {
      const level = Math.min(31, Math.trunc(Math.fround(Math.fround(weight * inverse) + 16.5)));
      block[i] = stored * (level - 16);
    }
  },
};

/** 32 weights: a float16 scale and a byte each. */
export const Q8_0: BlockFormat = {
  bitsPerWeight: 8.5,
  blockWeights: 32,
  round(block) {
    const scale = Math.fround(Math.abs(extreme(block)) / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    const stored = half(scale);
    for (const [i, weight] of block.entries()) {
      const level = Math.fround(weight * inverse);
      // roundf: halves away from zero.
      block[i] = stored * Math.sign(level) * Math.round(Math.abs(level));
    }
  },
};

/** ggml's make_qkx2_quants with the parameters of Q4_K: scale and offset by a small search. */
function scaleAndOffset(values: Float32Array): { scale: number; offset: number } {
  const top = 15;
  let sumSquares = 0;
  for (const value of values) sumSquares += value * value;
  const average = Math.sqrt(sumSquares / values.length);
  const weights = Array.from(values, (value) => average + Math.abs(value));
  let sumW = 0;
  let sumX = 0;
  for (const [i, value] of values.entries()) {
    sumW += at(weights, i);
    sumX += at(weights, i) * value;
  }
  const low = Math.min(0, ...values);
  const high = Math.max(...values);
  if (high === low) return { scale: 0, offset: -low };
  const errorOf = (scale: number, least: number, levels: readonly number[]) => {
    let error = 0;
    for (const [i, value] of values.entries()) {
      const miss = scale * at(levels, i) + least - value;
      error += at(weights, i) * miss * miss;
    }
    return error;
  };
  const levelsOf = (inverse: number) =>
    Array.from(values, (value) => clamp(nearest(inverse * (value - low)), 0, top));
  let scale = (high - low) / top;
  let least = low;
  let best = errorOf(scale, least, levelsOf(1 / scale));
  for (let step = 0; step <= 20; step++) {
    const levels = levelsOf((-1 + 0.1 * step + top) / (high - low));
    let sumL = 0;
    let sumL2 = 0;
    let sumXl = 0;
    for (const [i, level] of levels.entries()) {
      const weight = at(weights, i);
      sumL += weight * level;
      sumL2 += weight * level * level;
      sumXl += weight * level * at(values, i);
    }
    const determinant = sumW * sumL2 - sumL * sumL;
    if (determinant <= 0) continue;
    let candidate = (sumW * sumXl - sumX * sumL) / determinant;
    let offset = (sumL2 * sumX - sumL * sumXl) / determinant;
    if (offset > 0) {
      offset = 0;
      candidate = sumXl / sumL2;
    }
    const error = errorOf(candidate, offset, levels);
    if (error < best) [best, scale, least] = [error, candidate, offset];
  }
  return { scale, offset: -least };
}

/** 256 weights in 8 parts: 6-bit scale and offset of each, over two float16; nibbles. */
export const Q4_K: BlockFormat = {
  bitsPerWeight: 4.5,
  blockWeights: 256,
  round(block) {
    const parts = Array.from({ length: 8 }, (_, p) => block.subarray(32 * p, 32 * p + 32));
    const found = parts.map(scaleAndOffset);
    const mostScale = Math.max(0, ...found.map(({ scale }) => scale));
    const mostOffset = Math.max(0, ...found.map(({ offset }) => offset));
    const stored = (value: number, most: number) =>
      most > 0 ? Math.min(63, nearest((63 / most) * value)) * half(most / 63) : 0;
    for (const [p, part] of parts.entries()) {
      const scale = stored(found[p]?.scale ?? 0, mostScale);
      const offset = stored(found[p]?.offset ?? 0, mostOffset);
      for (const [i, weight] of part.entries()) {
        const level = scale === 0 ? 0 : clamp(nearest((weight + offset) / scale), 0, 15);
        part[i] = scale * level - offset;
      }
    }
  },
};

/** ggml's make_qx_quants with rmse_type 1 and 64 levels. */
function signedScale(values: Float32Array): number {
  const most = extreme(values);
  if (Math.abs(most) < 1e-15) return 0;
  const fittedTo = (inverse: number) => {
    let products = 0;
    let squares = 0;
    for (const value of values) {
      const level = clamp(nearest(inverse * value), -32, 31);
      const weight = value * value;
      products += weight * value * level;
      squares += weight * level * level;
    }
    return { products, squares };
  };
  const first = fittedTo(-32 / most);
  let scale = first.squares === 0 ? 0 : first.products / first.squares;
  let best = scale * first.products;
  for (let step = -9; step <= 9; step++) {
    if (step === 0) continue;
    const { products, squares } = fittedTo(-(32 + 0.1 * step) / most);
    if (squares > 0 && products * products > best * squares) {
      scale = products / squares;
      best = scale * products;
    }
  }
  return scale;
}

/** 256 weights in 16 parts: an 8-bit scale of each over one float16; 6 bits a weight. */
export const Q6_K: BlockFormat = {
  bitsPerWeight: 6.5625,
  blockWeights: 256,
  round(block) {
    const parts = Array.from({ length: 16 }, (_, p) => block.subarray(16 * p, 16 * p + 16));
    const scales = parts.map(signedScale);
    const most = extreme(Float32Array.from(scales));
    const stored = Math.abs(most) < 1e-15 ? 0 : half(-most / 128);
    for (const [p, part] of parts.entries()) {
      const whole = stored === 0 ? 0 : Math.min(127, nearest((-128 / most) * at(scales, p)));
      const scale = stored * whole;
      for (const [i, weight] of part.entries()) {
        part[i] = scale === 0 ? 0 : scale * clamp(nearest(weight / scale), -32, 31);
      }
    }
  },
};
