import type { RotaryPrecision } from '@entrofleet/engine';

/** Of one sequence: the likeliest token at every position, and the logits of the last one. */
export interface RowLogits {
  readonly argmax: readonly number[];
  readonly logitsLast: readonly number[];
}

/** What a file of token ids says about its outputs; what it does not say is undefined. */
export interface ExpectedRow {
  readonly argmax: readonly number[] | undefined;
  readonly logitsLast: readonly number[] | undefined;
}

export interface Comparison {
  readonly positions: number;
  /** Positions whose likeliest token is the expected one. */
  readonly equal: number;
  /** Of the last logits; null when none are expected. */
  readonly largestDifference: number | null;
  /** All positions agree, and the last logits but for rounding in float32. */
  readonly agrees: boolean;
}

/** Float32 sums in another order differ by some 1e-5 of the logits' spread; real faults by more. */
const TOLERANCE = 1e-3;

/**
 * Reads `argmax` and `logits_last` beside `input_ids`: one list each, or one for each sequence.
 * @returns undefined when the file expects nothing, or it does not fit the sequences.
 */
export function readExpected(
  json: unknown,
  { rows, isList }: { rows: readonly (readonly number[])[]; isList: boolean },
): ExpectedRow[] | undefined {
  const { argmax, logits_last } = Object(json) as { argmax?: unknown; logits_last?: unknown };
  const lists = isList ? { argmax, logits_last } : { argmax: [argmax], logits_last: [logits_last] };
  const expected = rows.map((row, i) => {
    const positions = numbersAt(lists.argmax, i);
    return {
      argmax: positions?.length === row.length ? positions : undefined,
      logitsLast: numbersAt(lists.logits_last, i),
    };
  });
  const isAnything = expected.some(
    (row) => row.argmax !== undefined || row.logitsLast !== undefined,
  );
  return isAnything ? expected : undefined;
}

function numbersAt(lists: unknown, index: number): number[] | undefined {
  const list: unknown = Array.isArray(lists) ? lists[index] : undefined;
  if (!Array.isArray(list) || list.length === 0) return undefined;
  return list.every((value) => typeof value === 'number') ? list : undefined;
}

export function compareRows(
  actual: readonly RowLogits[],
  expected: readonly ExpectedRow[],
): Comparison {
  let positions = 0;
  let equal = 0;
  let largestDifference: number | null = null;
  let isClose = true;
  for (const [i, { argmax, logitsLast }] of expected.entries()) {
    const row = actual[i] ?? { argmax: [], logitsLast: [] };
    positions += argmax?.length ?? 0;
    equal += argmax?.filter((token, at) => token === row.argmax[at]).length ?? 0;
    if (logitsLast === undefined) continue;
    const difference = largestOf(logitsLast, row.logitsLast);
    largestDifference = Math.max(largestDifference ?? 0, difference);
    isClose &&= difference <= TOLERANCE * deviationOf(logitsLast);
  }
  return { positions, equal, largestDifference, agrees: equal === positions && isClose };
}

/** One sentence: what was compared and found with the frequencies in use, and with the others. */
export function comparisonText(
  used: { precision: RotaryPrecision; comparison: Comparison },
  other?: Comparison,
): string {
  const names = {
    exact: 'with exact rotary frequencies',
    bf16: 'with rotary frequencies rounded to bf16',
  };
  const found = `golden: ${findings(used.comparison)}, ${names[used.precision]}`;
  if (other === undefined) return found;
  const ones = used.precision === 'bf16' ? 'with exact ones' : 'rounded to bf16';
  return `${found}; ${ones} ${findings(other)}`;
}

function findings({ positions, equal, largestDifference }: Comparison): string {
  const parts = [
    ...(positions === 0 ? [] : [`argmax equal at ${equal} of ${positions} positions`]),
    ...(largestDifference === null
      ? []
      : [`largest difference of last logits ${largestDifference.toExponential(1)}`]),
  ];
  return parts.join(', ');
}

function largestOf(expected: readonly number[], actual: readonly number[]): number {
  if (expected.length !== actual.length) return Number.POSITIVE_INFINITY;
  const differenceAt = (value: number, i: number) => Math.abs(value - (actual[i] ?? Number.NaN));
  return expected.reduce((most, value, i) => Math.max(most, differenceAt(value, i)), 0);
}

function deviationOf(values: readonly number[]): number {
  const mean = values.reduce((sum, value) => sum + value, 0) / values.length;
  return Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
}
