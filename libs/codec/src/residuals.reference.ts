import { CodecError } from './codec.error.ts';

const RATIO_BITS = 16;
const PROBABILITY_BITS = 22;
const SEEN_MAX = 255;
const RANGE_MIN = 2 ** 24;
const OFFSETS = 16;
const MAGNITUDES = 8;
const UNARY = 16;
const ESCAPE_BITS = 8;
const NEIGHBOUR_MAX = 15;

/** Arguments of native.decodeResiduals, in its words. */
export interface ResidualBlock {
  readonly base: Uint8Array;
  readonly bits: 8 | 4;
  readonly baseZeroPoint: number;
  readonly targetZeroPoint: number;
  readonly columns: number;
  readonly firstColumn: number;
  readonly weights: number;
  readonly ratios: Int32Array;
  readonly coded: Uint8Array;
}

/**
 * Decodes residuals weight by weight, as libs/artifact/DELTA.md describes them. Slow and plain: the
 * yardstick for the native decoder.
 * @returns the symbols of the target.
 * @throws CodecError `CorruptSegment`
 */
export function referenceDecodeResiduals(block: ResidualBlock): Uint8Array {
  const { base, bits, columns, weights, ratios } = block;
  const decoder = new RangeDecoder(block.coded);
  const target = new Uint8Array(bits === 8 ? weights : Math.ceil(weights / 2));
  const residuals: number[] = [];
  for (let i = 0; i < weights; i++) {
    const column = (block.firstColumn + i) % columns;
    const row = Math.floor((block.firstColumn + i) / columns);
    const ratio = ratios[ratios.length === 1 ? 0 : row] ?? 0;
    const place = (levelAt(base, bits, i) - block.baseZeroPoint) * ratio;
    const steps = Math.floor((place + 2 ** (RATIO_BITS - 1)) / 2 ** RATIO_BITS);
    const rest = place - steps * 2 ** RATIO_BITS;
    const most = 2 ** bits - 1;
    const predicted = Math.max(0, Math.min(most, block.targetZeroPoint + steps));
    const left = column === 0 ? 0 : (residuals[i - 1] ?? 0);
    const above = residuals[i - columns] ?? 0;
    const context = {
      offset: Math.min(Math.floor(Math.abs(rest) / 2 ** (RATIO_BITS - 5)), OFFSETS - 1),
      magnitude: Math.min(bitLength(Math.abs(steps)), MAGNITUDES - 1),
      activity: activityOf(Math.min(left, NEIGHBOUR_MAX) + Math.min(above, NEIGHBOUR_MAX)),
    };
    const residual = decodeResidual(decoder, context) * (rest < 0 ? -1 : 1);
    const level = predicted + residual;
    if (level < 0 || level > most) throw corrupt();
    residuals.push(Math.abs(residual));
    const symbol = bits === 8 ? i : i >> 1;
    target[symbol] = (target[symbol] ?? 0) | (bits === 4 && i % 2 === 1 ? level << 4 : level);
  }
  if (!decoder.endedWell) throw corrupt();
  return target;
}

interface Context {
  readonly offset: number;
  readonly magnitude: number;
  readonly activity: number;
}

function decodeResidual(decoder: RangeDecoder, context: Context): number {
  const { offset, magnitude, activity } = context;
  if (!decoder.bit(`differs ${offset} ${magnitude} ${activity}`)) return 0;
  const sign = decoder.bit(`away ${offset} ${activity}`) ? -1 : 1;
  let rest = 0;
  while (rest < UNARY && decoder.bit(`longer ${activity} ${rest}`)) rest++;
  if (rest === UNARY) {
    let node = 1;
    for (let i = 0; i < ESCAPE_BITS; i++) node = 2 * node + (decoder.bit(`escape ${node}`) ? 1 : 0);
    rest += node - 2 ** ESCAPE_BITS;
  }
  return sign * (1 + rest);
}

const levelAt = (symbols: Uint8Array, bits: 8 | 4, i: number) =>
  bits === 8 ? (symbols[i] ?? 0) : ((symbols[i >> 1] ?? 0) >> (4 * (i % 2))) & 15;

const bitLength = (value: number) => (value === 0 ? 0 : Math.floor(Math.log2(value)) + 1);

function activityOf(sum: number): number {
  if (sum < 3) return sum;
  if (sum < 5) return 3;
  return sum < 9 ? 4 : 5;
}

const corrupt = () =>
  new CodecError('CorruptSegment', 'the residuals are not what an encoder wrote');

class RangeDecoder {
  readonly #bytes: Uint8Array;
  readonly #states = new Map<string, { probability: number; seen: number }>();
  #read = 0;
  #value = 0;
  #range = 2 ** 32 - 1;

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
    for (let i = 0; i < 4; i++) this.#value = this.#value * 256 + this.#next();
  }

  get endedWell(): boolean {
    return this.#read >= this.#bytes.length && this.#bytes.at(-1) !== 0;
  }

  bit(name: string): boolean {
    const state = this.#states.get(name) ?? { probability: 2 ** (PROBABILITY_BITS - 1), seen: 0 };
    this.#states.set(name, state);
    const zero = Math.max(1, Math.floor(state.probability / 2 ** (PROBABILITY_BITS - 16)));
    const bound = Math.floor(this.#range / 2 ** 16) * zero;
    const bit = this.#value >= bound;
    this.#value -= bit ? bound : 0;
    this.#range = bit ? this.#range - bound : bound;
    const share = Math.floor(2 ** 17 / (2 * state.seen + 3));
    const distance = (bit ? 0 : 2 ** PROBABILITY_BITS - 1) - state.probability;
    state.probability += Math.floor((distance * share) / 2 ** 16);
    state.seen = Math.min(state.seen + 1, SEEN_MAX);
    while (this.#range < RANGE_MIN) {
      this.#range *= 256;
      // Modulo 2^32: bytes that no encoder wrote may begin above the range.
      this.#value = (this.#value * 256 + this.#next()) % 2 ** 32;
    }
    return bit;
  }

  #next(): number {
    return this.#bytes[this.#read++] ?? 0;
  }
}
