import { describe, expect, it } from 'vitest';
import { compareRows, comparisonText, readExpected } from './golden.comparison.ts';

const rows = [[1, 2, 3]];
const golden = { input_ids: rows[0], argmax: [4, 5, 6], logits_last: [0, 10, -10] };

describe('readExpected', () => {
  it('finds what a file expects, of one sequence or of several', () => {
    const one = { argmax: [4, 5, 6], logitsLast: [0, 10, -10] };
    expect(readExpected(golden, { rows, isList: false })).toEqual([one]);
    const lists = { argmax: [[4, 5, 6]], logits_last: [[0, 10, -10]] };
    expect(readExpected(lists, { rows, isList: true })).toEqual([one]);
    expect(readExpected({ argmax: [4, 5, 6] }, { rows, isList: false })).toEqual([
      { argmax: [4, 5, 6], logitsLast: undefined },
    ]);
  });

  it.each([
    [[1, 2, 3]],
    [{ input_ids: [1, 2, 3] }],
    [{ argmax: [1, 2] }],
    [{ argmax: 'all', logits_last: [] }],
    [null],
  ])('expects nothing of %j', (json) => {
    expect(readExpected(json, { rows, isList: false })).toBeUndefined();
  });
});

describe('compareRows', () => {
  const expected = readExpected(golden, { rows, isList: false }) ?? [];
  const compare = (argmax: number[], logitsLast: number[]) =>
    compareRows([{ argmax, logitsLast }], expected);

  it('agrees but for rounding', () => {
    expect(compare([4, 5, 6], [0, 10.001, -10])).toMatchObject({ equal: 3, agrees: true });
    expect(compare([4, 5, 6], [0, 10.1, -10])).toMatchObject({ equal: 3, agrees: false });
    expect(compare([4, 5, 7], [0, 10, -10])).toMatchObject({ equal: 2, agrees: false });
    expect(compare([4, 5, 6], [0, 10])).toMatchObject({ agrees: false });
    expect(compare([4, 5, 6], [0, 10, Number.NaN])).toMatchObject({ agrees: false });
  });

  it('is told in a sentence', () => {
    const good = compare([4, 5, 6], [0, 10.25, -10]);
    const bad = compare([4, 5, 7], [0, 10.5, -10]);
    expect(comparisonText({ precision: 'exact', comparison: good })).toBe(
      'golden: argmax equal at 3 of 3 positions, largest difference of last logits 2.5e-1, ' +
        'with exact rotary frequencies',
    );
    expect(comparisonText({ precision: 'bf16', comparison: good }, bad)).toBe(
      'golden: argmax equal at 3 of 3 positions, largest difference of last logits 2.5e-1, ' +
        'with rotary frequencies rounded to bf16; with exact ones argmax equal at 2 of 3 ' +
        'positions, largest difference of last logits 5.0e-1',
    );
  });
});
