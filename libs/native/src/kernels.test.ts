import { describe, expect, test } from 'vitest';
import { missingArmTools } from '../../../test/support/arm.emulation.ts';
import { makeNative } from '../../../test/support/native.make.ts';

const COMPILE_AND_RUN_MS = 540_000;

/** Compiles and runs libs/native/test/kernels_test.cc; it fails when any comparison does. */
const runComparisons = (target: 'test-native' | 'test-arm'): string[] =>
  makeNative(target, 'ROUNDS=100').split('\n');

describe('the kernels of every instruction set give what the portable ones give', () => {
  test('on this machine', { timeout: COMPILE_AND_RUN_MS }, () => {
    expect(runComparisons('test-native')).toContain('portable lanes: 100 rounds agree');
  });

  const missing = missingArmTools.filter((name) => name !== 'Node for arm64');
  if (missing.length > 0) console.warn(`SKIPPED: kernels of Arm: no ${missing.join(', no ')}`);
  test.skipIf(missing.length > 0)('on Arm, emulated', { timeout: COMPILE_AND_RUN_MS }, () => {
    const lines = runComparisons('test-arm');
    expect(lines).toContain('neon lanes: 100 rounds agree');
    expect(lines).toContain('neon-dot lanes: 100 rounds agree');
  });
});
