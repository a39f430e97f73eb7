import { spawn } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { text } from 'node:stream/consumers';
import type { Device, Model, Rollout } from '@entrofleet/client';
import { afterAll, afterEach, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { parse } from 'yaml';
import { eventually } from '../support/eventually.ts';
import { FakeDevice } from '../support/fake.device.ts';
import { FleetLab } from '../support/fleet.lab.ts';

const BINARY = resolve(import.meta.dirname, '../../apps/cli/dist/main.js');
const WAIT = { timeoutMs: 30_000 };

interface Ended {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe('the command line of a fleet', { timeout: 180_000 }, () => {
  let lab: FleetLab;
  const devices = new Map<string, FakeDevice>();

  beforeAll(async () => {
    lab = await FleetLab.start();
    const path = await lab.checkpoint();
    const model = `
apiVersion: entrofleet.io/v1alpha1
kind: Model
metadata: { name: tiny, labels: { team: edge } }
spec:
  source: { path: ${path} }
  variants: [u8]
  evaluation: { rows: 2, rowTokens: 32 }
`;
    expect(await entrofleet(['apply', '-f', '-'], model)).toMatchObject({
      status: 0,
      stdout: 'model/tiny created\n',
    });
    for (const name of ['d1', 'd2', 'd3']) {
      const labels = { site: name === 'd3' ? 'roof' : 'lab' };
      devices.set(name, await FakeDevice.start({ url: lab.broker.url, device: name, labels }));
    }
    await eventually(
      'the model and the devices',
      async () => {
        const { stdout } = await entrofleet(['get', 'models', 'tiny', '-o', 'json']);
        const { status }: Model = JSON.parse(stdout);
        const names = await entrofleet(['get', 'devices', '-o', 'name']);
        const isReady = status.variants.every(({ phase }) => phase === 'Ready');
        return isReady && names.stdout.split('\n').length === 4 ? true : undefined;
      },
      { timeoutMs: 90_000 },
    );
  });
  afterEach(async () => {
    for (const device of devices.values()) device.failure = null;
    const { stdout } = await entrofleet(['get', 'rollouts', '-o', 'name']);
    const names = stdout.split('\n').flatMap((line) => line.split('/')[1] ?? []);
    if (names.length > 0) await ok('delete', 'rollouts', ...names);
  });
  afterAll(async () => {
    for (const device of devices.values()) await device.stop();
    await lab?.stop();
  });

  async function entrofleet(argv: readonly string[], input = ''): Promise<Ended> {
    const child = spawn(process.execPath, [BINARY, ...argv], {
      env: { ...process.env, ENTROFLEET_SERVER: lab.controller.url },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stdin.end(input);
    const status = new Promise<number | null>((done) => child.once('close', done));
    const [stdout, stderr] = await Promise.all([text(child.stdout), text(child.stderr)]);
    return { status: await status, stdout, stderr };
  }

  /** stdout of a command that must succeed. */
  async function ok(...argv: string[]): Promise<string> {
    const { status, stdout, stderr } = await entrofleet(argv);
    expect({ status, stderr }).toMatchObject({ status: 0 });
    return stdout;
  }

  async function object<T>(...argv: string[]): Promise<T> {
    return JSON.parse(await ok('get', ...argv, '-o', 'json'));
  }

  async function rolloutFile(spec: object = {}, name = 'r'): Promise<string> {
    const selector = { matchLabels: { site: 'lab' } };
    const path = join(lab.folder, `${name}.json`);
    const manifest = {
      kind: 'Rollout',
      metadata: { name },
      spec: { selector, model: 'tiny', variant: 'u8', ...spec },
    };
    await writeFile(path, JSON.stringify(manifest));
    return path;
  }

  it('lists and selects, in every form', async () => {
    const table = await ok('get', 'devices');
    expect(table).toMatch(/^NAME +ONLINE +PHASE .*\nd1 +yes +\w+ /);
    expect(await ok('get', 'devices', '-l', 'site=lab', '-o', 'name')).toBe(
      'device/d1\ndevice/d2\n',
    );
    const fields = ['--field-selector', 'status.online=true,metadata.name!=d1', '-o', 'name'];
    expect(await ok('get', 'devices', ...fields)).toBe('device/d2\ndevice/d3\n');
    expect(await ok('get', 'device', 'd3', 'd1', '-o', 'name')).toBe('device/d3\ndevice/d1\n');
    expect(await ok('get', 'devices', '-o', 'wide')).toContain('site=roof');
    const list = parse(await ok('get', 'models', '-o', 'yaml'));
    expect(list).toMatchObject({ kind: 'ModelList', items: [{ kind: 'Model' }] });
    expect(await ok('get', 'artifacts')).toMatch(/\n[0-9a-f]{12} +tiny +u8 /);
    expect(await ok('get', 'events', '--field-selector', 'object.kind=Model')).toContain('Created');
    const none = await entrofleet(['get', 'devices', '-l', 'site=moon']);
    expect(none).toEqual({ status: 0, stdout: '', stderr: 'entrofleet: no devices found\n' });
    const bad = await entrofleet(['get', 'devices', '--field-selector', 'status.colour=red']);
    expect(bad.status).toBe(1);
    expect(bad.stderr).toMatch(/status\.colour.*supported: .*status\.online.*\(BadFieldSelector\)/);
    const missing = await entrofleet(['get', 'rollouts', 'nothing']);
    expect(missing).toMatchObject({ status: 1, stdout: '' });
    expect(missing.stderr).toBe('entrofleet: rollout "nothing" does not exist (NotFound)\n');
  });

  it('applies once, changes, and leaves what is so already', async () => {
    const path = await rolloutFile({ paused: true });
    expect(await ok('apply', '-f', path)).toBe('rollout/r created\n');
    expect(await ok('apply', '-f', path)).toBe('rollout/r unchanged\n');
    await rolloutFile({ paused: true, force: true });
    expect(await ok('apply', '-f', path)).toBe('rollout/r configured\n');
    // What was read can be applied again, unless the object has changed since.
    const read = await ok('get', 'rollouts', 'r', '-o', 'yaml');
    const again = await entrofleet(['apply', '-f', '-'], read);
    expect(again.stdout).toBe('rollout/r unchanged\n');
    await ok('apply', '-f', await rolloutFile({ paused: true, force: false }));
    const stale = await entrofleet(['apply', '-f', '-'], read);
    expect(stale.status).toBe(1);
    expect(stale.stderr).toContain('ResourceVersionConflict');
  });

  it('names the file, the document and the field that is wrong', async () => {
    const documents = [
      'kind: Rollout\nmetadata: { name: fine }\nspec: { selector: {}, model: tiny, paused: true }',
      'kind: Rollout\nmetadata: { name: bad }\nspec: { selector: {}, model: tiny, strategy: { waves: [] } }',
    ];
    const several = await entrofleet(['apply', '-f', '-'], documents.join('\n---\n'));
    expect(several).toMatchObject({ status: 1, stdout: 'rollout/fine created\n' });
    expect(several.stderr).toMatch(
      /standard input, document 2: rollout\/bad: .*\/spec\/strategy\/waves/,
    );
    const kind = await entrofleet(['apply', '-f', '-'], 'kind: Deployment\nmetadata: { name: x }');
    expect(kind.stderr).toBe(
      'entrofleet: standard input: kind is "Deployment"; use Model or Rollout\n',
    );
    const stray = 'kind: Rollout\nmetadata: { name: x }\nspec: {}\nmodel: tiny';
    const misplaced = await entrofleet(['apply', '-f', '-'], stray);
    expect(misplaced.stderr).toContain('unknown field "model"; did you mean spec.model?');
    expect(await entrofleet(['apply', '-f', join(lab.folder, 'absent.yaml')])).toMatchObject({
      status: 1,
    });
    const deleted = await entrofleet(['delete', '-f', '-'], documents[0]);
    expect(deleted.stdout).toBe('rollout/fine deleted\n');
    const gone = await entrofleet(['delete', 'rollouts', 'fine', '--ignore-not-found']);
    expect(gone).toMatchObject({ status: 0, stdout: 'rollout/fine not found\n' });
  });

  it('plans, follows a rollout to its end, and tells what happened', async () => {
    const path = await rolloutFile();
    const plan = await ok('rollout', 'plan', '-f', path);
    expect(plan).toMatch(/^DEVICE +CLASS +OUTCOME .*\nd1 /);
    expect(plan).toMatch(/2 of 2 devices would be updated/);
    await ok('apply', '-f', path);
    const followed = await entrofleet(['rollout', 'status', 'r', '--watch', '--timeout', '60']);
    expect(followed).toMatchObject({ status: 0, stderr: '' });
    expect(followed.stdout.trimEnd().split('\n').at(-1)).toMatch(/^Complete.*: 2 of 2 active$/);
    expect((await entrofleet(['rollout', 'status', 'r'])).status).toBe(0);
    expect(await ok('get', 'members', 'r')).toMatch(/\nd1 +1 +u8 +Active /);
    const told = await ok('describe', 'rollout', 'r');
    for (const word of ['Strategy:', 'Conditions:', 'Members:', '2 Active', 'Events:']) {
      expect(told).toContain(word);
    }
    expect(await ok('rollout', 'logs', 'r')).toMatch(/^\d{4}-.*Complete/m);
    expect(await ok('describe', 'device', 'd1')).toMatch(/Serves: +tiny u8/);
    await ok('apply', '-f', await rolloutFile({ samplePrompt: 'Once' }));
    await ok('rollout', 'status', 'r', '--watch', '--timeout', '60');
    expect(await ok('rollout', 'undo', 'r')).toMatch(/^rollout\/r goes back /);
    await ok('rollout', 'status', 'r', '--watch', '--timeout', '60');
    expect((await object<Rollout>('rollout', 'r')).spec.samplePrompt).toBeNull();
    const history = await ok('rollout', 'history', 'r');
    expect(history.trimEnd().split('\n')).toHaveLength(4);
    expect(history).toMatch(/\n2 +tiny +u8 /);
    const absent = await entrofleet(['rollout', 'undo', 'r', '--to-revision', '77']);
    expect(absent.status).toBe(1);
    expect(await ok('describe', 'model', 'tiny')).toMatch(/u8 +u8 +Ready/);
  });

  it('exits with 1 and the reason when a rollout stops, with 3 when it takes too long', async () => {
    const failing = devices.get('d3') ?? expect.fail();
    failing.failure = { reason: 'LoadFailed', message: 'no memory left' };
    const selector = { matchLabels: { site: 'roof' } };
    await ok('apply', '-f', await rolloutFile({ selector }));
    const stopped = await entrofleet(['rollout', 'status', 'r', '-w', '--timeout', '60']);
    expect(stopped.status).toBe(1);
    expect(stopped.stderr).toMatch(/rollout "r": Paused, .*\n.*rollout resume\|retry\|undo r/);
    expect(await ok('describe', 'rollout', 'r')).toContain('no memory left');
    failing.failure = null;
    failing.isStuck = true;
    await ok('rollout', 'retry', 'r');
    const slow = await entrofleet(['rollout', 'status', 'r', '--watch', '--timeout', '2']);
    expect(slow).toMatchObject({ status: 3, stderr: '' });
    failing.isStuck = false;
    await ok('rollout', 'pause', 'r');
    const { spec } = await object<Rollout>('rollout', 'r');
    expect(spec.paused).toBe(true);
    await ok('rollout', 'abort', 'r');
    const aborted = await entrofleet(['rollout', 'status', 'r', '--watch', '--timeout', '60']);
    expect(aborted.status).toBe(1);
    expect(aborted.stderr).toMatch(/rollout "r": Aborted/);
  });

  it('stops where a person must approve, and says how', async () => {
    const strategy = { waves: [{ count: 1 }, { percent: 100 }], approval: 'FirstWave' };
    await ok('apply', '-f', await rolloutFile({ strategy, samplePrompt: 'Approve' }));
    const waiting = await entrofleet(['rollout', 'status', 'r', '--watch', '--timeout', '60']);
    expect(waiting.status).toBe(1);
    expect(waiting.stderr).toMatch(/AwaitingApproval.*\n.*"entrofleet rollout approve r"/);
    await ok('rollout', 'approve', 'r');
    const done = await entrofleet(['rollout', 'status', 'r', '--watch', '--timeout', '60']);
    expect(done).toMatchObject({ status: 0, stderr: '' });
  });

  it('labels, holds and forgets devices', async () => {
    expect(await ok('device', 'label', 'd2', 'tier=gold', 'rack=7')).toContain('tier=gold');
    expect(await ok('get', 'devices', '-l', 'tier=gold', '-o', 'name')).toBe('device/d2\n');
    await ok('device', 'label', 'd2', 'tier=tin', 'rack-');
    const device = await object<Device>('device', 'd2');
    expect(device.metadata.labels).toEqual({ site: 'lab', tier: 'tin' });
    const own = await entrofleet(['device', 'label', 'd2', 'site-']);
    expect(own.stderr).toBe(
      'entrofleet: label "site" is the device\'s own; set another value, or change it on the device\n',
    );
    await ok('device', 'pin', 'd1', 'd2');
    await ok('device', 'quarantine', 'd2');
    const held = ['--field-selector', 'spec.pinned=true', '-o', 'name'];
    expect(await ok('get', 'devices', ...held)).toBe('device/d1\ndevice/d2\n');
    expect(await ok('get', 'devices')).toMatch(/\nd2 .*quarantined/);
    await ok('device', 'release', 'd2');
    await ok('device', 'unpin', 'd1', 'd2');
    expect((await object<Device>('device', 'd2')).spec).toMatchObject({
      pinned: false,
      quarantined: false,
    });
    expect(await ok('describe', 'device', 'd2')).toMatch(
      /Labelled +rack=7, tier=gold\n.*Labelled +rack removed, tier=tin\n.*Pinned/,
    );
    await devices.get('d3')?.stop();
    await eventually('d3 offline', async () => {
      const { status } = await object<Device>('device', 'd3');
      return status.online ? undefined : true;
    });
    expect(await ok('device', 'delete', 'd3')).toBe('device/d3 deleted\n');
    expect((await entrofleet(['get', 'device', 'd3'])).status).toBe(1);
  });

  it('watches until it is interrupted', async () => {
    await ok('apply', '-f', await rolloutFile({ paused: true }, 'early'));
    const argv = [BINARY, 'get', 'rollouts', '--watch', '-o', 'json'];
    const child = spawn(process.execPath, argv, {
      env: { ...process.env, ENTROFLEET_SERVER: lab.controller.url },
    });
    onTestFinished(() => void child.kill('SIGKILL'));
    const lines: string[] = [];
    child.stdout.on('data', (chunk) => lines.push(...String(chunk).trimEnd().split('\n')));
    const has = (type: string) =>
      eventually(
        type,
        () => lines.map((line) => JSON.parse(line)).find((event) => event.type === type),
        WAIT,
      );
    expect(await has('PRESENT')).toMatchObject({ object: { metadata: { name: 'early' } } });
    await ok('apply', '-f', await rolloutFile({ paused: true }, 'watched'));
    expect(await has('ADDED')).toMatchObject({
      object: { kind: 'Rollout', metadata: { name: 'watched' } },
    });
    await ok('delete', 'rollout', 'watched');
    await has('DELETED');
    child.kill('SIGINT');
    const status = await new Promise((done) => child.once('close', done));
    expect(status).toBe(130);
  });

  it('says how to reach a controller', async () => {
    const { status, stderr } = await entrofleet([
      'get',
      'devices',
      '--server',
      'http://127.0.0.1:1',
    ]);
    expect(status).toBe(1);
    expect(stderr).toMatch(/127\.0\.0\.1:1: .*; start it .*--server or ENTROFLEET_SERVER\n$/);
    expect((await entrofleet(['get', 'sheep'])).status).toBe(2);
    expect((await entrofleet(['get', 'members'])).status).toBe(2);
  });
});
