import { createHash } from 'node:crypto';
import { ISA_NAMES, type LaneEncodedSymbols, native } from '@entrofleet/native';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { CodecError } from './codec.error.ts';
import { parseLaneCode } from './lanes.code.ts';
import { referenceDecodeLanes } from './lanes.reference.ts';
import { entropyBits } from './statistics.ts';

const original = native.cpu().isa;
const found = ISA_NAMES.filter((isa) => native.forceIsa(isa));

afterEach(() => {
  native.forceIsa(original);
});

interface Source {
  readonly length: number;
  /** How many values there are, 1 to 256. */
  readonly spread: number;
  /** 1: all equally likely; more: ever fewer of the high ones. */
  readonly decay: number;
  /** Whether frequent values are amid the others, as quantized weights are. */
  readonly centred: boolean;
  readonly seed: number;
}

function randomSymbols(from: Source): Uint8Array {
  let state = from.seed;
  const next = () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
  return Uint8Array.from({ length: from.length }, () => {
    const value = Math.floor(next() ** from.decay * from.spread);
    if (!from.centred) return (value * 83) % 256;
    return next() < 0.5 ? 128 + (value >> 1) : 127 - (value >> 1);
  });
}

const sourceArbitrary = fc.record({
  length: fc.integer({ min: 1, max: 4000 }),
  spread: fc.constantFrom(1, 2, 3, 17, 200, 256),
  decay: fc.constantFrom(1, 2, 6, 20),
  centred: fc.boolean(),
  seed: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
});

const segmentArbitrary = fc.constantFrom(1, 100, 128, 1000, 65_536);

interface Use {
  readonly segmentSymbols: number;
  readonly symbolCount: number;
  readonly threads: number;
  readonly seed?: number;
}

function decode(coded: LaneEncodedSymbols, use: Use): Promise<Uint8Array> {
  const output = new Uint8Array(use.symbolCount);
  return native.decodeLanes({ ...coded, ...use, output }).then(() => output);
}

/** Symbols, or the reason why there are none. */
async function outcome(run: () => Promise<Uint8Array> | Uint8Array): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    return error instanceof CodecError ? error.reason : Object(error).code;
  }
}

describe('lane segments', () => {
  it('give back every symbol, natively and by the reference', async () => {
    await fc.assert(
      fc.asyncProperty(sourceArbitrary, segmentArbitrary, async (source, segmentSymbols) => {
        const symbols = randomSymbols(source);
        const coded = await native.encodeLanes({ symbols, segmentSymbols, threads: 2 });
        const use = { segmentSymbols, symbolCount: symbols.length, threads: 2 };
        expect(await decode(coded, use)).toEqual(symbols);
        if (symbols.length / segmentSymbols > 500) return;
        expect(referenceDecodeLanes({ ...coded, ...use })).toEqual(symbols);
      }),
      { numRuns: 120 },
    );
  });

  it.each(found)('have the same bytes and symbols for every small size on %s', async (isa) => {
    const source = { spread: 60, decay: 2, centred: true, seed: 5 };
    for (let length = 1; length <= 300; length++) {
      const symbols = randomSymbols({ ...source, length });
      const whole = { symbols, segmentSymbols: 256, threads: 1 };
      native.forceIsa('portable');
      const expected = await native.encodeLanes(whole);
      native.forceIsa(isa);
      expect(await native.encodeLanes(whole)).toEqual(expected);
      const use = { segmentSymbols: 256, symbolCount: length, threads: 1 };
      expect(await decode(expected, use)).toEqual(symbols);
    }
  });

  it.each([true, false])('do not depend on threads or ISA (centred: %s)', async (centred) => {
    const source = { length: 700_001, spread: 200, decay: 3, centred, seed: 7 };
    const symbols = randomSymbols(source);
    const segmentSymbols = 30_000;
    const expected = await native.encodeLanes({ symbols, segmentSymbols, threads: 1 });
    expect(expected.code[0]).toBe(centred ? 0 : 1);
    for (const isa of found) {
      native.forceIsa(isa);
      for (const threads of [1, 2, 3, 7]) {
        expect(await native.encodeLanes({ symbols, segmentSymbols, threads })).toEqual(expected);
        const use = { segmentSymbols, symbolCount: symbols.length, threads, seed: threads };
        expect(await decode(expected, use)).toEqual(symbols);
      }
    }
  });

  it('are empty for no symbols', async () => {
    const symbols = new Uint8Array(0);
    const coded = await native.encodeLanes({ symbols, segmentSymbols: 64, threads: 1 });
    expect([coded.payload.length, coded.segmentSizes.length, ...coded.code]).toEqual([
      0, 0, 0, 0, 0,
    ]);
    const use = { segmentSymbols: 64, symbolCount: 0, threads: 1 };
    expect(await decode(coded, use)).toEqual(symbols);
    expect(referenceDecodeLanes({ ...coded, ...use })).toEqual(symbols);
  });

  it('cost only their header for a lone symbol', async () => {
    const symbols = new Uint8Array(1000).fill(77);
    const coded = await native.encodeLanes({ symbols, segmentSymbols: 400, threads: 2 });
    expect([...coded.segmentSizes]).toEqual([68, 68, 68]);
    const use = { segmentSymbols: 400, symbolCount: 1000, threads: 2 };
    expect(await decode(coded, use)).toEqual(symbols);
    expect(referenceDecodeLanes({ ...coded, ...use })).toEqual(symbols);
  });

  it('write into part of a larger buffer, and nothing around it', async () => {
    const symbols = randomSymbols({ length: 1003, spread: 9, decay: 2, centred: true, seed: 1 });
    const coded = await native.encodeLanes({ symbols, segmentSymbols: 500, threads: 1 });
    for (const isa of found) {
      native.forceIsa(isa);
      const whole = new Uint8Array(1203).fill(0xee);
      const output = whole.subarray(77, 77 + 1003);
      const use = { segmentSymbols: 500, symbolCount: 1003, threads: 1, output };
      await native.decodeLanes({ ...coded, ...use });
      const expected = new Uint8Array(1203).fill(0xee);
      expected.set(symbols, 77);
      expect(whole).toEqual(expected);
    }
  });

  it('have the bytes they always had', async () => {
    const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');
    const digests: string[] = [];
    for (const centred of [true, false]) {
      const source = { length: 10_000, spread: 90, decay: 3, centred, seed: 11 };
      const symbols = randomSymbols(source);
      const coded = await native.encodeLanes({ symbols, segmentSymbols: 4096, threads: 1 });
      digests.push(sha256(coded.code), sha256(coded.payload));
    }
    expect(digests).toMatchInlineSnapshot(`
      [
        "d547cecb345d572189f78d0174037af4398ca2a615631c4d774fdbef7e373a6b",
        "21b428560794a885b6e43879193b04d8d9db39fe03d71f2107d46eeca75f6682",
        "61d791b26818c92c30f1e6ea5b9c410673754fdaaf0fc4dca8e3403a2aff68aa",
        "07b35c8dcf80809e54aef7af9899bf8d9c9363b8bf0c36c9ed3400d7bbaa8baa",
      ]
    `);
  });
});

describe('altered lane segments', () => {
  const source = { length: 3000, spread: 60, decay: 2, seed: 3 };
  const use = { segmentSymbols: 700, symbolCount: 3000, threads: 2 };

  it.each([true, false])('give what the reference gives (centred: %s)', async (centred) => {
    const symbols = randomSymbols({ ...source, centred });
    const good = await native.encodeLanes({ symbols, ...use });
    const flips = fc.array(fc.nat({ max: 8 * good.payload.length - 1 }), {
      minLength: 1,
      maxLength: 6,
    });
    const corrupt: unknown[] = [];
    await fc.assert(
      fc.asyncProperty(flips, async (bits) => {
        const payload = good.payload.slice();
        for (const bit of bits) payload[bit >> 3] = (payload[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const coded = { ...good, payload };
        const expected = await outcome(() => referenceDecodeLanes({ ...coded, ...use }));
        if (typeof expected === 'string') corrupt.push(expected);
        for (const isa of found) {
          native.forceIsa(isa);
          expect(await outcome(() => decode(coded, use))).toEqual(expected);
        }
      }),
      { numRuns: 200 },
    );
    expect(new Set(corrupt)).toEqual(new Set(['CorruptSegment']));
    expect(corrupt.length).toBeGreaterThan(100);
  });

  it('are refused when a boundary moves', async () => {
    const symbols = randomSymbols({ ...source, centred: true });
    const good = await native.encodeLanes({ symbols, ...use });
    for (const bytes of [1, 2, 40, 68]) {
      for (const at of [0, 1, 2]) {
        const segmentSizes = good.segmentSizes.slice();
        segmentSizes[at] = (segmentSizes[at] ?? 0) - bytes;
        segmentSizes[at + 1] = (segmentSizes[at + 1] ?? 0) + bytes;
        const coded = { ...good, segmentSizes };
        expect(await outcome(() => decode(coded, use))).toBe('CorruptSegment');
        const reference = () => referenceDecodeLanes({ ...coded, ...use });
        expect(await outcome(reference)).toBe('CorruptSegment');
      }
    }
    const longer = { ...good, payload: Uint8Array.of(...good.payload, 0, 0) };
    expect(await outcome(() => decode(longer, use))).toBe('BadArgument');
  });

  it('are refused when a stream goes on in zeros', async () => {
    const symbols = randomSymbols({ ...source, length: 500, centred: true });
    const one = { segmentSymbols: 700, symbolCount: 500, threads: 1 };
    const good = await native.encodeLanes({ symbols, ...one });
    const payload = Uint8Array.of(...good.payload, 0, 0);
    const coded = { ...good, payload, segmentSizes: Uint32Array.of(payload.length) };
    expect(await outcome(() => decode(coded, one))).toBe('CorruptSegment');
    const reference = () => referenceDecodeLanes({ ...coded, ...one });
    expect(await outcome(reference)).toBe('CorruptSegment');
  });
});

describe('lane codes', () => {
  const lengths = (...nibbles: number[]) =>
    Uint8Array.from({ length: Math.ceil(nibbles.length / 2) }, (_, i) => {
      return (nibbles[2 * i] ?? 0) | ((nibbles[2 * i + 1] ?? 0) << 4);
    });
  const zigzag = (...nibbles: number[]) => Uint8Array.of(0, 9, ...lengths(...nibbles));
  const listed = (...nibbles: number[]) => {
    const bytes = new Uint8Array(129);
    bytes.set([1, ...lengths(...nibbles)]);
    return bytes;
  };

  it('that are none are refused, natively and by the reference', async () => {
    const none = { payload: new Uint8Array(0), segmentSizes: new Uint32Array(0) };
    const use = { segmentSymbols: 1, symbolCount: 0, threads: 1 };
    const eights = Array<number>(64).fill(9);
    const bad = [
      new Uint8Array(0),
      Uint8Array.of(2, 0, 0),
      Uint8Array.of(0),
      Uint8Array.of(0, 0),
      zigzag(1),
      zigzag(1, 2, 2, 1),
      zigzag(1, 1, 1),
      zigzag(1, 1, 0, 0),
      zigzag(2, 1, 1),
      zigzag(15, ...Array<number>(63).fill(6)),
      zigzag(...eights),
      listed(1),
      listed(1, 1, 1),
      listed(...Array<number>(63).fill(6), 7),
      listed(...Array<number>(63).fill(6), 15, 15),
      listed(1, 1).subarray(1),
      Uint8Array.of(...listed(1, 1), 0),
    ];
    for (const code of bad) {
      expect(await outcome(() => decode({ ...none, code }, use))).toBe('BadCodeTable');
      expect(() => parseLaneCode(code)).toThrow(CodecError);
    }
    const good = [
      zigzag(0),
      zigzag(1, 1),
      zigzag(2, 1, 2),
      zigzag(...Array<number>(63).fill(6), 14),
      listed(1, 2, 2),
      listed(...Array<number>(63).fill(6), 7, 7),
    ];
    for (const code of good) {
      expect(await outcome(() => decode({ ...none, code }, use))).toEqual(new Uint8Array(0));
      expect(parseLaneCode(code).items.length).toBe(64);
    }
  });

  it('that are random are accepted by both or by neither, and decode alike', async () => {
    const length = fc.oneof(fc.integer({ min: 1, max: 9 }), fc.nat({ max: 15 }));
    const codes = fc.tuple(fc.boolean(), fc.array(length, { minLength: 1, maxLength: 70 }));
    const payload = Uint8Array.from({ length: 400 }, (_, i) => (i * i * 31) & 0xff);
    new DataView(payload.buffer).setUint32(64, 90, true);
    const use = { segmentSymbols: 300, symbolCount: 300, threads: 1 };
    await fc.assert(
      fc.asyncProperty(codes, async ([isListed, nibbles]) => {
        const code = isListed ? listed(...nibbles) : zigzag(...nibbles);
        const coded = { payload, segmentSizes: Uint32Array.of(400), code };
        const expected = await outcome(() => referenceDecodeLanes({ ...coded, ...use }));
        expect(await outcome(() => decode(coded, use))).toEqual(expected);
      }),
      { numRuns: 300 },
    );
  });

  it('cost little over the entropy', async () => {
    for (const [spread, decay, centred, most] of [
      [200, 2, true, 1.012],
      [120, 3, true, 1.015],
      [256, 1, false, 1.001],
      [200, 3, false, 1.015],
    ] as const) {
      const symbols = randomSymbols({ length: 400_000, spread, decay, centred, seed: 2 });
      const histogram = await native.countSymbols({ symbols, threads: 2 });
      const coded = await native.encodeLanes({ symbols, segmentSymbols: 2 ** 18, threads: 2 });
      const bits = (8 * (coded.payload.length + coded.code.length)) / symbols.length;
      expect(bits / entropyBits(histogram)).toBeLessThan(most);
    }
  });
});
