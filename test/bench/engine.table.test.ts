import { expect, it } from 'vitest';
import { goalTable, paperTable, speedTable, summarize, table } from './engine.table.ts';
import type { EngineRun } from './engine.variants.ts';

function runs(decodes: readonly number[]): Map<string, EngineRun>[] {
  return decodes.map((decodeTokensPerSecond) => {
    const run = {
      variant: 'u8',
      ...{ readMs: 400, loadMs: 500, warmLoadMs: 300, firstTokenMs: 1500, firstPrefillMs: 800 },
      prefillTokensPerSecond: { 128: 100, 512: 256 },
      decodeTokensPerSecond,
      weightBytes: 1e9,
      peakRssBytes: 1.2e9,
      othersShare: 0,
    };
    return new Map([['u8', run]]);
  });
}

it('speeds are medians, and bandwidth counts the weights that are read', () => {
  const summary = summarize('u8', runs([10, 30, 20]), 0.9);
  expect(summary.decode).toEqual({ median: 20, least: 10, greatest: 30 });
  expect(summary.gigabytesPerSecond.median).toBe(18);
  const [, line] = speedTable([summary]).split('\n');
  expect(line?.split(/\s{2,}/)).toEqual([
    'u8',
    '100',
    '256',
    '20.0 (10.0-30.0)',
    '18.0',
    '1000 MB',
    '1200 MB',
  ]);
});

it("ours stand above the paper's seconds", () => {
  const summary = summarize('u8', runs([20]), 1);
  const lines = paperTable([summary, summary, summary, summary])
    .split('\n')
    .map((line) => line.split(/\s{2,}/));
  expect(lines[0]).toEqual(['s', 'u8', 'u8 + coded', 'u4', 'u4 + coded']);
  expect(lines.slice(1, 5).map((cells) => cells[1])).toEqual(['2.000', '0.050', '0.300', '2.500']);
  expect(lines.at(-1)).toEqual(['the paper: first token', '27.18', '29.89', '9.75', '10.03']);
});

it('goals that are missed stand out', () => {
  const ratio = { median: 1.1, least: 1, greatest: 1.2 };
  const goal = { name: 'decode: a / b', ratio, wanted: { atLeast: 1.2 }, met: false };
  expect(
    goalTable([goal], false)
      .split('\n')[1]
      ?.split(/\s{2,}/),
  ).toEqual(['decode: a / b', '1.10 (1.00-1.20)', '>= 1.2', 'MISSED']);
});

it('nothing is judged on a busy machine', () => {
  const ratio = { median: 5, least: 5, greatest: 5 };
  const goal = { name: 'decode: a / b', ratio, wanted: { atLeast: 1.2 }, met: true };
  expect(goalTable([goal], true)).toMatch(/not judged$/);
});

it('columns are as wide as their widest cell', () => {
  expect(table(['a', 'b'], [['c', 'long']])).toBe(
    `${'a'.padEnd(26)}     b\n${'c'.padEnd(26)}  long`,
  );
});
