import { expect, test } from 'vitest';
import { benchText, percentile } from './bench.text.ts';

test('percentiles are of the nearest rank', () => {
  const values = [5, 1, 4, 2, 3];
  expect(percentile(values, 0.5)).toBe(3);
  expect(percentile(values, 0.95)).toBe(5);
  expect(percentile([7], 0.5)).toBe(7);
});

test('every figure has its line', () => {
  const text = benchText({
    path: 'm',
    threads: 2,
    isa: 'avx2',
    loadMs: 12,
    weightBytes: 15e6,
    prefill: [{ tokens: 128, tokensPerSecond: 1000 }],
    decode: { tokens: 128, tokensPerSecond: 100, p50Ms: 9.5, p95Ms: 11 },
    peakRssBytes: 80e6,
  });
  expect(text).toContain('prefill 128  1000.0 tokens/s');
  expect(text).toContain('decode 128   100.0 tokens/s, p50 9.50 ms, p95 11.00 ms');
  expect(text).toContain('peak RSS     80.0 MB');
});
