import { describe, expect, it } from 'vitest';
import { decodeGoals, decodeResult, engineGoals, goalResult, type Round } from './engine.goals.ts';
import type { EngineRun } from './engine.variants.ts';

const RUN: EngineRun = {
  variant: '',
  readMs: 400,
  loadMs: 500,
  warmLoadMs: 300,
  firstTokenMs: 1500,
  firstPrefillMs: 800,
  prefillTokensPerSecond: { 128: 150, 512: 200 },
  decodeTokensPerSecond: 30,
  weightBytes: 1e9,
  peakRssBytes: 1.2e9,
  othersShare: 0,
};
const NAMES = {
  ...{ coded8: 'u8 coded', plain8: 'u8 plain', coded4: 'rd', peer8: 'Q8_0', peer4: 'Q4_0' },
  paper4: [{ coded: 'u4 coded', plain: 'u4 plain' }],
};

function round(runs: Readonly<Record<string, Partial<EngineRun>>>): Round {
  const names = ['u8 coded', 'u8 plain', 'rd', 'Q8_0', 'Q4_0', 'u4 coded', 'u4 plain'];
  return new Map(names.map((name) => [name, { ...RUN, variant: name, ...runs[name] }]));
}

describe('goals', () => {
  it('of decoding are medians of the ratios of turns, not ratios of medians', () => {
    const [goal] = decodeGoals(NAMES, false);
    const turns = [
      [40, 20],
      [13, 10],
      [11, 10],
    ] as const;
    expect(goal && decodeResult(goal, turns)).toEqual({
      name: 'decode: u8 coded / u8 plain',
      ratio: { median: 1.3, least: 1.1, greatest: 2 },
      wanted: { atLeast: 1.2 },
      met: true,
    });
    expect(goal && decodeResult(goal, [[11.9, 10]]).met).toBe(false);
  });

  it('of the first token are upper bounds', () => {
    const results = engineGoals(NAMES, false)
      .filter(({ name }) => name.startsWith('first token'))
      .map((goal) => goalResult(goal, [round({ rd: { firstTokenMs: 1200 } })]));
    expect(results.map(({ ratio, met }) => [ratio.median, met])).toEqual([
      [1.25, false],
      [1, true],
    ]);
  });

  it('against the peer are there only when it was measured', () => {
    const rounds = [round({ Q4_0: { prefillTokensPerSecond: { 512: 251 } } })];
    const results = engineGoals(NAMES, true).map((goal) => goalResult(goal, rounds));
    expect(
      results.filter(({ name }) => name.includes('Q')).map(({ name, met }) => [name, met]),
    ).toEqual([
      ['prefill 512: u8 coded / Q8_0', true],
      ['prefill 512: rd / Q4_0', false],
    ]);
    expect(engineGoals(NAMES, false).some(({ name }) => name.includes('Q'))).toBe(false);
    expect(decodeGoals(NAMES, true).map(({ other }) => other)).toContain('Q4_0');
    expect(decodeGoals(NAMES, false).some(({ other }) => other.includes('Q'))).toBe(false);
  });
});
