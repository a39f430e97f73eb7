import { execFileSync } from 'node:child_process';
import { readFile, rm } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { SupervisedProcess } from '../../deploy/private/supervised.process.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { armNode, missingArmTools } from '../support/arm.emulation.ts';
import { FOR_ARM, makeNative } from '../support/native.make.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const COMPILE_MS = 540_000;
const NAMES_ADDON = 'import("@entrofleet/native").then((n) => console.log(n.native.cpu().isa))';

/** Nothing can be found on it, so no compiler either. */
const NO_PATH = 'PATH=/nonexistent';

let folder: string;

beforeAll(async () => {
  makeNative('prebuild-one');
  if (missingArmTools.length === 0) makeNative('prebuild-one', ...FOR_ARM);
  folder = join(await temporaryFolder('package'), 'entrofleet');
  execFileSync('sh', [join(ROOT, 'deploy/package/app.sh'), 'agent', folder]);
}, COMPILE_MS);

/** Runs Node in the package's folder with nothing on PATH. */
const runBare = ([program, ...first]: readonly string[], ...rest: readonly string[]): string =>
  execFileSync(program ?? '', [...first, ...rest], {
    cwd: join(folder, 'apps/agent'),
    encoding: 'utf8',
    env: { PATH: '/nonexistent' },
    stdio: 'pipe',
  });

describe('the package of the agent, on a machine without a compiler', () => {
  test('serves, before it reaches a broker', { timeout: COMPILE_MS }, async () => {
    const port = await freePort();
    const logPath = join(await temporaryFolder('log'), 'agent.log');
    const isReady = () =>
      fetch(`http://127.0.0.1:${port}/healthz`)
        .then((answer) => answer.ok)
        .catch(() => false);
    const agent = new SupervisedProcess({
      name: 'packaged agent',
      command: ['env', NO_PATH, process.execPath, join(folder, 'apps/agent/dist/main.js')],
      environment: {
        ENTROFLEET_DEVICE: 'packaged',
        ENTROFLEET_DATA_DIR: await temporaryFolder('data'),
        // No broker listens there: a node may start before its network does.
        MQTT_URL: `mqtt://127.0.0.1:${await freePort()}`,
        HOST: '127.0.0.1',
        PORT: String(port),
      },
      logPath,
      isReady,
      readyTimeoutMs: 30_000,
      stopTimeoutMs: 15_000,
    });
    onTestFinished(() => agent.kill9());
    await agent.start();
    expect(await isReady()).toBe(true);
    expect(await readFile(logPath, 'utf8')).not.toContain('NativeUnavailable');
  });

  test('has the addon for this processor from its prebuilt one', () => {
    const isa = runBare([process.execPath], '-e', NAMES_ADDON).trim();
    expect(['neon', 'neon-dot', 'portable', 'avx2', 'avx512']).toContain(isa);
  });

  const skipped = missingArmTools.length > 0;
  if (skipped) console.warn(`SKIPPED: the package on Arm: no ${missingArmTools.join(', no ')}`);
  test.skipIf(skipped)('starts on Arm', { timeout: COMPILE_MS }, () => {
    const [emulator, ...rest] = armNode('cortex-a57');
    const path = execFileSync('which', [emulator], { encoding: 'utf8' }).trim();
    expect(runBare([path, ...rest], '-e', NAMES_ADDON).trim()).toBe('neon');
    const version = runBare([path, ...rest], join(folder, 'apps/agent/dist/main.js'), '--version');
    expect(version).toBe(runBare([process.execPath], 'dist/main.js', '--version'));
  });

  test('says how to build the addon where no prebuilt one fits', async () => {
    const prebuilds = join(folder, 'libs/native/prebuilds');
    await rm(prebuilds, { recursive: true });
    expect(() => runBare([process.execPath], 'dist/main.js', '--version')).toThrow(
      `build it with "make -C ${join(folder, 'libs/native')}" (needs g++ and make)`,
    );
  });
});
