import { spawnSync } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { resolve } from 'node:path';

const NATIVE = resolve(import.meta.dirname, '../../libs/native');

/** Arguments of make that cross-build for Arm. */
export const FOR_ARM = ['TARGET_ARCH=arm64', 'CXX=aarch64-linux-gnu-g++'] as const;

/**
 * Runs make in libs/native; tests in other processes that do so wait. Gives what it printed.
 * @throws Error with the end of its output when it fails.
 */
export function makeNative(...targets: readonly string[]): string {
  mkdirSync(resolve(NATIVE, 'build'), { recursive: true });
  const command = ['make', '-s', '-j2', '-C', NATIVE, ...targets];
  const run = spawnSync('flock', [resolve(NATIVE, 'build/.lock'), ...command], {
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  if (run.status === 0) return run.stdout;
  throw new Error(
    `${command.join(' ')} failed:\n${run.stdout.slice(-4000)}${run.stderr.slice(-4000)}`,
  );
}
