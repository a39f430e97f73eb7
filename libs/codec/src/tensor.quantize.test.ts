import { type FloatType, ISA_NAMES, native } from '@entrofleet/native';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { entropyBits } from './statistics.ts';
import { measureRates, quantizeTensor } from './tensor.quantize.ts';

const bytesOf = (array: Float32Array) => new Uint8Array(array.buffer.slice(0));

/** IEEE round to nearest, ties to even. */
function roundToEven(x: number): number {
  const floor = Math.floor(x);
  const rest = x - floor;
  if (rest !== 0.5) return Math.round(x);
  return floor % 2 === 0 ? floor : floor + 1;
}

/** EntroLLM's formula in plain TypeScript, one weight at a time. */
function referenceAffine(weights: Float32Array, bits: 8 | 4) {
  const top = 2 ** bits - 1;
  const low = Math.min(...weights);
  const high = Math.max(...weights);
  const signed = low < 0 && high > 0;
  const span = signed ? high - low : low >= 0 ? high : low;
  // A step that underflows becomes the smallest float, so that nothing is divided by zero.
  const smallest = Math.sign(span) * 2 ** -149;
  const step = span === 0 ? 1 : Math.fround(span / top) || smallest;
  const zeroPoint = signed ? Math.min(top, roundToEven(-low / step)) : 0;
  const levels = Array.from(weights, (w) =>
    Math.min(top, Math.max(0, roundToEven(Math.fround(w / step)) + zeroPoint)),
  );
  return { step, zeroPoint, levels };
}

const weightsArbitrary = fc
  .tuple(
    fc.array(fc.float({ noNaN: true, min: -8, max: 8 }), { minLength: 1, maxLength: 300 }),
    fc.constantFrom('mixed', 'positive', 'negative', 'halves'),
  )
  .map(([values, kind]) => {
    if (kind === 'positive') return Float32Array.from(values, Math.abs);
    if (kind === 'negative') return Float32Array.from(values, (v) => -Math.abs(v));
    if (kind === 'halves') return Float32Array.from(values, (v) => Math.round(v * 2) / 2);
    return Float32Array.from(values);
  });

describe("the paper's quantization", () => {
  it('equals the formula, level by level', async () => {
    await fc.assert(
      fc.asyncProperty(weightsArbitrary, fc.constantFrom(8, 4), async (weights, bits) => {
        const matrix = { weights: bytesOf(weights), rows: 1, columns: weights.length };
        const quantized = await quantizeTensor(
          { ...matrix, type: 'f32' },
          { kind: 'affine', bits },
          { threads: 2 },
        );
        const reference = referenceAffine(weights, bits);
        expect(quantized.steps[0]).toBe(reference.step);
        expect(quantized.zeroPoint).toBe(reference.zeroPoint);
        expect(levelsOf(quantized.symbols, bits, weights.length)).toEqual(reference.levels);
      }),
      { numRuns: 300 },
    );
  });

  it.each([
    ['zeros', [0, 0, 0]],
    ['one constant', [0.25, 0.25]],
    ['a negative constant', [-3, -3]],
    ['the smallest numbers', [1e-45, -1e-45]],
    ['the largest numbers', [3e38, -3e38, 1]],
  ])('keeps %s finite', async (_, values) => {
    const weights = Float32Array.from(values);
    for (const grid of [
      { kind: 'affine', bits: 8 },
      { kind: 'rows', blocks: [{ rows: 1, stepFactor: 0.2, sharedRms: 0 }], statistics: null },
    ] as const) {
      const quantized = await quantizeTensor(
        { weights: bytesOf(weights), type: 'f32', rows: 1, columns: values.length },
        grid,
        { threads: 1 },
      );
      const step = quantized.steps[0] ?? 0;
      expect(Number.isFinite(step) && step !== 0).toBe(true);
      quantized.symbols.forEach((symbol, i) => {
        const weight = step * (symbol - quantized.zeroPoint);
        expect(Math.abs(weight - (weights[i] ?? 0))).toBeLessThanOrEqual(Math.abs(step));
      });
    }
  });
});

function levelsOf(symbols: Uint8Array, bits: 8 | 4, count: number): number[] {
  if (bits === 8) return Array.from(symbols);
  return Array.from(symbols)
    .flatMap((pair) => [pair & 15, pair >> 4])
    .slice(0, count);
}

/** Deterministic, roughly normal. */
function normalWeights(count: number): Float32Array {
  let state = 1;
  const uniform = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Float32Array.from({ length: count }, () => {
    return 0.02 * (uniform() + uniform() + uniform() + uniform() - 2);
  });
}

describe('the per-row grid', () => {
  const matrix = { rows: 40, columns: 500, type: 'f32' as FloatType };
  const weights = bytesOf(normalWeights(20_000));

  it('is the same for any number of threads and uses bf16 steps', async () => {
    const blocks = [{ rows: 40, stepFactor: 0.3, sharedRms: 0 }];
    const grid = { kind: 'rows', blocks, statistics: null } as const;
    const one = await quantizeTensor({ ...matrix, weights }, grid, { threads: 1 });
    const three = await quantizeTensor({ ...matrix, weights }, grid, { threads: 3 });
    expect(three).toEqual(one);
    expect(one.steps.length).toBe(40);
    const bits = new Uint32Array(one.steps.buffer, one.steps.byteOffset, one.steps.length);
    expect(bits.every((b) => (b & 0xffff) === 0)).toBe(true);
    expect(one.entropyBitsPerWeight).toBeCloseTo(entropyBits(one.histogram), 9);
  });

  it('costs and loses what was measured', async () => {
    const options = { stepFactors: [0.2, 0.4], shared: true, threads: 2 };
    const rates = await measureRates({ ...matrix, weights }, options);
    const blocks = [{ rows: 40, stepFactor: 0.4, sharedRms: rates.rms }];
    const grid = { kind: 'rows', blocks, statistics: null } as const;
    const quantized = await quantizeTensor({ ...matrix, weights }, grid, { threads: 2 });
    expect(rates.bits[1]).toBeCloseTo(quantized.entropyBitsPerWeight, 12);
    expect(rates.noise[1]).toBe(quantized.noisePower / quantized.signalPower);
    // A step of 0.4 leaves 0.4^2 / 12, of half that a quarter, and one bit more.
    expect(rates.noise[1]).toBeCloseTo(0.0133, 3);
    expect((rates.bits[0] ?? 0) - (rates.bits[1] ?? 0)).toBeCloseTo(1, 1);
  });

  it('has no noise in zeros', async () => {
    const zeros = { ...matrix, weights: new Uint8Array(80_000) };
    const options = { stepFactors: [1], shared: false, threads: 1 };
    expect(await measureRates(zeros, options)).toMatchObject({ bits: [0], noise: [0], rms: 0 });
  });
});

describe('a calibrated grid', () => {
  const matrix = {
    weights: bytesOf(normalWeights(30)),
    type: 'f32',
    rows: 10,
    columns: 3,
  } as const;
  const blocks = [{ rows: 10, stepFactor: 0.5, sharedRms: 0 }];
  const grid = { kind: 'rows', blocks, statistics: { factor: 'f', spreads: 's' } } as const;

  it('is not quantized without its statistics', async () => {
    const call = quantizeTensor(matrix, grid, { threads: 1 });
    await expect(call).rejects.toThrow(/statistics/);
  });

  it('gives rows steps in proportion to their spreads', async () => {
    const spreads = Float32Array.from({ length: 10 }, (_, i) => 0.005 * (1 + (i % 2)));
    const statistics = { factor: null, spreads };
    const { steps } = await quantizeTensor(matrix, grid, { threads: 1, statistics });
    for (let i = 0; i + 1 < 10; i += 2) {
      expect((steps[i + 1] ?? 0) / (steps[i] ?? 1)).toBeGreaterThan(1.5);
    }
  });

  it('feeds errors on where it has a factor', async () => {
    const order = Uint32Array.of(0, 1, 2);
    const pivots = Float64Array.of(0.1, 0.1, 1);
    // Three inputs that always agree: the last column makes up for the others.
    const factor = { order, pivots, feedback: Float32Array.of(1, 1, 1) };
    const statistics = { factor, spreads: null };
    const fed = await quantizeTensor(matrix, grid, { threads: 2, statistics });
    const plain = await quantizeTensor(matrix, { ...grid, statistics: null }, { threads: 2 });
    expect(fed.symbols).not.toEqual(plain.symbols);
    expect(fed.noisePower).toBeGreaterThan(plain.noisePower);
  });
});

describe('bad weights', () => {
  it.each(['f32', 'f16', 'bf16'] as const)('are named: NaN in %s', async (type) => {
    const nan = { f32: [0, 0, 192, 127], f16: [0, 126], bf16: [192, 127] }[type];
    const zero = new Array<number>(nan.length).fill(0);
    const weights = Uint8Array.from([...zero, ...zero, ...nan]);
    const call = native.quantizeAffine({ weights, type, bits: 8, threads: 1 });
    await expect(call).rejects.toMatchObject({ code: 'NonFiniteWeight', message: /weight 2/ });
    const blocks = [{ rows: 3, stepFactor: 1, sharedRms: 0 }];
    const rows = native.quantizeRows({
      ...{ weights, type, rows: 3, columns: 1, blocks, threads: 2 },
    });
    await expect(rows).rejects.toMatchObject({ code: 'NonFiniteWeight' });
  });

  it('are refused when the bytes do not fit the shape', async () => {
    const weights = new Uint8Array(12);
    const call = native.quantizeRows({
      ...{ weights, type: 'f32', rows: 2, columns: 2, blocks: [], threads: 1 },
    });
    await expect(call).rejects.toMatchObject({ code: 'BadArgument' });
  });
});

describe('float conversion', () => {
  const original = native.cpu().isa;
  const found = ISA_NAMES.filter((isa) => native.forceIsa(isa));
  native.forceIsa(original);
  afterEach(() => {
    native.forceIsa(original);
  });

  it.each(found)('is exact for every f16 and bf16 number on %s', async (isa) => {
    native.forceIsa(isa);
    const all = Uint16Array.from({ length: 65_536 }, (_, i) => i);
    const finiteHalf = all.filter((b) => (b & 0x7c00) !== 0x7c00);
    const halves = await native.toFloat32({
      ...{ weights: new Uint8Array(finiteHalf.buffer), type: 'f16', threads: 2 },
    });
    expect(halves).toEqual(Float32Array.from(finiteHalf, halfValue));
    const finiteBfloat = all.filter((b) => (b & 0x7f80) !== 0x7f80);
    const words = Uint32Array.from(finiteBfloat, (b) => b * 65_536);
    const bfloats = await native.toFloat32({
      ...{ weights: new Uint8Array(finiteBfloat.buffer), type: 'bf16', threads: 1 },
    });
    expect(bfloats).toEqual(new Float32Array(words.buffer));
  });
});

function halfValue(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1;
  const exponent = (bits >> 10) & 31;
  const fraction = bits & 1023;
  return exponent === 0
    ? sign * fraction * 2 ** -24
    : sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
