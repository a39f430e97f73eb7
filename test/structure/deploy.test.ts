import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { OPTION_NAMES, ROOT } from './option.names.ts';

const deploy = (path: string): string => readFileSync(join(ROOT, 'deploy', path), 'utf8');

describe.each(['controller', 'agent'] as const)('the systemd unit of the %s', (app) => {
  const unit = deploy(`systemd/entrofleet-${app}.service`);

  const hasSystemd = spawnSync('systemd-analyze', ['--version']).status === 0;
  if (!hasSystemd) console.warn(`SKIPPED: systemd-analyze verify of the ${app}: not installed`);
  test.skipIf(!hasSystemd)('passes systemd-analyze verify', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'entrofleet-unit-'));
    try {
      const path = join(folder, `entrofleet-${app}.service`);
      await writeFile(path, unit);
      const { stderr, status } = spawnSync('systemd-analyze', ['verify', path], {
        encoding: 'utf8',
      });
      const about = stderr.split('\n').filter((line) => line.includes(`entrofleet-${app}`));
      expect({ about, status }).toEqual({ about: [], status: 0 });
    } finally {
      await rm(folder, { recursive: true });
    }
  });

  test('starts the program of this repository, and starts it again when it fails', () => {
    expect(unit).toContain(`/opt/entrofleet/apps/${app}/dist/main.js`);
    expect(existsSync(join(ROOT, `apps/${app}/src/main.ts`))).toBe(true);
    expect(unit).toMatch(/^Restart=on-failure$/m);
    expect(unit).toMatch(/^EnvironmentFile=\/etc\/entrofleet\//m);
  });

  test('is sandboxed', () => {
    for (const setting of [
      app === 'agent' ? 'User=entrofleet-agent' : 'DynamicUser=yes',
      'NoNewPrivileges=yes',
      'ProtectSystem=strict',
      'ProtectHome=yes',
      'CapabilityBoundingSet=',
      'SystemCallFilter=@system-service',
    ]) {
      expect(unit.split('\n')).toContain(setting);
    }
  });

  const scores = spawnSync('systemd-analyze', ['security', '--help'], { encoding: 'utf8' });
  const canScore = scores.stdout?.includes('--offline') === true;
  if (!canScore) console.warn(`SKIPPED: the score of the ${app}'s unit: no systemd 250 or newer`);
  test.skipIf(!canScore)('has a score of at most 2, and the one it states for this systemd', () => {
    const path = join(ROOT, `deploy/systemd/entrofleet-${app}.service`);
    const { stdout } = spawnSync('systemd-analyze', ['security', '--offline=true', path], {
      encoding: 'utf8',
    });
    const score = /Overall exposure level for \S+: ([\d.]+)/.exec(stdout)?.[1];
    expect(Number(score)).toBeLessThanOrEqual(2);
    const [, stated, version] = /It scores ([\d.]+) .* in systemd (\d+):/.exec(unit) ?? [];
    const { stdout: about } = spawnSync('systemd-analyze', ['--version'], { encoding: 'utf8' });
    if (about.startsWith(`systemd ${version} `)) expect(score).toBe(stated);
  });

  test('and its example file name options that exist', () => {
    const named = `${unit}\n${deploy(`systemd/${app}.env`)}`;
    const names = [...named.matchAll(/^(?:Environment=|#)?([A-Z][A-Z0-9_]{3,})=/gm)].map(
      (m) => m[1],
    );
    expect(names.length).toBeGreaterThan(2);
    for (const name of names) expect(OPTION_NAMES[app]).toContain(name);
  });
});

describe('the compose file', () => {
  const compose = parse(deploy('compose/compose.yaml'));

  test('has the controller, what it needs, and an agent', () => {
    expect(Object.keys(compose.services).sort()).toEqual(
      ['agent', 'controller', 'mosquitto', 'postgres', 'redis'].sort(),
    );
  });

  test('publishes ports on loopback only', () => {
    for (const service of Object.values(compose.services)) {
      const { ports = [] } = Object(service);
      for (const port of ports) expect(port).toMatch(/^127\.0\.0\.1:/);
    }
  });

  test.each(['controller', 'agent'] as const)('sets only options that the %s has', (app) => {
    const names = Object.keys(compose.services[app].environment);
    expect(names).toContain('MQTT_URL');
    for (const name of names) expect(OPTION_NAMES[app]).toContain(name);
  });

  test('builds from files that exist', () => {
    for (const app of ['controller', 'agent']) {
      expect(existsSync(join(ROOT, compose.services[app].build.dockerfile))).toBe(true);
    }
    expect(existsSync(join(ROOT, 'deploy/mosquitto/compose.conf'))).toBe(true);
  });
});

test('every broker configuration has the same limits', () => {
  const limits = [
    deploy('mosquitto/mosquitto.conf'),
    deploy('mosquitto/compose.conf'),
    readFileSync(join(ROOT, 'charts/entrofleet/files/mosquitto.conf'), 'utf8'),
  ].map((text) => text.split('\n').filter((line) => line.startsWith('max_')));
  expect(limits[0]).toHaveLength(3);
  expect(limits[1]).toEqual(limits[0]);
  expect(limits[2]).toEqual(limits[0]);
});

test('every image knows all packages of the workspace', () => {
  for (const app of ['controller', 'agent']) {
    const dockerfile = deploy(`docker/${app}.Dockerfile`);
    const { references } = JSON.parse(readFileSync(join(ROOT, 'tsconfig.json'), 'utf8'));
    for (const { path } of references) expect(dockerfile).toContain(`COPY ${path}/package.json`);
  }
});
