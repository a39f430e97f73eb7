import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';

const ROOT = resolve(import.meta.dirname, '../..');
const NODE = resolve(ROOT, '.cache/node-arm64/bin/node');
/** Where Debian's cross-compiler keeps glibc and its friends for arm64. */
const SYSTEM_ROOT = '/usr/aarch64-linux-gnu';

const isInstalled = (program: string): boolean =>
  spawnSync(program, ['--version'], { stdio: 'ignore' }).status === 0;

/** What `deploy/bootstrap/arm.sh` brings and is not there. */
export const missingArmTools: readonly string[] = [
  ...['aarch64-linux-gnu-g++', 'qemu-aarch64'].filter((name) => !isInstalled(name)),
  ...(existsSync(NODE) ? [] : ['Node for arm64']),
];

/** cortex-a57 has no dot product instructions; max has all that the emulator knows. */
export type ArmProcessor = 'cortex-a57' | 'max';

/** Program and first arguments that run Node for arm64 in the emulator. */
export const armNode = (processor: ArmProcessor): [string, ...string[]] => [
  'qemu-aarch64',
  '-L',
  SYSTEM_ROOT,
  '-cpu',
  processor,
  NODE,
];
