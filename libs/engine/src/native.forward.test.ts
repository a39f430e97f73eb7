import { type ModelGeometry, type ModelTensors, native } from '@entrofleet/native';
import { describe, expect, it } from 'vitest';
import { machineIsas, withIsa } from '../test/instruction.sets.ts';
import {
  randomTokens,
  referenceLogits,
  referenceLosses,
  type TinyOptions,
  tinyGeometry,
  tinyTensors,
} from '../test/reference.model.ts';
import { rotaryFrequencies } from './rotary.frequencies.ts';

interface Tiny {
  geometry: ModelGeometry;
  tensors: ModelTensors;
  tokens: number[];
  reference: number[][];
}

function tiny(options: TinyOptions): Tiny {
  const geometry = tinyGeometry(options.geometry);
  const tensors = tinyTensors(geometry, options);
  const tokens = randomTokens(75, geometry.vocabularySize);
  return { geometry, tensors, tokens, reference: referenceLogits(geometry, tensors, tokens) };
}

/** Largest difference in units of the reference's standard deviation. */
function deviation(actual: Float32Array, reference: readonly number[][]): number {
  const expected = reference.flat();
  expect(actual.length).toBe(expected.length);
  const mean = expected.reduce((sum, x) => sum + x, 0) / expected.length;
  const variance = expected.reduce((sum, x) => sum + (x - mean) ** 2, 0) / expected.length;
  const largest = expected.reduce(
    (most, x, i) => Math.max(most, Math.abs(x - (actual[i] ?? Number.NaN))),
    0,
  );
  return largest / Math.sqrt(variance);
}

/**
 * In standard deviations of the logits. Float32 sums of some 75 terms lose about 1e-6 each. Symbols
 * meet inputs of 15 bits: rounding them by at most 3e-5 of the largest one of a sum, 2e-5 on average,
 * costs a sum 1e-4 of its size; 14 such sums in a row, at the worst of 7575 logits, give 2e-3.
 */
const TOLERANCE = { float: 2e-5, symbols: 4e-3 } as const;
const EXACT = { keyValueFormat: 'f32' } as const;

const CASES: readonly (readonly [string, TinyOptions])[] = [
  ['f32', { format: 'f32' }],
  ['f16', { format: 'f16' }],
  ['bf16', { format: 'bf16', geometry: { hiddenSize: 53 } }],
  ['u8, one step', { format: 'u8' }],
  ['u8, plain', { format: 'u8', form: 'plain' }],
  ['u8, step per row', { format: 'u8', stepPerRow: true }],
  ['u4, one step', { format: 'u4' }],
  ['u4, plain', { format: 'u4', form: 'plain' }],
  ['u4, odd row length', { format: 'u4', stepPerRow: true, geometry: { hiddenSize: 53 } }],
  ['multi-head attention', { format: 'f32', geometry: { keyValueHeads: 6 } }],
  ['multi-query attention', { format: 'f32', geometry: { keyValueHeads: 1 } }],
  ['wide heads', { format: 'f32', geometry: tinyGeometry({ headSize: 72, layers: 1 }) }],
  ['sliding window', { format: 'f32', geometry: { slidingWindows: Uint32Array.of(9, 9) } }],
  [
    'window wider than the text',
    { format: 'f32', geometry: { slidingWindows: Uint32Array.of(100, 100) } },
  ],
  ['a window in one layer', { format: 'f32', geometry: { slidingWindows: Uint32Array.of(0, 9) } }],
  ['norms of heads', { format: 'f32', headNorms: true }],
  ['scaled rotation', { format: 'f32', geometry: { rotaryScale: 1.19 } }],
  ['biases', { format: 'u8', biases: true }],
  ['tied embeddings', { format: 'u8', geometry: { tiedEmbeddings: true } }],
  [
    'llama3 rope',
    {
      format: 'f32',
      geometry: {
        rotaryFrequencies: rotaryFrequencies({
          theta: 500,
          rotatedSize: 10,
          scaling: {
            kind: 'llama3',
            factor: 8,
            lowFrequencyFactor: 1,
            highFrequencyFactor: 4,
            originalContextLength: 64,
          },
        }),
      },
    },
  ],
  ['partial rotation', { format: 'f32', geometry: { rotaryFrequencies: Float64Array.of(1, 0.1) } }],
];

describe.each(CASES)('forward pass: %s', (_, options) => {
  const { geometry, tensors, tokens, reference } = tiny(options);
  const tolerance = TOLERANCE[options.format.startsWith('u') ? 'symbols' : 'float'];

  it.each(machineIsas)('agrees with the reference with %s code and any thread count', (isa) =>
    withIsa(isa, async () => {
      const answers: Float32Array[] = [];
      for (const threads of [1, 2, 3]) {
        const model = native.createModel(geometry, tensors, { threads });
        const session = model.createSession(tokens.length, EXACT);
        answers.push(await session.forward(Uint32Array.from(tokens), 'all'));
        expect(session.length).toBe(tokens.length);
        model.close();
      }
      const [first = new Float32Array()] = answers;
      expect(deviation(first, reference)).toBeLessThan(tolerance);
      for (const answer of answers) expect(answer).toEqual(first);
    }),
  );

  it.runIf(options.format.startsWith('u'))(
    'has the same bits on all instruction sets',
    async () => {
      const answer = async () => {
        const model = native.createModel(geometry, tensors, { threads: 2 });
        return model.createSession(tokens.length).forward(Uint32Array.from(tokens), 'all');
      };
      const expected = await answer();
      for (const isa of machineIsas) expect(await withIsa(isa, answer)).toEqual(expected);
    },
  );

  it('gives the same bits token by token, in uneven blocks, and batched', async () => {
    const size = geometry.vocabularySize;
    const model = native.createModel(geometry, tensors, { threads: 2 });
    const whole = await model.createSession(80).forward(Uint32Array.from(tokens), 'all');
    const row = (i: number) => whole.subarray(i * size, (i + 1) * size);
    const single = model.createSession(80);
    for (const [i, token] of tokens.entries()) {
      expect(await single.forward(Uint32Array.of(token), 'last')).toEqual(row(i));
    }
    const uneven = model.createSession(80);
    await uneven.forward(Uint32Array.from(tokens.slice(0, 3)), 'last');
    const rest = await uneven.forward(Uint32Array.from(tokens.slice(3)), 'last');
    expect(rest).toEqual(row(tokens.length - 1));

    const ends = [4, 70, 1];
    const sessions = await Promise.all(
      ends.map(async (end) => {
        const session = model.createSession(80);
        await session.forward(Uint32Array.from(tokens.slice(0, end)), 'last');
        return session;
      }),
    );
    const next = Uint32Array.from(ends, (end) => tokens[end] ?? 0);
    const batched = await model.step(sessions, next);
    for (const [i, end] of ends.entries()) {
      expect(batched.subarray(i * size, (i + 1) * size)).toEqual(row(end));
      expect(sessions[i]?.length).toBe(end + 1);
    }
  });

  it('scores tokens', async () => {
    const model = native.createModel(geometry, tensors, { threads: 2 });
    const session = model.createSession(tokens.length, EXACT);
    const losses = await session.score(Uint32Array.from(tokens));
    const expected = referenceLosses(reference, tokens);
    expect(losses.length).toBe(expected.length);
    for (const [i, loss] of losses.entries()) {
      expect(Math.abs(loss - (expected[i] ?? Number.NaN))).toBeLessThan(5 * tolerance);
    }
  });
});
