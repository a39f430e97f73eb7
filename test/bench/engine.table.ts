import { type Spread, spread } from './codec.measurement.ts';
import type { GoalResult, Round } from './engine.goals.ts';
import { runOf } from './engine.goals.ts';
import type { EngineRun } from './engine.variants.ts';

/** Medians over the rounds. */
export interface VariantSummary {
  readonly variant: string;
  readonly prefill128: Spread;
  readonly prefill512: Spread;
  readonly decode: Spread;
  readonly gigabytesPerSecond: Spread;
  readonly weightBytes: number;
  readonly peakRssBytes: number;
  readonly readMs: Spread;
  readonly loadMs: Spread;
  readonly warmLoadMs: Spread;
  readonly firstPrefillMs: Spread;
  readonly firstTokenMs: Spread;
}

/** @param readShare of the weights, that a token takes through the processor. */
export function summarize(
  variant: string,
  rounds: readonly Round[],
  readShare: number,
): VariantSummary {
  const runs = rounds.map((round) => runOf(round, variant));
  const over = (of: (run: EngineRun) => number) => spread(runs.map(of));
  const prefill = (tokens: number) =>
    over((run) => run.prefillTokensPerSecond[tokens] ?? Number.NaN);
  return {
    variant,
    prefill128: prefill(128),
    prefill512: prefill(512),
    decode: over((run) => run.decodeTokensPerSecond),
    gigabytesPerSecond: over(
      (run) => (run.decodeTokensPerSecond * run.weightBytes * readShare) / 1e9,
    ),
    weightBytes: over((run) => run.weightBytes).median,
    peakRssBytes: over((run) => run.peakRssBytes).greatest,
    readMs: over((run) => run.readMs),
    loadMs: over((run) => run.loadMs),
    warmLoadMs: over((run) => run.warmLoadMs),
    firstPrefillMs: over((run) => run.firstPrefillMs),
    firstTokenMs: over((run) => run.firstTokenMs),
  };
}

const NAME_WIDTH = 26;

export function speedTable(summaries: readonly VariantSummary[]): string {
  const head = ['prefill 128', 'prefill 512', 'decode tokens/s', 'GB/s', 'weights', 'peak RSS'];
  const rows = summaries.map((of) => [
    of.variant,
    of.prefill128.median.toFixed(0),
    of.prefill512.median.toFixed(0),
    spreadText(of.decode, 1),
    of.gigabytesPerSecond.median.toFixed(1),
    `${(of.weightBytes / 1e6).toFixed(0)} MB`,
    `${(of.peakRssBytes / 1e6).toFixed(0)} MB`,
  ]);
  return table(['', ...head], rows);
}

export function startTable(summaries: readonly VariantSummary[]): string {
  const head = ['read file', 'load', 'load, file in memory', 'prefill 128', 'first token'];
  const rows = summaries.map((of) =>
    [of.readMs, of.loadMs, of.warmLoadMs, of.firstPrefillMs, of.firstTokenMs].map(({ median }) =>
      median.toFixed(0),
    ),
  );
  return table(
    ['ms', ...head],
    rows.map((row, i) => [summaries[i]?.variant ?? '', ...row]),
  );
}

/** @param isNoisy when other work disturbed the runs so much that nothing can be said. */
export function goalTable(results: readonly GoalResult[], isNoisy: boolean): string {
  const verdict = (met: boolean) => {
    if (isNoisy) return 'not judged';
    return met ? 'met' : 'MISSED';
  };
  const rows = results.map(({ name, ratio, wanted, met }) => [
    name,
    spreadText(ratio, 2),
    'atLeast' in wanted ? `>= ${wanted.atLeast}` : `<= ${wanted.atMost}`,
    verdict(met),
  ]);
  return table(['ratio, of one turn or round', 'median', 'wanted', ''], rows);
}

/** Seconds that the paper prints for phi3-mini on a Jetson P3450 (shared/paper.md). */
const PAPER = {
  columns: ['u8', 'u8 + Huffman', 'u4', 'u4 + Huffman'],
  prefill: ['27.10', '23.17', '9.69', '8.34'],
  perToken: ['0.083', '0.063', '0.062', '0.025'],
  decode: ['-', '6.66', '-', '1.66'],
  firstToken: ['27.18', '29.89', '9.75', '10.03'],
} as const;

/**
 * The paper's table with our figures above its own.
 * @param columns u8, u8 entropy coded, u4, u4 entropy coded.
 */
export function paperTable(columns: readonly VariantSummary[]): string {
  const seconds = (milliseconds: number) => (milliseconds / 1000).toFixed(3);
  const prefillMs = (of: VariantSummary) => (512 * 1000) / of.prefill512.median;
  const row = (name: string, of: (summary: VariantSummary) => number) => [
    name,
    ...columns.map((summary) => seconds(of(summary))),
  ];
  return table(
    ['s', ...PAPER.columns.map((name) => name.replace('Huffman', 'coded'))],
    [
      row('prefill of 512 tokens', prefillMs),
      row('per token', (of) => 1000 / of.decode.median),
      row('decode (load, file in memory)', (of) => of.warmLoadMs.median),
      row('first token (load + prefill)', (of) => of.loadMs.median + prefillMs(of)),
      ['the paper: prefill', ...PAPER.prefill],
      ['the paper: per token', ...PAPER.perToken],
      ['the paper: decode', ...PAPER.decode],
      ['the paper: first token', ...PAPER.firstToken],
    ],
  );
}

function spreadText({ median, least, greatest }: Spread, digits: number): string {
  const [m, l, g] = [median, least, greatest].map((value) => value.toFixed(digits));
  return `${m} (${l}-${g})`;
}

/** The first column flush left, the others flush right. */
export function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [head, ...rows];
  const widths = head.map((_, i) => Math.max(...all.map((row) => row[i]?.length ?? 0)));
  const lines = all.map((row) =>
    row.map((cell, i) =>
      i === 0
        ? cell.padEnd(Math.max(NAME_WIDTH, widths[i] ?? 0))
        : cell.padStart((widths[i] ?? 0) + 2),
    ),
  );
  return lines.map((cells) => cells.join('').trimEnd()).join('\n');
}
