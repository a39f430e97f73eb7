import { afterEach, describe, expect, it } from 'vitest';
import { ISA_NAMES, native, type QuantizedTensor, type RateCurve } from './index.ts';

const original = native.cpu().isa;
const found = ISA_NAMES.filter((isa) => native.forceIsa(isa));

afterEach(() => {
  native.forceIsa(original);
});

/** Deterministic, with a long tail, so that chunks and rows differ. */
function sampleWeights(count: number): Float32Array {
  let state = 7;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return (state / 2 ** 31 - 1) ** 5;
  });
}

const bytesOf = (array: Float32Array | Uint16Array) => new Uint8Array(array.buffer);

describe('quantization', () => {
  // More than a chunk of 64 Ki weights, and an odd number of them.
  const rows = 87;
  const columns = 1001;
  const weights = bytesOf(sampleWeights(rows * columns));
  const affine = (bits: 8 | 4, threads: number) =>
    native.quantizeAffine({ weights, type: 'f32', bits, threads });
  const blocks = [
    { rows: 30, stepFactor: 0.3, sharedRms: 0 },
    { rows: 57, stepFactor: 0.2, sharedRms: 0.5 },
  ];
  const byRows = (threads: number) =>
    native.quantizeRows({ weights, type: 'f32', rows, columns, blocks, threads });
  const curve = (threads: number) => {
    const stepFactors = [0.1, 0.3];
    return native.rateCurve({
      ...{ weights, type: 'f32', rows, columns, stepFactors, shared: true, threads },
    });
  };

  it('gives the same bits for any number of threads and any instruction set', async () => {
    const expected: (QuantizedTensor | RateCurve)[] = [];
    for (const isa of found) {
      native.forceIsa(isa);
      for (const threads of [1, 2, 3, 7]) {
        const results = [
          await affine(8, threads),
          await affine(4, threads),
          await byRows(threads),
          await curve(threads),
        ];
        if (expected.length === 0) expected.push(...results);
        expect(results).toEqual(expected);
      }
    }
  });

  it('reads weights at any alignment', async () => {
    const shifted = new Uint8Array(weights.length + 1);
    shifted.set(weights, 1);
    const moved = { weights: shifted.subarray(1), type: 'f32', bits: 8, threads: 1 } as const;
    expect(await native.quantizeAffine(moved)).toEqual(await affine(8, 1));
  });

  it('measures what it would write and lose', async () => {
    for (const shared of [true, false]) {
      const stepFactors = [0.1, 0.3];
      const matrix = { weights, type: 'f32', rows, columns, threads: 3 } as const;
      const rates = await native.rateCurve({ ...matrix, stepFactors, shared });
      const sharedRms = shared ? rates.rms : 0;
      const whole = await native.quantizeRows({
        ...matrix,
        blocks: [{ rows, stepFactor: 0.3, sharedRms }],
      });
      expect(rates.histograms.subarray(256)).toEqual(whole.histogram);
      expect(rates.signalPower).toBe(whole.signalPower);
      expect(rates.noisePowers[1]).toBe(whole.noisePower);
      expect(rates.rms).toBe(Math.sqrt(whole.signalPower / (rows * columns)));
    }
  });

  it('keeps the steps that fit the levels best, and says what is left of the error', async () => {
    const { symbols, steps, noisePower } = await byRows(2);
    const floats = new Float32Array(weights.buffer);
    let noise = 0;
    for (let row = 0; row < rows; row++) {
      const step = steps[row] ?? 0;
      const errorWith = (candidate: number) => {
        let sum = 0;
        for (let i = row * columns; i < (row + 1) * columns; i++) {
          sum += ((floats[i] ?? 0) - candidate * ((symbols[i] ?? 0) - 128)) ** 2;
        }
        return sum;
      };
      noise += errorWith(step);
      // The neighbours in bf16.
      expect(errorWith(step)).toBeLessThanOrEqual(errorWith(step * (1 + 2 ** -7)));
      expect(errorWith(step)).toBeLessThanOrEqual(errorWith(step * (1 - 2 ** -7)));
    }
    expect(Math.abs(noisePower / noise - 1)).toBeLessThan(1e-9);
  });

  it('of nothing is empty', async () => {
    const none = { weights: new Uint8Array(0), type: 'bf16', threads: 2 } as const;
    const tensor = await native.quantizeAffine({ ...none, bits: 4 });
    expect([tensor.symbols.length, tensor.zeroPoint, ...tensor.steps]).toEqual([0, 0, 1]);
    const matrix = await native.quantizeRows({ ...none, rows: 0, columns: 0, blocks: [] });
    expect([matrix.symbols.length, matrix.steps.length]).toEqual([0, 0]);
    expect(await native.toFloat32(none)).toEqual(new Float32Array(0));
  });

  it('keeps the step finite when the factor overflows it', async () => {
    const huge = bytesOf(Float32Array.of(3e38, -3e38));
    const matrix = { weights: huge, type: 'f32', rows: 1, columns: 2, threads: 1 } as const;
    const blocks = [{ rows: 1, stepFactor: 1e6, sharedRms: 0 }];
    const { steps } = await native.quantizeRows({ ...matrix, blocks });
    expect(Number.isFinite(steps[0])).toBe(true);
  });

  it('names the first of several bad weights, whichever thread meets it', async () => {
    const bad = sampleWeights(400_000);
    for (const at of [399_999, 260_001, 260_000]) bad[at] = Number.NaN;
    const input = { weights: bytesOf(bad), type: 'f32', threads: 3 } as const;
    const wanted = { code: 'NonFiniteWeight', index: 260_000 };
    await expect(native.quantizeAffine({ ...input, bits: 8 })).rejects.toMatchObject(wanted);
    await expect(native.toFloat32(input)).rejects.toMatchObject(wanted);
    const matrix = { ...input, rows: 400, columns: 1000 };
    const blocks = [{ rows: 400, stepFactor: 1, sharedRms: 0 }];
    await expect(native.quantizeRows({ ...matrix, blocks })).rejects.toMatchObject(wanted);
    const measuring = { ...matrix, stepFactors: [1], shared: true };
    await expect(native.rateCurve(measuring)).rejects.toMatchObject(wanted);
  });
});

describe('decoding', () => {
  const symbols = Uint8Array.from({ length: 9000 }, (_, i) => (i * i) % 37);
  const cut = { segmentSymbols: 1000, symbolCount: 9000, threads: 2, seed: 5 };

  it('names the first corrupt segment', async () => {
    const coded = await native.encodeHuffman({ symbols, segmentSymbols: 1000, threads: 1 });
    const payload = coded.payload.slice();
    let begin = 0;
    for (const [i, size] of coded.segmentSizes.entries()) {
      if (i === 3 || i === 7) payload.fill(0xff, begin, begin + 12);
      begin += size;
    }
    const output = new Uint8Array(9000);
    const call = native.decodeHuffman({ ...coded, payload, ...cut, output });
    await expect(call).rejects.toMatchObject({ code: 'CorruptSegment', index: 3 });
  });

  it('does not follow sizes that change during the call', async () => {
    const coded = await native.encodeHuffman({ symbols, segmentSymbols: 1000, threads: 1 });
    const output = new Uint8Array(9000);
    const call = native.decodeHuffman({ ...coded, ...cut, output });
    coded.segmentSizes.fill(0xffff_ffff);
    coded.codeLengths.fill(12);
    await call;
    expect(output).toEqual(symbols);
  });
});

describe('a code for several tensors', () => {
  const one = Uint8Array.from({ length: 5000 }, (_, i) => (i * i) % 37);
  const other = Uint8Array.from({ length: 3000 }, (_, i) => 30 + ((i * i) % 53));

  it('is made from the sum of their counts', async () => {
    const histogram = new Float64Array(256);
    for (const symbols of [one, other]) {
      const counts = await native.countSymbols({ symbols, threads: 2 });
      counts.forEach((count, value) => {
        histogram[value] = (histogram[value] ?? 0) + count;
      });
    }
    const codeLengths = native.huffmanCodeLengths({ histogram });
    const both = Uint8Array.of(...one, ...other);
    const whole = await native.encodeHuffman({ symbols: both, segmentSymbols: 1000, threads: 1 });
    expect(whole.codeLengths).toEqual(codeLengths);
    for (const symbols of [one, other]) {
      const cut = { segmentSymbols: 1000, threads: 2 };
      const coded = await native.encodeHuffman({ symbols, ...cut, codeLengths });
      expect(coded.codeLengths).toEqual(codeLengths);
      const output = new Uint8Array(symbols.length);
      await native.decodeHuffman({ ...coded, ...cut, symbolCount: symbols.length, output });
      expect(output).toEqual(symbols);
    }
  });

  it('must have a code word for each symbol, and be a code', async () => {
    const { codeLengths } = await native.encodeHuffman({
      ...{ symbols: one, segmentSymbols: 1000, threads: 1 },
    });
    const cut = { symbols: other, segmentSymbols: 1000, threads: 1 };
    const missing = Math.min(...other.filter((symbol) => codeLengths[symbol] === 0));
    await expect(native.encodeHuffman({ ...cut, codeLengths })).rejects.toMatchObject({
      code: 'BadCodeTable',
      index: missing,
    });
    const none = new Uint8Array(256).fill(3);
    await expect(native.encodeHuffman({ ...cut, codeLengths: none })).rejects.toMatchObject({
      code: 'BadCodeTable',
    });
  });

  it('is refused for counts that are none', () => {
    const empty = native.huffmanCodeLengths({ histogram: new Float64Array(256) });
    expect(empty).toEqual(new Uint8Array(256));
    const bad = [-1, 0.5, Number.NaN, 2 ** 53].map((c) => new Float64Array(256).fill(c, 0, 1));
    const tooMany = new Float64Array(256).fill(2 ** 52);
    for (const histogram of [...bad, tooMany, new Float64Array(255)]) {
      expect(() => native.huffmanCodeLengths({ histogram })).toThrow(
        expect.objectContaining({ code: 'BadArgument' }),
      );
    }
  });
});

describe.each(['Huffman', 'Lanes'] as const)('a call that decodes %s', (layout) => {
  const symbols = Uint8Array.from({ length: 200_000 }, (_, i) => (i * i) % 37);
  const cut = { segmentSymbols: 1000, symbolCount: symbols.length };

  /** A function that decodes with the given control. */
  async function decoder() {
    const output = new Uint8Array(symbols.length);
    const use = { ...cut, threads: 3, output };
    if (layout === 'Lanes') {
      const coded = await native.encodeLanes({ symbols, ...cut, threads: 1 });
      return (control: Int32Array) => native.decodeLanes({ ...coded, ...use, control });
    }
    const coded = await native.encodeHuffman({ symbols, ...cut, threads: 1 });
    return (control: Int32Array) => native.decodeHuffman({ ...coded, ...use, control });
  }

  it('counts the segments that are done', async () => {
    const control = new Int32Array(new SharedArrayBuffer(8));
    await (await decoder())(control);
    expect([...control]).toEqual([0, 200]);
  });

  it('is cancelled before its next segment', async () => {
    const control = Int32Array.of(1, 0);
    const call = (await decoder())(control);
    await expect(call).rejects.toMatchObject({ code: 'Cancelled' });
    expect([...control]).toEqual([1, 0]);
  });

  it('takes a control of two elements', async () => {
    await expect((await decoder())(new Int32Array(1))).rejects.toMatchObject({
      code: 'BadArgument',
      message: expect.stringContaining('control'),
    });
  });
});

describe('memory for an output', () => {
  it('is zero, of the size asked for, and decoded into past the caches too', async () => {
    const symbolCount = 17 * 2 ** 20 + 5;
    const output = native.allocateOutput({ sizeBytes: symbolCount });
    expect(output.length).toBe(symbolCount);
    expect(output.subarray(0, 5000)).toEqual(new Uint8Array(5000));
    const pattern = Uint8Array.from({ length: 999_983 }, (_, i) => (i * i) % 37);
    const symbols = Buffer.alloc(symbolCount, pattern);
    const cut = { segmentSymbols: 2 ** 18, threads: 2 };
    const coded = await native.encodeLanes({ symbols, ...cut });
    await native.decodeLanes({ ...coded, ...cut, symbolCount, output });
    expect(symbols.equals(output)).toBe(true);
  });

  it('may be empty, and is refused where there is none', () => {
    expect(native.allocateOutput({ sizeBytes: 0 })).toEqual(new Uint8Array(0));
    const wrong = () => native.allocateOutput({ sizeBytes: -1 });
    expect(wrong).toThrow(expect.objectContaining({ code: 'BadArgument' }));
    const tooMuch = () => native.allocateOutput({ sizeBytes: 2 ** 50 });
    expect(tooMuch).toThrow(expect.objectContaining({ code: 'OutOfMemory' }));
  });
});

describe('arguments', () => {
  const weights = new Uint8Array(8);
  const affine = { weights, type: 'f32', bits: 8, threads: 1 };
  const block = { rows: 1, stepFactor: 1, sharedRms: 0 };
  const matrix = { weights, type: 'f32', rows: 1, columns: 2, blocks: [block], threads: 1 };
  const curve = { ...matrix, stepFactors: [1], shared: false };
  const encode = { symbols: weights, segmentSymbols: 1, threads: 1 };
  const decode = {
    payload: new Uint8Array(0),
    segmentSizes: new Uint32Array(0),
    segmentSymbols: 1,
    symbolCount: 0,
    codeLengths: new Uint8Array(256),
    output: new Uint8Array(0),
    threads: 1,
    seed: 0,
  };

  it.each([
    ['quantizeAffine', undefined, 'one object'],
    ['quantizeAffine', { ...affine, weights: new Float32Array(2) }, 'weights'],
    ['quantizeAffine', { ...affine, weights: new Uint8Array(7) }, 'weights'],
    ['quantizeAffine', { ...affine, type: 'f64' }, 'type'],
    ['quantizeAffine', { ...affine, bits: 5 }, 'bits'],
    ['quantizeAffine', { ...affine, threads: 0 }, 'threads'],
    ['quantizeAffine', { ...affine, threads: 1.5 }, 'threads'],
    ['quantizeRows', { ...matrix, rows: 2 }, 'weights'],
    ['quantizeRows', { ...matrix, rows: 2 ** 33, columns: 2 ** 33 }, 'weights'],
    [
      'quantizeRows',
      { ...matrix, weights: new Uint8Array(0), rows: 2 ** 50, columns: 0 },
      'weights',
    ],
    ['quantizeRows', { ...matrix, rows: -1 }, 'rows'],
    ['quantizeRows', { ...matrix, blocks: undefined }, 'blocks'],
    ['quantizeRows', { ...matrix, blocks: [] }, 'blocks'],
    ['quantizeRows', { ...matrix, blocks: [block, block] }, 'blocks[1].rows'],
    ['quantizeRows', { ...matrix, blocks: [{ ...block, rows: 0.5 }] }, 'blocks[0].rows'],
    ['quantizeRows', { ...matrix, blocks: [{ ...block, stepFactor: 0 }] }, 'blocks[0].stepFactor'],
    ['quantizeRows', { ...matrix, blocks: [{ ...block, sharedRms: -1 }] }, 'blocks[0].sharedRms'],
    ['rateCurve', { ...curve, stepFactors: [] }, 'stepFactors'],
    ['rateCurve', { ...curve, stepFactors: [1, Infinity] }, 'stepFactors[1]'],
    ['rateCurve', { ...curve, stepFactors: [Number.NaN] }, 'stepFactors[0]'],
    ['rateCurve', { ...curve, shared: 1 }, 'shared'],
    ['encodeHuffman', { symbols: [1], segmentSymbols: 1, threads: 1 }, 'symbols'],
    ['encodeHuffman', { symbols: weights, segmentSymbols: 2 ** 25, threads: 1 }, 'segmentSymbols'],
    ['decodeHuffman', { ...decode, symbolCount: 1 }, 'output'],
    ['decodeHuffman', { ...decode, codeLengths: new Uint8Array(255) }, 'codeLengths'],
    ['decodeHuffman', { ...decode, segmentSizes: [1] }, 'segmentSizes'],
    ['decodeHuffman', { ...decode, segmentSizes: new Uint32Array(1) }, 'segments'],
    ['decodeHuffman', { ...decode, payload: new Uint8Array(1) }, 'payload'],
    ['decodeHuffman', { ...decode, seed: -1 }, 'seed'],
    ['decodeHuffman', { ...decode, control: [0, 0] }, 'control'],
    ['countSymbols', { symbols: [1], threads: 1 }, 'symbols'],
    ['encodeHuffman', { ...encode, codeLengths: new Uint8Array(1) }, 'codeLengths'],
    ['encodeLanes', { ...encode, segmentSymbols: 0 }, 'segmentSymbols'],
    ['decodeLanes', { ...decode, code: [0, 0, 0] }, 'code'],
    ['decodeLanes', { ...decode, code: weights, symbolCount: 1 }, 'output'],
  ] as const)('of %s that do not fit are refused: %o', async (name, input, field) => {
    const call: (input: never) => Promise<unknown> = native[name];
    await expect(call(input as never)).rejects.toMatchObject({
      code: 'BadArgument',
      message: expect.stringContaining(field),
    });
  });
});
