import { spawnSync } from 'node:child_process';
import { resolve } from 'node:path';
import { describe, expect, test } from 'vitest';

const NATIVE = resolve(import.meta.dirname, '..');
const COMPILE_AND_RUN_MS = 540_000;

const isInstalled = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;

/** Compiles and runs libs/native/test/kernels_test.cc. */
function runComparisons(target: 'test-native' | 'test-arm'): { lines: string[]; status: unknown } {
  const run = spawnSync('make', ['-s', '-C', NATIVE, target, 'ROUNDS=100'], { encoding: 'utf8' });
  if (run.status !== 0) console.error(run.stdout, run.stderr);
  return { lines: run.stdout.split('\n'), status: run.status };
}

describe('the kernels of every instruction set give what the portable ones give', () => {
  test('on this machine', { timeout: COMPILE_AND_RUN_MS }, () => {
    const { lines, status } = runComparisons('test-native');
    expect(status).toBe(0);
    expect(lines).toContain('portable lanes: 100 rounds agree');
  });

  const missing = ['aarch64-linux-gnu-g++', 'qemu-aarch64'].filter((name) => !isInstalled(name));
  if (missing.length > 0) console.warn(`SKIPPED: kernels of Arm: no ${missing.join(', no ')}`);
  test.skipIf(missing.length > 0)('on Arm, emulated', { timeout: COMPILE_AND_RUN_MS }, () => {
    const { lines, status } = runComparisons('test-arm');
    expect(status).toBe(0);
    expect(lines).toContain('neon lanes: 100 rounds agree');
  });
});
