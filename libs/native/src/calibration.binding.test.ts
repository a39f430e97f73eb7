import { afterEach, describe, expect, it } from 'vitest';
import { ISA_NAMES, native } from './index.ts';

const original = native.cpu().isa;
const found = ISA_NAMES.filter((isa) => native.forceIsa(isa));

afterEach(() => {
  native.forceIsa(original);
});

function sample(count: number, seed = 1): Float32Array {
  let state = seed;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

const at = (array: ArrayLike<number>, i: number) => array[i] ?? Number.NaN;

/** Runs on every instruction set and several numbers of threads; all must agree bit by bit. */
async function everywhere<T>(run: (threads: number) => Promise<T>): Promise<T> {
  let first: T | undefined;
  for (const isa of found) {
    native.forceIsa(isa);
    for (const threads of [1, 3]) {
      const result = await run(threads);
      first ??= result;
      expect(result).toEqual(first);
    }
  }
  if (first === undefined) throw new Error('no instruction set');
  return first;
}

describe('the parts of the forward pass', () => {
  it('multiplies', async () => {
    const [tokens, columns, rows] = [37, 19, 23];
    const inputs = sample(tokens * columns);
    const weights = sample(rows * columns, 2);
    const bias = sample(rows, 3);
    const result = await everywhere((threads) =>
      native.linear({ inputs, columns, weights, rows, bias, threads }),
    );
    let power = 0;
    for (let t = 0; t < tokens; t++) {
      for (let r = 0; r < rows; r++) {
        let sum = 0;
        for (let c = 0; c < columns; c++) {
          sum += at(inputs, t * columns + c) * at(weights, r * columns + c);
        }
        power += sum ** 2;
        expect(at(result.outputs, t * rows + r)).toBeCloseTo(sum + at(bias, r), 5);
      }
    }
    expect(result.power / power).toBeCloseTo(1, 5);
  });

  it('attends causally, in a window, with shared keys and rotated heads', async () => {
    const [heads, keyValueHeads, headSize, slidingWindow] = [4, 2, 6, 5];
    const lengths = Uint32Array.of(9, 71);
    const tokens = 80;
    const queries = sample(tokens * heads * headSize);
    const keys = sample(tokens * keyValueHeads * headSize, 2);
    const values = sample(tokens * keyValueHeads * headSize, 3);
    const rotaryFrequencies = Float64Array.of(1, 0.1, 0.01);
    const shape = { heads, keyValueHeads, headSize, lengths, rotaryFrequencies, slidingWindow };
    const outputs = await everywhere((threads) =>
      native.attendSequences({ queries, keys, values, ...shape, threads }),
    );
    const rotated = (from: Float32Array, start: number, position: number) =>
      Array.from({ length: headSize }, (_, d) => {
        const angle = position * at(rotaryFrequencies, d % 3);
        const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
        const other = at(from, start + ((d + 3) % 6));
        return at(from, start + d) * cos + (d < 3 ? -other : other) * sin;
      });
    // Token 60 of the second sequence, head 3, whose keys are those of head 1.
    const position = 60;
    const query = rotated(queries, (9 + position) * 24 + 3 * 6, position);
    const visible = [56, 57, 58, 59, 60];
    const scores = visible.map((p) => {
      const key = rotated(keys, (9 + p) * 12 + 6, p);
      return Math.exp(key.reduce((sum, k, d) => sum + k * at(query, d), 0) / Math.sqrt(headSize));
    });
    const total = scores.reduce((sum, score) => sum + score);
    for (let d = 0; d < headSize; d++) {
      const expected = visible.reduce(
        (sum, p, i) => sum + (at(scores, i) / total) * at(values, (9 + p) * 12 + 6 + d),
        0,
      );
      expect(at(outputs, (9 + position) * 24 + 18 + d)).toBeCloseTo(expected, 5);
    }
  });

  it('normalizes, gates, and counts probabilities', async () => {
    const inputs = sample(3 * 70);
    const weight = sample(70, 2);
    const normalized = await everywhere(() =>
      native.normalizeRows({ inputs, weight, epsilon: 1e-5 }),
    );
    const row = Array.from(inputs.subarray(70, 140));
    const rms = Math.sqrt(row.reduce((sum, x) => sum + x * x, 0) / 70 + 1e-5);
    expect(at(normalized, 75)).toBeCloseTo((at(inputs, 75) / rms) * at(weight, 5), 6);

    const gated = await everywhere(() => native.gateRows({ gate: inputs, up: inputs }));
    const x = at(inputs, 9);
    expect(at(gated, 9)).toBeCloseTo((x / (1 + Math.exp(-x))) * x, 6);

    const logits = Float32Array.of(0, Math.log(3), 5, 5);
    const sums = Float64Array.of(1, 1);
    const variances = new Float64Array(2);
    await native.addProbabilities({ logits, sums, variances });
    expect(at(sums, 0)).toBeCloseTo(1.75, 6);
    expect(at(sums, 1)).toBeCloseTo(2.25, 6);
    expect(at(variances, 0)).toBeCloseTo(3 / 16 + 1 / 4, 6);
  });
});

describe('error feedback', () => {
  const [tokens, columns, rows] = [300, 150, 70];
  // Columns that hang together: each is a mix of itself and its neighbour.
  const inputs = sample(tokens * columns).map(
    (x, i, all) => x + 1.5 * at(all, i - (i % columns === 0 ? 0 : 1)),
  );
  const gram = async (threads: number) => {
    const sums = new Float64Array(columns * columns);
    await native.addGram({ sums, inputs, columns, threads });
    return sums;
  };
  const factor = async (threads: number) => {
    const sums = await gram(threads);
    return native.factorGram({ gram: sums, columns, damping: 0.01, threads });
  };

  it('adds up the Gram matrix', async () => {
    const sums = await everywhere(gram);
    for (const [i, j] of [
      [0, 0],
      [149, 3],
      [70, 69],
    ] as const) {
      let sum = 0;
      for (let t = 0; t < tokens; t++) {
        sum += at(inputs, t * columns + i) * at(inputs, t * columns + j);
      }
      expect(at(sums, i * columns + j)).toBeCloseTo(sum, 6);
    }
  });

  it('factors it', async () => {
    const sums = await gram(1);
    const { order, pivots, feedback } = await everywhere(factor);
    let trace = 0;
    for (let i = 0; i < columns; i++) trace += at(sums, i * columns + i);
    const upper = (j: number, k: number) =>
      j === k ? 1 : j > k ? 0 : at(feedback, (k * (k - 1)) / 2 + j);
    for (const [a, b] of [
      [0, 0],
      [5, 60],
      [100, 149],
      [149, 149],
    ] as const) {
      let product = 0;
      for (let k = 0; k < columns; k++) product += upper(a, k) * at(pivots, k) * upper(b, k);
      const [i, j] = [at(order, a), at(order, b)];
      const damped = at(sums, Math.max(i, j) * columns + Math.min(i, j));
      expect(product).toBeCloseTo(damped + (i === j ? (0.01 * trace) / columns : 0), 2);
    }
  });

  it('leaves less error at the outputs than plain rounding, at about its rate', async () => {
    const floats = sample(rows * columns, 5).map((x) => x ** 3);
    const weights = new Uint8Array(floats.buffer);
    const blocks = [{ rows, stepFactor: 0.5, sharedRms: 0 }];
    const matrix = { weights, type: 'f32', rows, columns, blocks } as const;
    const plain = await native.quantizeRows({ ...matrix, threads: 2 });
    const fed = await everywhere(async (threads) =>
      native.quantizeWithFeedback({ ...matrix, ...(await factor(threads)), threads }),
    );
    const outputError = async ({ symbols, steps }: typeof plain) => {
      const errors = floats.map(
        (w, i) => w - at(steps, Math.floor(i / columns)) * (at(symbols, i) - 128),
      );
      return (await native.linear({ inputs, columns, weights: errors, rows, threads: 1 })).power;
    };
    expect(await outputError(fed)).toBeLessThan(0.85 * (await outputError(plain)));
    expect(fed.entropyBitsPerWeight).toBeLessThan(plain.entropyBitsPerWeight + 0.05);
    let noise = 0;
    for (let i = 0; i < rows * columns; i++) {
      const weight = at(fed.steps, Math.floor(i / columns)) * (at(fed.symbols, i) - 128);
      noise += (at(floats, i) - weight) ** 2;
    }
    expect(fed.noisePower / noise).toBeCloseTo(1, 6);
    expect(fed.signalPower).toBe(plain.signalPower);
  });

  it('saves bits where most levels are -1, 0 and 1', async () => {
    const weights = new Uint8Array(sample(rows * columns, 5).map((x) => x ** 3).buffer);
    const rateOf = async (stepFactor: number) => {
      const blocks = [{ rows, stepFactor, sharedRms: 0 }];
      const matrix = { weights, type: 'f32', rows, columns, blocks, threads: 2 } as const;
      const plain = await native.quantizeRows(matrix);
      const fed = await native.quantizeWithFeedback({ ...matrix, ...(await factor(2)) });
      return fed.entropyBitsPerWeight - plain.entropyBitsPerWeight;
    };
    expect(await rateOf(1.2)).toBeLessThan(-0.05);
    expect(await rateOf(0.3)).toBeGreaterThan(-0.01);
  });

  it('takes inputs that were never there for independent ones', async () => {
    const sums = new Float64Array(9);
    const none = await native.factorGram({ gram: sums, columns: 3, damping: 0.01, threads: 1 });
    expect(Array.from(none.pivots)).toEqual([1, 1, 1]);
    expect(Array.from(none.feedback)).toEqual([0, 0, 0]);
  });

  it('refuses what does not fit', async () => {
    const weights = new Uint8Array(8);
    const blocks = [{ rows: 1, stepFactor: 1, sharedRms: 0 }];
    const matrix = { weights, type: 'f32', rows: 1, columns: 2, blocks, threads: 1 } as const;
    const fits = {
      order: Uint32Array.of(1, 0),
      pivots: Float64Array.of(1, 1),
      feedback: Float32Array.of(0),
    };
    const refused = async (change: object, field: string) =>
      expect(native.quantizeWithFeedback({ ...matrix, ...fits, ...change })).rejects.toMatchObject({
        code: 'BadArgument',
        message: expect.stringContaining(field),
      });
    await native.quantizeWithFeedback({ ...matrix, ...fits });
    await refused({ order: Uint32Array.of(1, 1) }, 'order');
    await refused({ order: Uint32Array.of(1, 2) }, 'order');
    await refused({ order: Uint32Array.of(0) }, 'order');
    await refused({ pivots: Float64Array.of(1, 0) }, 'pivots');
    await refused({ feedback: new Float32Array(2) }, 'feedback');
    await refused({ spreads: Float32Array.of(0) }, 'spreads');
    const gram = Float64Array.of(Number.NaN);
    const bad = native.factorGram({ gram, columns: 1, damping: 0.01, threads: 1 });
    await expect(bad).rejects.toMatchObject({ code: 'BadArgument' });
  });
});
