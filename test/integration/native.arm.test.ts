import { execFileSync } from 'node:child_process';
import { resolve } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { type ArmProcessor, armNode, missingArmTools } from '../support/arm.emulation.ts';
import { FOR_ARM, makeNative } from '../support/native.make.ts';
import type { IsaResults, NativeResults } from '../support/native.results.ts';

const PROGRAM = resolve(import.meta.dirname, '../support/native.results.ts');
const COMPILE_MS = 540_000;
/**
 * Floats are summed in another order where vectors have another width. Quantized weights turn what
 * that changes into whole steps of 15-bit activations, now and then.
 */
const LARGEST_DEVIATIONS: Readonly<Record<string, number>> = { f32: 2e-5, u8: 2e-3, u4: 2e-3 };

function resultsOf([program, ...first]: readonly [string, ...string[]]): NativeResults {
  const text = execFileSync(program, [...first, '--conditions=entrofleet-source', PROGRAM], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  return JSON.parse(text);
}

/** Largest difference in units of the expected values' standard deviation. */
function deviation(use: { actual: readonly number[]; expected: readonly number[] }): number {
  const { actual, expected } = use;
  expect(actual).toHaveLength(expected.length);
  const mean = expected.reduce((sum, x) => sum + x, 0) / expected.length;
  const variance = expected.reduce((sum, x) => sum + (x - mean) ** 2, 0) / expected.length;
  return (
    Math.max(...expected.map((x, i) => Math.abs(x - (actual[i] ?? Number.NaN)))) /
    Math.sqrt(variance)
  );
}

function expectSame(actual: IsaResults, expected: IsaResults): void {
  expect(actual.exact).toEqual(expected.exact);
  for (const [format, logits] of Object.entries(expected.logits)) {
    const own = actual.logits[format] ?? [];
    const largest = LARGEST_DEVIATIONS[format] ?? 0;
    expect(deviation({ actual: own, expected: logits }), format).toBeLessThan(largest);
  }
}

const skipped = missingArmTools.length > 0;
if (skipped) console.warn(`SKIPPED: the addon on Arm: no ${missingArmTools.join(', no ')}`);

describe.skipIf(skipped)('the cross-built addon computes on Arm what it computes here', () => {
  let here: NativeResults;
  beforeAll(() => {
    makeNative(...FOR_ARM);
    here = resultsOf([process.execPath]);
  }, COMPILE_MS);

  test.each<[ArmProcessor, string[]]>([
    ['cortex-a57', ['portable', 'neon']],
    ['max', ['portable', 'neon', 'neon-dot']],
  ])('%s', (processor, isas) => {
    const there = resultsOf(armNode(processor));
    expect(there.arch).toBe('arm64');
    expect(there.isas.map(({ isa }) => isa)).toEqual(isas);
    const [expected] = here.isas;
    if (expected === undefined) throw new Error('there are no results of this machine');
    for (const actual of there.isas) expectSame(actual, expected);
  });
});
