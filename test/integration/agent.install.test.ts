import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import {
  appendFile,
  chmod,
  cp,
  mkdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { makeNative } from '../support/native.make.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const COMPILE_MS = 540_000;
const DEBIAN = 'ID=debian\nVERSION_ID="12"\n';
const JETPACK = 'ID=ubuntu\nID_LIKE=debian\nVERSION_ID="22.04"\n';

const missing = ['systemctl', 'systemd-sysusers'].filter(
  (tool) => spawnSync(tool, ['--version']).status !== 0,
);
if (process.getuid?.() !== 0) missing.push('root');
if (missing.length > 0) console.warn(`SKIPPED: installing the agent: no ${missing.join(', no ')}`);

/** The package, once for all tests: they must not change it. */
let unpacked: string;
/** Of a system that does not run. */
let root: string;

beforeAll(async () => {
  if (missing.length > 0) return;
  makeNative('prebuild-one');
  unpacked = join(await temporaryFolder('package'), 'entrofleet');
  execFileSync('sh', [join(ROOT, 'deploy/package/app.sh'), 'agent', unpacked]);
}, COMPILE_MS);

beforeEach(async () => {
  root = await temporaryFolder('root');
  await system(DEBIAN);
});

async function system(release: string): Promise<void> {
  await Promise.all(['etc', 'opt', 'usr/bin'].map((f) => mkdir(at(f), { recursive: true })));
  await writeFile(at('etc/os-release'), release);
  await rm(at('usr/bin/node'), { force: true });
  await symlink(process.execPath, at('usr/bin/node'));
}

function at(path: string): string {
  return join(root, path);
}

function installer(...options: string[]) {
  const script = join(unpacked, 'deploy/install-agent.sh');
  const run = spawnSync('sh', [script, '--root', root, ...options], { encoding: 'utf8' });
  return { status: run.status, said: run.stdout, complained: run.stderr };
}

const users = (): Promise<string> => readFile(at('etc/passwd'), 'utf8').catch(() => '');
const modeOf = async (path: string): Promise<number> => (await stat(at(path))).mode & 0o777;
const ENABLED = 'etc/systemd/system/multi-user.target.wants/entrofleet-agent.service';

describe.skipIf(missing.length > 0)('the installer of the agent', () => {
  test('puts program, unit, user and settings in place', async () => {
    expect(installer().status).toBe(0);
    const version = [at('opt/entrofleet/apps/agent/dist/main.js'), '--version'];
    expect(execFileSync(process.execPath, version, { encoding: 'utf8' })).toMatch(
      /^\d+\.\d+\.\d+$/m,
    );
    expect(await readFile(at('etc/systemd/system/entrofleet-agent.service'), 'utf8')).toBe(
      await readFile(join(ROOT, 'deploy/systemd/entrofleet-agent.service'), 'utf8'),
    );
    expect(linkIsThere(ENABLED)).toBe(true);
    expect(await users()).toMatch(
      /^entrofleet-agent:x:\d+:\d+:.*:\/var\/lib\/entrofleet-agent:.*nologin$/m,
    );
    expect(await modeOf('etc/entrofleet/agent.env')).toBe(0o600);
    expect((await stat(at('opt/entrofleet'))).uid).toBe(0);
  });

  test('run again, upgrades: settings and data stay, what is no longer part goes', async () => {
    installer();
    await appendFile(at('etc/entrofleet/agent.env'), 'ENTROFLEET_DEVICE=mine\n');
    await mkdir(at('var/lib/entrofleet-agent'), { recursive: true });
    await writeFile(at('var/lib/entrofleet-agent/model'), 'weights');
    await writeFile(at('opt/entrofleet/apps/agent/dist/gone.js'), '');
    const accounts = await users();
    expect(installer()).toMatchObject({ status: 0, said: expect.stringContaining('upgraded') });
    expect(await readFile(at('etc/entrofleet/agent.env'), 'utf8')).toContain('DEVICE=mine');
    expect(existsSync(at('var/lib/entrofleet-agent/model'))).toBe(true);
    expect(existsSync(at('opt/entrofleet/apps/agent/dist/gone.js'))).toBe(false);
    expect(existsSync(at('opt/entrofleet.old'))).toBe(false);
    expect(await users()).toBe(accounts);
  });

  test('a dry run says what it would do and changes nothing', async () => {
    const before = listing();
    const run = installer('--dry-run');
    expect(run).toMatchObject({ status: 0, complained: '' });
    expect(run.said).toContain(`would run: mv ${at('opt/entrofleet.new')} ${at('opt/entrofleet')}`);
    expect(listing()).toBe(before);
  });

  test('uninstalling keeps settings and models, purging takes them and the user', async () => {
    installer();
    await mkdir(at('var/lib/entrofleet-agent'), { recursive: true });
    expect(installer('--uninstall').status).toBe(0);
    for (const gone of ['opt/entrofleet', 'etc/systemd/system/entrofleet-agent.service']) {
      expect(existsSync(at(gone))).toBe(false);
    }
    expect(linkIsThere(ENABLED)).toBe(false);
    expect(existsSync(at('etc/entrofleet/agent.env'))).toBe(true);
    expect(existsSync(at('var/lib/entrofleet-agent'))).toBe(true);
    expect(installer('--uninstall', '--purge')).toMatchObject({ status: 0, complained: '' });
    expect(existsSync(at('etc/entrofleet'))).toBe(false);
    expect(existsSync(at('var/lib/entrofleet-agent'))).toBe(false);
    expect(await users()).not.toContain('entrofleet-agent');
    // and once more there is nothing to do
    expect(installer('--uninstall', '--purge').status).toBe(0);
  });

  test('knows a Jetson', async () => {
    await system(JETPACK);
    await writeFile(at('etc/nv_tegra_release'), '# R36 (release), REVISION: 4.3, GCID: 1\n');
    const run = installer('--dry-run');
    expect(run.said).toContain('NVIDIA Jetson: # R36 (release), REVISION: 4.3');
  });

  describe('refuses, and says why,', () => {
    test('another distribution', async () => {
      await system('ID=fedora\n');
      refuses('needs Debian, Ubuntu or JetPack, this is fedora');
    });

    test('a system without Node', async () => {
      await rm(at('usr/bin/node'));
      refuses('needs Node 22.12 or newer, and there is none; install Node 24');
    });

    test('an old Node', async () => {
      await rm(at('usr/bin/node'));
      await writeFile(
        at('usr/bin/node'),
        '#!/bin/sh\n[ "$1" = --version ] && echo v18.20.4\nexit 1\n',
      );
      await chmod(at('usr/bin/node'), 0o755);
      refuses('node is v18.20.4');
    });

    test('a folder with a controller in it', async () => {
      await mkdir(at('opt/entrofleet/apps/controller'), { recursive: true });
      refuses('holds a controller too');
    });

    test('options that there are not', () => {
      refuses('unknown option --fast', '--fast');
      refuses('--purge goes with --uninstall', '--purge');
    });

    test('a package whose addon does not load', async () => {
      const broken = join(await temporaryFolder('broken'), 'entrofleet');
      await cp(unpacked, broken, { recursive: true, verbatimSymlinks: true });
      await rm(join(broken, 'libs/native/prebuilds'), { recursive: true });
      await mkdir(join(broken, 'libs/native/prebuilds'));
      const script = join(broken, 'deploy/install-agent.sh');
      const run = spawnSync('sh', [script, '--root', root], { encoding: 'utf8' });
      expect(run.stderr).toContain('the agent does not start here');
      expect(existsSync(at('opt/entrofleet'))).toBe(false);
    });

    function refuses(message: string, ...options: string[]): void {
      const before = listing();
      const run = installer(...options);
      expect(run.complained).toContain(message);
      expect(run.status).toBe(1);
      expect(listing()).toBe(before);
    }
  });
});

function listing(): string {
  return execFileSync('find', [root, '-printf', '%p %m %T@\n'], { encoding: 'utf8' });
}

/** Links into the system that does not run lead nowhere from here. */
function linkIsThere(path: string): boolean {
  return spawnSync('test', ['-L', at(path)]).status === 0;
}
