import { spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { describe, expect, onTestFinished, test } from 'vitest';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { SupervisedProcess } from '../../deploy/private/supervised.process.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { runStage, stagesOf, wordsOf } from '../support/dockerfile.ts';
import { makeNative } from '../support/native.make.ts';
import { startMosquitto, startRedis } from '../support/services.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const BUILD_MS = 540_000;
const TARGETARCH = process.arch === 'x64' ? 'amd64' : 'arm64';
const REAL_NPM = join(dirname(process.execPath), 'npm');

/**
 * Stands before the real programs: Debian packages are not installed on this machine, and what
 * `npm ci` would fetch is what this checkout has, because the lock file is the same.
 */
const STAND_INS = {
  'apt-get': `#!/bin/sh
[ "$1" = update ] || [ -z "$(ls /var/lib/apt/lists/*Packages* 2>/dev/null)" ] ||
  exec /usr/bin/apt-get --simulate "$@"`,
  npm: `#!/bin/sh
[ "$*" = ci ] || exec '${REAL_NPM}' "$@"
cmp package-lock.json '${ROOT}/package-lock.json'
cd '${ROOT}'
find . -name node_modules -prune -not -path './.*' -print | while read -r folder; do
  mkdir -p "$OLDPWD/$(dirname "$folder")"
  cp -al "$folder" "$OLDPWD/$folder" 2>/dev/null || cp -a "$folder" "$OLDPWD/$folder"
done`,
} as const;

async function environment(): Promise<Record<string, string>> {
  const folder = await temporaryFolder('stand-ins');
  for (const [name, script] of Object.entries(STAND_INS)) {
    writeFileSync(join(folder, name), script, { mode: 0o755 });
  }
  const path = [folder, dirname(process.execPath), '/usr/bin:/bin:/usr/sbin:/sbin'].join(':');
  return { PATH: path, HOME: folder, TARGETARCH };
}

/** Its migrations lie where it looks for them. */
async function isMigrated(port: string): Promise<boolean> {
  const answer = await fetch(`http://127.0.0.1:${port}/readyz`).catch(() => undefined);
  return answer?.ok === true;
}

describe.each(['controller', 'agent'] as const)('the image of the %s', (app) => {
  const stages = stagesOf(readFileSync(join(ROOT, `deploy/docker/${app}.Dockerfile`), 'utf8'));
  const [build = [], final = []] = stages;

  test('is built by its steps from what they copy, and runs', { timeout: BUILD_MS }, async () => {
    expect(stages).toHaveLength(2);
    // given the addon's object files, so that the kernels are not compiled once more
    makeNative('prebuild-one');
    const imageRoot = await temporaryFolder('image');
    const native = join(imageRoot, 'opt/entrofleet/libs/native');
    mkdirSync(native, { recursive: true });
    const options = { recursive: true, preserveTimestamps: true };
    cpSync(join(ROOT, 'libs/native/build'), join(native, 'build'), options);
    // when the steps are carried out
    runStage(build, { context: ROOT, imageRoot, environment: await environment() });
    // then what the final stage copies is there
    for (const { rest } of final.filter(({ keyword }) => keyword === 'COPY')) {
      const source = rest.split(' ').find((word) => word.startsWith('/')) ?? '';
      expect(existsSync(join(imageRoot, source))).toBe(true);
    }
    const image = join(imageRoot, 'opt/image');
    // and it runs, with nothing of this checkout and no compiler
    const [, ...entry] = wordsOf(final, 'ENTRYPOINT');
    const help = spawnSync(process.execPath, [...entry, '--help'], {
      ...{ cwd: image, encoding: 'utf8', env: { PATH: '/nonexistent' } },
    });
    expect(help).toMatchObject({ status: 0, stderr: '' });
    expect(help.stdout).toContain('MQTT_URL');
    expectPartsListed(image);
    await expectHealthTold(image, entry);
  });

  function expectPartsListed(image: string): void {
    const { bomFormat, components } = JSON.parse(
      readFileSync(join(image, 'sbom.cdx.json'), 'utf8'),
    );
    expect(bomFormat).toBe('CycloneDX');
    const parts = new Map<string, string>(
      components.map((part: { purl: string; version: string }) => [part.purl, part.version]),
    );
    const mqtt = JSON.parse(readFileSync(join(image, 'node_modules/mqtt/package.json'), 'utf8'));
    expect(parts.get(`pkg:npm/mqtt@${mqtt.version}`)).toBe(mqtt.version);
    // Nothing of what only builds and tests is shipped or listed.
    for (const name of ['vitest', 'typescript']) {
      expect([...parts.keys()].filter((purl) => purl.startsWith(`pkg:npm/${name}@`))).toEqual([]);
      expect(existsSync(join(image, 'node_modules', name))).toBe(false);
    }
  }

  async function expectHealthTold(image: string, entry: readonly string[]): Promise<void> {
    const port = String(await freePort());
    const [, ...check] = wordsOf(final, 'HEALTHCHECK');
    const isHealthy = () =>
      spawnSync(process.execPath, check, { env: { PORT: port } }).status === 0;
    expect(isHealthy()).toBe(false);
    const [redis, broker] = await Promise.all([startRedis(), startMosquitto()]);
    const program = new SupervisedProcess({
      name: `${app} of the image`,
      command: [process.execPath, ...entry.map((w) => (w.endsWith('.js') ? join(image, w) : w))],
      environment: {
        ...{ PORT: port, HOST: '127.0.0.1', ENTROFLEET_DEVICE: 'imaged' },
        ENTROFLEET_DATA_DIR: await temporaryFolder('data'),
        ...{ MQTT_URL: broker.url, REDIS_URL: redis.url, DATABASE_URL: '' },
      },
      logPath: join(await temporaryFolder('log'), 'log'),
      isReady: async () => isHealthy() && (app === 'agent' || (await isMigrated(port))),
      readyTimeoutMs: 90_000,
      stopTimeoutMs: 15_000,
    });
    onTestFinished(() => program.kill9());
    await program.start();
    await program.stop();
    expect(isHealthy()).toBe(false);
  }

  test('runs as a user that is not root, and tells its health', () => {
    const [user = ''] = final.filter((i) => i.keyword === 'USER').map((i) => i.rest);
    expect(user).toMatch(/^[1-9]\d+:[1-9]\d+$/);
    expect(wordsOf(final, 'HEALTHCHECK')[0]).toBe('node');
    const keywords = final.map(({ keyword }) => keyword);
    expect(keywords.indexOf('ENTRYPOINT')).toBeGreaterThan(keywords.indexOf('USER'));
    // The final stage runs nothing, so none of it needs the other processor emulated.
    expect(keywords).not.toContain('RUN');
  });
});
