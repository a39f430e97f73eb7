import { expect, test } from 'vitest';
import { type BenchFigures, benchSummary, benchText, percentile } from './bench.text.ts';

const FIGURES: BenchFigures = {
  path: 'm',
  threads: 2,
  isa: 'avx2',
  loadMs: 12,
  weightBytes: 15e6,
  bytesPerToken: 10e6,
  residency: null,
  firstToken: { promptTokens: 128, prefillMs: 30.4, sinceStartMs: 99.6 },
  prefill: [{ tokens: 128, tokensPerSecond: [900, 1100, 1000] }],
  decode: {
    tokens: 2,
    repetitionsMs: [
      [10, 10],
      [4, 6],
      [20, 20],
    ],
  },
  peakRssBytes: 80e6,
};

test('percentiles are of the nearest rank', () => {
  const values = [5, 1, 4, 2, 3];
  expect(percentile(values, 0.5)).toBe(3);
  expect(percentile(values, 0.95)).toBe(5);
  expect(percentile([7], 0.5)).toBe(7);
});

test('a summary has medians of the repetitions and percentiles of all tokens', () => {
  const { prefill, decode } = benchSummary(FIGURES);
  expect(prefill).toEqual([
    { tokens: 128, tokensPerSecond: { median: 1000, least: 900, greatest: 1100 } },
  ]);
  expect(decode).toEqual({
    tokens: 2,
    tokensPerSecond: { median: 100, least: 50, greatest: 200 },
    gigabytesPerSecond: 1,
    p50Ms: 10,
    p95Ms: 20,
  });
});

test('every figure has its line', () => {
  expect(benchText(benchSummary(FIGURES)).split('\n')).toEqual([
    'model        m (15.0 MB of weights)',
    'threads      2, avx2',
    'load         12 ms',
    'first token  100 ms after the start, of them 30 ms for 128 tokens of prompt',
    'prefill 128  1000.0 (900.0-1100.0) tokens/s',
    'decode 2     100.0 (50.0-200.0) tokens/s, p50 10.00 ms, p95 20.00 ms, 1.0 GB/s',
    'peak RSS     80.0 MB',
    '',
  ]);
});

test('how matrices are held is told where it was chosen', () => {
  const text = benchText(benchSummary({ ...FIGURES, residency: '12 window, 3 coded' }));
  expect(text).toContain('\nheld as      12 window, 3 coded\n');
});

test('without repetitions there is the first token only', () => {
  const prefill = [{ tokens: 128, tokensPerSecond: [] }];
  const summary = benchSummary({ ...FIGURES, prefill, decode: { tokens: 2, repetitionsMs: [] } });
  expect(summary.prefill).toEqual([]);
  expect(summary.decode).toBeUndefined();
  const text = benchText(summary);
  expect(text).toContain('first token');
  expect(text).not.toContain('decode');
});
