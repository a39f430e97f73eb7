import { createHash } from 'node:crypto';
import { native } from '@entrofleet/native';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { CodecError } from './codec.error.ts';
import { type ResidualBlock, referenceDecodeResiduals } from './residuals.reference.ts';

interface Source {
  readonly bits: 8 | 4;
  readonly columns: number;
  readonly firstColumn: number;
  readonly weights: number;
  readonly zeroPoints: readonly [number, number];
  /** Steps of the base over those of the target, about. */
  readonly ratio: number;
  readonly isPerRow: boolean;
  /** Levels that the target differs at most from the base. */
  readonly change: number;
  readonly seed: number;
}

const sourceArbitrary: fc.Arbitrary<Source> = fc.record({
  bits: fc.constantFrom<8 | 4>(8, 4),
  columns: fc.integer({ min: 1, max: 50 }),
  firstColumn: fc.nat(49),
  weights: fc.integer({ min: 1, max: 700 }),
  zeroPoints: fc.tuple(fc.nat(255), fc.nat(255)),
  ratio: fc.constantFrom(1, 1.01, 0.7, -1, 0, 64, -64),
  isPerRow: fc.boolean(),
  change: fc.constantFrom(0, 1, 3, 40, 255),
  seed: fc.nat(2 ** 31 - 1),
});

function generate(source: Source): { block: Omit<ResidualBlock, 'coded'>; target: Uint8Array } {
  const { bits, columns, weights, change } = source;
  let state = source.seed;
  const below = (bound: number) => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return Math.floor((state / 2 ** 32) * bound);
  };
  const most = 2 ** bits - 1;
  const firstColumn = source.firstColumn % columns;
  const rows = Math.ceil((firstColumn + weights) / columns);
  const base = Array.from({ length: weights }, () => below(most + 1));
  const target = base.map((level) => {
    const moved = level + below(2 * change + 1) - change;
    return Math.max(0, Math.min(most, moved));
  });
  const [baseZeroPoint, targetZeroPoint] = source.zeroPoints.map((zero) => zero & most);
  return {
    block: {
      base: pack(base, bits),
      bits,
      baseZeroPoint: baseZeroPoint ?? 0,
      targetZeroPoint: targetZeroPoint ?? 0,
      columns,
      firstColumn,
      weights,
      ratios: Int32Array.from({ length: source.isPerRow ? rows : 1 }, (_, row) =>
        Math.max(-(2 ** 22), Math.min(2 ** 22, Math.round(source.ratio * 65_536) + row)),
      ),
    },
    target: pack(target, bits),
  };
}

function pack(levels: readonly number[], bits: 8 | 4): Uint8Array {
  if (bits === 8) return Uint8Array.from(levels);
  return Uint8Array.from({ length: Math.ceil(levels.length / 2) }, (_, i) => {
    return (levels[2 * i] ?? 0) | ((levels[2 * i + 1] ?? 0) << 4);
  });
}

const sample: Source = {
  bits: 8,
  columns: 64,
  firstColumn: 0,
  weights: 64_000,
  zeroPoints: [128, 127],
  ratio: 1.01,
  isPerRow: true,
  change: 1,
  seed: 5,
};

describe('residuals', () => {
  it('give the target back, here as in the reference', async () => {
    await fc.assert(
      fc.asyncProperty(sourceArbitrary, async (source) => {
        const { block, target } = generate(source);
        const coded = await native.encodeResiduals({ ...block, target });
        expect(await native.decodeResiduals({ ...block, coded })).toEqual(target);
        expect(referenceDecodeResiduals({ ...block, coded })).toEqual(target);
      }),
      { numRuns: 150 },
    );
  });

  it('decode any bytes to the same verdict as the reference, which is mostly no', async () => {
    const verdicts = new Set<string>();
    await fc.assert(
      fc.asyncProperty(sourceArbitrary, fc.uint8Array({ maxLength: 60 }), async (source, coded) => {
        const { block } = generate(source);
        const [here, there] = await Promise.all([
          native.decodeResiduals({ ...block, coded }).catch((error) => error),
          Promise.resolve()
            .then(() => referenceDecodeResiduals({ ...block, coded }))
            .catch((error: unknown) => error),
        ]);
        verdicts.add(here instanceof Error ? 'refused' : 'decoded');
        if (there instanceof CodecError) expect(here).toMatchObject({ code: there.reason });
        else expect(here).toEqual(there);
      }),
      { numRuns: 300 },
    );
    expect(verdicts).toContain('refused');
  });

  it('of equal levels take next to nothing', async () => {
    const { block, target } = generate({ ...sample, ratio: 1, isPerRow: false, change: 0 });
    const same = { ...block, targetZeroPoint: block.baseZeroPoint };
    const coded = await native.encodeResiduals({ ...same, target });
    expect(coded.length).toBeLessThan(sample.weights / 1000);
  });

  it('of one level up or down take about what three equally likely ones must', async () => {
    const { block, target } = generate({ ...sample, ratio: 1, isPerRow: false });
    const same = { ...block, targetZeroPoint: block.baseZeroPoint };
    const coded = await native.encodeResiduals({ ...same, target });
    const bits = (8 * coded.length) / sample.weights;
    expect(bits).toBeGreaterThan(Math.log2(3) - 0.05);
    expect(bits).toBeLessThan(Math.log2(3) * 1.03);
  });

  it('are the same bytes everywhere', async () => {
    const { block, target } = generate(sample);
    const coded = await native.encodeResiduals({ ...block, target });
    const hash = createHash('sha256').update(coded).digest('hex');
    expect({ hash, length: coded.length }).toMatchInlineSnapshot(`
      {
        "hash": "12e747255f87e71850d90802c49b43ea532ed65074b0a074f79d23f583adadf9",
        "length": 23186,
      }
    `);
  });

  it('refuse what does not fit', async () => {
    const { block, target } = generate({ ...sample, weights: 640 });
    const refused = (change: object, field: string) =>
      expect(native.encodeResiduals({ ...block, target, ...change })).rejects.toMatchObject({
        code: 'BadArgument',
        message: expect.stringContaining(field),
      });
    await refused({ bits: 5 }, 'bits');
    await refused({ bits: 4 }, 'base');
    await refused({ baseZeroPoint: 256 }, 'baseZeroPoint');
    await refused({ columns: 0 }, 'columns');
    await refused({ firstColumn: 64 }, 'firstColumn');
    await refused({ weights: 0 }, 'weights');
    await refused({ weights: 2 ** 25 + 1 }, 'weights');
    await refused({ base: block.base.subarray(1) }, 'base');
    await refused({ target: target.subarray(1) }, 'target');
    await refused({ ratios: new Int32Array(9) }, 'ratios');
    await refused({ ratios: Int32Array.of(2 ** 22 + 1) }, 'ratios');
    await refused({ ratios: new Float64Array(1) }, 'ratios');
  });
});

describe('lanes with a code that is given', () => {
  const symbols = generate(sample).target;
  const whole = { symbols, segmentSymbols: 4096, threads: 1 };

  it('give every part of a tensor the bytes that the whole has', async () => {
    const { code, payload, segmentSizes } = await native.encodeLanes(whole);
    const part = symbols.subarray(4096, 3 * 4096);
    const again = await native.encodeLanes({ ...whole, symbols: part, code });
    const [begin = 0, ...rest] = segmentSizes;
    const end = begin + (rest[0] ?? 0) + (rest[1] ?? 0);
    expect(again.payload).toEqual(payload.slice(begin, end));
    expect(again.code).toEqual(code);
  });

  it('refuse a symbol without a code word, and bytes that are no code', async () => {
    const { code } = await native.encodeLanes({ ...whole, symbols: new Uint8Array(256).fill(7) });
    await expect(native.encodeLanes({ ...whole, code })).rejects.toMatchObject({
      code: 'BadCodeTable',
    });
    await expect(native.encodeLanes({ ...whole, code: Uint8Array.of(2) })).rejects.toMatchObject({
      code: 'BadCodeTable',
    });
  });
});
