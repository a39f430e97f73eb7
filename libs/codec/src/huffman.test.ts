import { type EncodedSymbols, ISA_NAMES, native } from '@entrofleet/native';
import fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import { assertCodeLengths, canonicalWords } from './code.lengths.ts';
import { CodecError } from './codec.error.ts';
import { referenceDecodeHuffman } from './reference.decoder.ts';

/** A symbol source: from one symbol to all of them equally likely. */
const symbolsArbitrary = fc
  .record({
    length: fc.integer({ min: 1, max: 5000 }),
    spread: fc.constantFrom(1, 2, 3, 17, 256),
    decay: fc.constantFrom(1, 2, 6),
    seed: fc.integer({ min: 0, max: 2 ** 31 - 1 }),
  })
  .map(({ length, spread, decay, seed }) => randomSymbols({ length, spread, decay, seed }));

const segmentArbitrary = fc.constantFrom(1, 3, 64, 1000, 65_536);

function randomSymbols(from: { length: number; spread: number; decay: number; seed: number }) {
  let state = from.seed;
  return Uint8Array.from({ length: from.length }, () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) ** from.decay * from.spread);
  });
}

function decode(
  coded: EncodedSymbols,
  use: { segmentSymbols: number; symbolCount: number; threads: number; seed?: number },
): Promise<Uint8Array> {
  const output = new Uint8Array(use.symbolCount);
  return native.decodeHuffman({ ...coded, ...use, output, seed: use.seed ?? 1 }).then(() => output);
}

describe('Huffman segments', () => {
  it('give back every symbol, natively and by the reference', async () => {
    await fc.assert(
      fc.asyncProperty(symbolsArbitrary, segmentArbitrary, async (symbols, segmentSymbols) => {
        const symbolCount = symbols.length;
        const coded = await native.encodeHuffman({ symbols, segmentSymbols, threads: 2 });
        assertCodeLengths(coded.codeLengths);
        const use = { segmentSymbols, symbolCount };
        expect(await decode(coded, { ...use, threads: 2 })).toEqual(symbols);
        expect(referenceDecodeHuffman({ ...coded, ...use })).toEqual(symbols);
      }),
      { numRuns: 150 },
    );
  });

  it('are empty for no symbols', async () => {
    const symbols = new Uint8Array(0);
    const coded = await native.encodeHuffman({ symbols, segmentSymbols: 64, threads: 1 });
    expect(coded.payload.length).toBe(0);
    expect(coded.segmentSizes.length).toBe(0);
    expect(await decode(coded, { segmentSymbols: 64, symbolCount: 0, threads: 1 })).toEqual(
      symbols,
    );
  });

  it('have the same bytes for any number of threads and any instruction set', async () => {
    const symbols = randomSymbols({ length: 300_001, spread: 200, decay: 3, seed: 7 });
    const segmentSymbols = 10_000;
    const expected = await native.encodeHuffman({ symbols, segmentSymbols, threads: 1 });
    for (const isa of ISA_NAMES) {
      if (!native.forceIsa(isa)) continue;
      for (const threads of [1, 2, 3, 7]) {
        expect(await native.encodeHuffman({ symbols, segmentSymbols, threads })).toEqual(expected);
        const use = { segmentSymbols, symbolCount: symbols.length, threads, seed: threads };
        expect(await decode(expected, use)).toEqual(symbols);
      }
    }
  });

  const original = native.cpu().isa;
  afterEach(() => {
    native.forceIsa(original);
  });

  it('never crash on mutated input and agree with the reference about corruption', async () => {
    const symbols = randomSymbols({ length: 3000, spread: 60, decay: 2, seed: 3 });
    const use = { segmentSymbols: 700, symbolCount: symbols.length };
    const good = await native.encodeHuffman({ symbols, ...use, threads: 1 });
    const flips = fc.array(fc.nat({ max: 8 * good.payload.length - 1 }), {
      minLength: 1,
      maxLength: 6,
    });
    await fc.assert(
      fc.asyncProperty(flips, async (bits) => {
        const payload = good.payload.slice();
        for (const bit of bits) payload[bit >> 3] = (payload[bit >> 3] ?? 0) ^ (1 << (bit & 7));
        const coded = { ...good, payload };
        const ours = await outcome(() => decode(coded, { ...use, threads: 2 }));
        const reference = await outcome(async () => referenceDecodeHuffman({ ...coded, ...use }));
        expect(ours).toEqual(reference);
      }),
      { numRuns: 400 },
    );
  });

  it('never crash on mutated tables and sizes, and agree with the reference', async () => {
    const symbols = randomSymbols({ length: 3000, spread: 12, decay: 2, seed: 3 });
    const use = { segmentSymbols: 700, symbolCount: symbols.length };
    const good = await native.encodeHuffman({ symbols, ...use, threads: 1 });
    const changes = fc.record({
      lengths: fc.array(fc.tuple(fc.nat({ max: 15 }), fc.nat({ max: 17 })), { maxLength: 3 }),
      // Moves a boundary, and so keeps the sum, or grows a size.
      sizes: fc.array(fc.tuple(fc.nat({ max: 3 }), fc.nat({ max: 40 }), fc.boolean()), {
        maxLength: 2,
      }),
    });
    await fc.assert(
      fc.asyncProperty(changes, async ({ lengths, sizes }) => {
        const codeLengths = good.codeLengths.slice();
        for (const [symbol, length] of lengths) codeLengths[symbol] = length;
        const segmentSizes = good.segmentSizes.slice();
        for (const [at, bytes, move] of sizes) {
          segmentSizes[at] = (segmentSizes[at] ?? 0) + bytes;
          if (move) segmentSizes[at + 1] = (segmentSizes[at + 1] ?? 0) - bytes;
        }
        const coded = { ...good, codeLengths, segmentSizes };
        const ours = await outcome(() => decode(coded, { ...use, threads: 2 }));
        // Two causes at once may be found in either order.
        if (lengths.length > 0 && sizes.length > 0) {
          expect(ours).toBeDefined();
        } else {
          expect(ours).toEqual(
            await outcome(async () => referenceDecodeHuffman({ ...coded, ...use })),
          );
        }
      }),
      { numRuns: 300 },
    );
  });

  it('refuse sizes that do not fit and tables that are no code', async () => {
    const symbols = randomSymbols({ length: 1000, spread: 60, decay: 2, seed: 3 });
    const use = { segmentSymbols: 500, symbolCount: 1000, threads: 1 };
    const good = await native.encodeHuffman({ symbols, segmentSymbols: 500, threads: 1 });
    const shorter = { ...good, payload: good.payload.subarray(1) };
    await expect(decode(shorter, use)).rejects.toMatchObject({ code: 'BadArgument' });
    for (const codeLengths of badTables(good.codeLengths)) {
      await expect(decode({ ...good, codeLengths }, use)).rejects.toMatchObject({
        code: 'BadCodeTable',
      });
      expect(() => assertCodeLengths(codeLengths)).toThrow(CodecError);
    }
    const cut = Uint32Array.of(good.payload.length, 0);
    await expect(decode({ ...good, segmentSizes: cut }, use)).rejects.toMatchObject({
      code: 'CorruptSegment',
    });
  });
});

function badTables(good: Uint8Array): Uint8Array[] {
  const oversubscribed = good.slice();
  oversubscribed[good.findIndex((length) => length > 1)] = 1;
  const incomplete = good.slice();
  incomplete[good.findIndex((length) => length > 0)] = 0;
  const tooLong = new Uint8Array(256).fill(13, 0, 2);
  return [oversubscribed, incomplete, tooLong, new Uint8Array(256), new Uint8Array(256).fill(255)];
}

async function outcome(run: () => Promise<Uint8Array>): Promise<unknown> {
  try {
    return await run();
  } catch (error) {
    return error instanceof CodecError ? error.reason : Object(error).code;
  }
}

describe('code lengths', () => {
  it('cost as little as any code under the limit', async () => {
    // The optimum by exhaustive search over all complete codes of up to five symbols.
    const counts = fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 2, maxLength: 5 });
    await fc.assert(
      fc.asyncProperty(counts, async (weights) => {
        const symbols = Uint8Array.from(weights.flatMap((n, s) => Array<number>(n).fill(s)));
        const coded = await native.encodeHuffman({ symbols, segmentSymbols: 1000, threads: 1 });
        const cost = (lengths: Iterable<number>) =>
          [...lengths].reduce((sum, length, s) => sum + length * (weights[s] ?? 0), 0);
        const best = Math.min(...completeCodes(weights.length).map(cost));
        expect(cost(coded.codeLengths)).toBe(best);
      }),
      { numRuns: 60 },
    );
  });

  it('stay within 15 bits where plain Huffman would need more', async () => {
    // Fibonacci counts give the deepest tree.
    const counts = [1, 1];
    while (counts.length < 22) counts.push((counts.at(-1) ?? 0) + (counts.at(-2) ?? 0));
    const symbols = Uint8Array.from(counts.flatMap((n, s) => Array<number>(n).fill(s)));
    const coded = await native.encodeHuffman({ symbols, segmentSymbols: 65_536, threads: 2 });
    expect(Math.max(...coded.codeLengths)).toBe(15);
    assertCodeLengths(coded.codeLengths);
  });

  it('give back symbols whose words are longer than one look-up', async () => {
    // Counts fall by a third from symbol to symbol, so that words of every length are common enough.
    const counts = Array.from({ length: 40 }, (_, s) => Math.ceil(60_000 / 1.5 ** s));
    const sorted = counts.flatMap((n, s) => Array<number>(n).fill(s));
    const symbols = Uint8Array.from(sorted, (_, i) => sorted[(i * 7919) % sorted.length] ?? 0);
    const segmentSymbols = 20_000;
    const coded = await native.encodeHuffman({ symbols, segmentSymbols, threads: 2 });
    expect(Math.max(...coded.codeLengths)).toBe(15);
    const use = { segmentSymbols, symbolCount: symbols.length };
    expect(referenceDecodeHuffman({ ...coded, ...use })).toEqual(symbols);
    for (const isa of ISA_NAMES) {
      if (!native.forceIsa(isa)) continue;
      expect(await decode(coded, { ...use, threads: 2 })).toEqual(symbols);
    }
  });

  it('give canonical words', () => {
    const lengths = new Uint8Array(256);
    lengths.set([2, 1, 3, 3]);
    expect([...canonicalWords(lengths).subarray(0, 4)]).toEqual([0b10, 0b0, 0b110, 0b111]);
  });
});

/** All multisets of lengths with Kraft sum 1, in every order. */
function completeCodes(symbols: number): number[][] {
  const codes: number[][] = [];
  const extend = (lengths: number[], left: number) => {
    if (lengths.length === symbols) {
      if (left === 0) codes.push(lengths);
      return;
    }
    for (let length = 1; length < symbols; length++) {
      const share = 2 ** -length;
      if (share <= left) extend([...lengths, length], left - share);
    }
  };
  extend([], 1);
  return codes;
}
