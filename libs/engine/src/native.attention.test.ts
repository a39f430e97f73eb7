import { type KeyValueFormat, type NativeModel, native } from '@entrofleet/native';
import { describe, expect, it } from 'vitest';
import { machineIsas, withIsa } from '../test/instruction.sets.ts';
import {
  randomTokens,
  referenceLogits,
  type TinyOptions,
  tinyGeometry,
  tinyTensors,
} from '../test/reference.model.ts';

/** More than two of the chunks (256 positions) that attention goes in, and no whole block. */
const LENGTH = 555;
const FORMATS = ['f32', 'f16', 'int8'] as const;

function long(options: Partial<TinyOptions> = {}) {
  const geometry = tinyGeometry({
    layers: 2,
    hiddenSize: 20,
    intermediateSize: 12,
    contextLength: 600,
    ...options.geometry,
  });
  const tensors = tinyTensors(geometry, { ...options, format: 'f32' });
  const tokens = randomTokens(LENGTH, geometry.vocabularySize);
  const create = (threads: number) => native.createModel(geometry, tensors, { threads });
  return { geometry, tensors, tokens, create };
}

/** Root mean square of the differences in units of the expected logits' own. */
function deviation(actual: Float32Array, expected: readonly number[]): number {
  expect(actual.length).toBe(expected.length);
  let differences = 0;
  let squares = 0;
  for (const [i, value] of expected.entries()) {
    differences += (value - (actual[i] ?? Number.NaN)) ** 2;
    squares += value ** 2;
  }
  return Math.sqrt(differences / squares);
}

const CASES: readonly (readonly [string, Partial<TinyOptions>])[] = [
  ['every position', {}],
  ['one key-value head per head', { geometry: { keyValueHeads: 6 } }],
  ['many heads that share one', { geometry: { heads: 40, keyValueHeads: 1, headSize: 4 } }],
  ['a window within a chunk', { geometry: { slidingWindows: Uint32Array.of(40, 40) } }],
  ['windows across chunks', { geometry: { slidingWindows: Uint32Array.of(256, 300) } }],
];

describe.each(CASES)('attention over long texts: %s', (_, options) => {
  const { geometry, tensors, tokens, create } = long(options);
  const all = Uint32Array.from(tokens);
  const size = geometry.vocabularySize;

  it('agrees with the reference', async () => {
    const expected = referenceLogits(geometry, tensors, tokens).flat();
    for (const isa of machineIsas) {
      const logits = await withIsa(isa, () => create(2).createSession(600).forward(all, 'all'));
      expect(deviation(logits, expected)).toBeLessThan(1e-6);
    }
  });

  it.each(FORMATS)('gives the same bits however it is split, with %s', async (keyValueFormat) => {
    const start = (model: NativeModel) => model.createSession(600, { keyValueFormat });
    const whole = await start(create(1)).forward(all, 'all');
    const model = create(3);
    expect(await start(model).forward(all, 'all')).toEqual(whole);

    const ends = [255, 256, 300, 511, 512, 554];
    const row = (end: number) => whole.subarray(end * size, (end + 1) * size);
    const sessions = await Promise.all(
      ends.map(async (end) => {
        const session = start(model);
        await session.forward(all.subarray(0, end), 'last');
        return session;
      }),
    );
    const next = Uint32Array.from(ends, (end) => tokens[end] ?? 0);
    const batched = await model.step(sessions, next);
    for (const [i, end] of ends.entries()) {
      expect(batched.subarray(i * size, (i + 1) * size)).toEqual(row(end));
      sessions[i]?.truncate(end);
      expect(await sessions[i]?.forward(next.subarray(i, i + 1), 'last')).toEqual(row(end));
    }
  });
});

describe('formats of keys and values', () => {
  const { geometry, tensors, tokens, create } = long();
  const expected = referenceLogits(geometry, tensors, tokens).flat();

  /**
   * A number of float16 is off by at most 2^-11 of itself, one of int8 by 1/254 of the largest of
   * its head; keys and values of two layers are rounded. Measured: 5.5e-4 and 9.3e-3.
   */
  it.each([
    ['f16', 1e-5, 4 * 2 ** -11],
    ['int8', 1e-4, 4 / 254],
  ] as const)('%s costs what its rounding costs', async (keyValueFormat, least, most) => {
    const logits = await create(2)
      .createSession(600, { keyValueFormat })
      .forward(Uint32Array.from(tokens), 'all');
    const off = deviation(logits, expected);
    expect(off).toBeGreaterThan(least);
    expect(off).toBeLessThan(most);
  });

  it('is f32 with float weights and f16 with quantized ones unless another is asked for', () => {
    const quantized = tinyTensors(geometry, { format: 'u8' });
    expect(create(1).keyValueFormat).toBe('f32');
    expect(native.createModel(geometry, quantized, { threads: 1 }).keyValueFormat).toBe('f16');
    const other = { keyValueFormat: 'q2' as KeyValueFormat };
    expect(() => create(1).createSession(1, other)).toThrow(
      expect.objectContaining({ code: 'BadArgument' }),
    );
  });

  it('stores what is too large for float16 as its largest number', async () => {
    const [first, ...others] = tensors.layers;
    if (first?.value.format !== 'f32') throw new Error('the model is not float');
    const value = { ...first.value, data: first.value.data.map((x) => x * 1e6) };
    const huge = { ...tensors, layers: [{ ...first, value }, ...others] };
    const model = native.createModel(geometry, huge, { threads: 1 });
    const session = model.createSession(8, { keyValueFormat: 'f16' });
    const logits = await session.forward(Uint32Array.of(1, 2, 3), 'last');
    expect(logits.every(Number.isFinite)).toBe(true);
  });
});

it('gives the same bits with pinned threads', async () => {
  const { geometry, tensors, tokens, create } = long();
  const all = Uint32Array.from(tokens);
  const pinned = native.createModel(geometry, tensors, { threads: 3, pinThreads: true });
  const logits = await pinned.createSession(600).forward(all, 'last');
  expect(logits).toEqual(await create(1).createSession(600).forward(all, 'last'));
});
