import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import type { Rollout } from '@entrofleet/protocol';
import { afterAll, beforeAll, beforeEach, describe, expect, it, onTestFailed } from 'vitest';
import { parse } from 'yaml';
import type { Kube } from '../../deploy/private/kube.ts';
// One that is started within a test serves the next test, too.
import { startController } from '../../deploy/private/services.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import { FakeDevice } from '../support/fake.device.ts';
import { writesByResource, writesSince } from '../support/kube.requests.ts';
import { administrator, applyDefinitions, EXAMPLES_FOLDER, startKube } from '../support/kube.ts';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import {
  type PrivateService,
  type RedisService,
  startMosquitto,
  startRedis,
} from '../support/services.ts';

const CLI = join(import.meta.dirname, '../../apps/cli/dist/main.js');
const WAIT = '--timeout=60s';
const FINALIZER = 'entrofleet.io/controller';
const STEADY_MS = 60_000;

let folder: string;
let kube: Kube;
let kubectl: Kubectl;
let redis: RedisService;
let broker: PrivateService;
let controller: PrivateService;
let api: ApiClient;
let modelPath: string;
const devices: FakeDevice[] = [];

async function startRole(): Promise<void> {
  controller = await startController({
    redisUrl: redis.url,
    mqttUrl: broker.url,
    folder: join(folder, 'data'),
    environment: {
      ENTROFLEET_ROLES: 'all,kubernetes',
      KUBECONFIG: kube.kubeconfigPath,
      KUBERNETES_LEASE_SECONDS: '5',
      KUBERNETES_STATUS_INTERVAL_SECONDS: '1',
      REPORT_INTERVAL_SECONDS: '5',
    },
  });
  api = new ApiClient(controller.url);
}

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'entrofleet-kube-'));
  [kube, redis, broker] = await Promise.all([startKube(), startRedis(), startMosquitto()]);
  kubectl = administrator(kube);
  await applyDefinitions(kubectl);
  modelPath = await writeTinyCheckpoint(join(folder, 'tiny'));
  await startRole();
  for (const device of ['d1', 'd2', 'd3']) {
    const labels = { fleet: 'demo' };
    const started = await FakeDevice.start({ url: broker.url, device, labels });
    started.measure = () => ({ decodeTokensPerSecond: 100 });
    devices.push(started);
  }
}, 180_000);
afterAll(async () => {
  for (const device of devices) await device.stop();
  for (const service of [controller, kube, broker, redis]) await service?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function example(name: string): Promise<KubeObject> {
  return parse(await readFile(join(EXAMPLES_FOLDER, name), 'utf8'));
}

async function demoModel(): Promise<object> {
  const model = await example('model.yaml');
  const evaluation = { rows: 2, rowTokens: 32 };
  return { ...model, spec: { ...model.spec, source: { path: modelPath }, evaluation } };
}

async function rollout(name: string, spec: object = {}, metadata: object = {}): Promise<object> {
  const base = await example('rollout.yaml');
  return { ...base, metadata: { name, ...metadata }, spec: { ...base.spec, ...spec } };
}

function conditionOf({ status }: KubeObject, type: string) {
  return status?.conditions?.find((condition) => condition.type === type);
}

/** The condition, once it has the reason. */
async function reason(object: string, type: string, wanted: string) {
  return eventually(`${type} ${wanted} of ${object}`, async () => {
    const condition = conditionOf(await kubectl.get(object), type);
    return condition?.reason === wanted ? condition : undefined;
  });
}

async function stored(name: string): Promise<Rollout> {
  return (await api.get(`/api/v1/rollouts/${name}`)).body as Rollout;
}

async function gone(object: string): Promise<void> {
  await kubectl.run(['wait', '--for=delete', object, WAIT]);
}

beforeEach(() => {
  onTestFailed(async () => {
    console.error(`--- end of the log of the controller ---\n${await controller.logTail()}`);
  });
});

describe('what custom resources ask for', { timeout: 180_000 }, () => {
  it('makes a model, which kubectl waits for and lists', async () => {
    await kubectl.apply(await demoModel());
    await kubectl.run(['wait', '--for=condition=Ready', 'model/demo', WAIT]);
    const resource = await kubectl.get('model/demo');
    expect(resource.metadata.finalizers).toEqual([FINALIZER]);
    const { metadata } = await api.model('demo');
    expect(metadata.owner).toEqual({
      ...{ manager: 'Kubernetes', namespace: 'default', name: 'demo' },
      ...{ uid: resource.metadata.uid, generation: 1, appliedGeneration: 1 },
    });
    const table = await kubectl.run(['get', 'models']);
    expect(table).toMatch(/^NAME +READY +ENCODED +VARIANTS +REASON .*SYNCED +AGE/);
    expect(table).toMatch(/\ndemo +True +2 +2 +AllVariantsReady .*Applied/);
  });

  it('rolls it out, and says so when it is complete', async () => {
    await kubectl.apply(await rollout('demo', {}, { labels: { team: 'edge' } }));
    await kubectl.run(['wait', '--for=condition=Complete', 'rollout/demo', WAIT]);
    expect((await stored('demo')).metadata.labels).toEqual({ team: 'edge' });
    const table = await kubectl.run(['get', 'rollouts']);
    expect(table).toMatch(/\ndemo +demo +Complete +\d +\d +3 +3 +Complete +Applied/);
  });

  it('is not changed by other clients, who learn who owns it', async () => {
    const before = await stored('demo');
    const input = { metadata: { name: 'demo' }, spec: { ...before.spec, samplePrompt: 'no' } };
    const path = '/api/v1/rollouts/demo';
    const refused = { status: 409, body: { reason: 'OwnedByKubernetes' } };
    expect(await api.put(path, input)).toMatchObject(refused);
    expect(await api.post('/api/v1/rollouts', input)).toMatchObject(refused);
    expect(await api.post(`${path}/pause`)).toMatchObject(refused);
    expect(await api.delete(path)).toMatchObject(refused);
    expect(await api.delete('/api/v1/models/demo')).toMatchObject(refused);
    expect((await stored('demo')).spec).toEqual(before.spec);
    const file = join(folder, 'rollout.json');
    await writeFile(file, JSON.stringify({ kind: 'Rollout', ...input }));
    const cli = (...argv: string[]) =>
      promisify(execFile)(process.execPath, [CLI, ...argv, '--server', controller.url]);
    await expect(cli('apply', '-f', file)).rejects.toMatchObject({
      stderr: expect.stringContaining('kubectl -n default edit rollout demo (OwnedByKubernetes)'),
    });
    expect((await cli('get', 'rollouts', '-o', 'wide')).stdout).toContain(
      'Kubernetes default/demo',
    );
    expect((await cli('describe', 'model', 'demo')).stdout).toMatch(/Owner: +Kubernetes default/);
  });

  it('follows the resource, and waits for the new generation', async () => {
    await kubectl.patchSpec('rollout/demo', { samplePrompt: 'Once upon a time' });
    await kubectl.run(['wait', '--for=condition=Complete', 'rollout/demo', WAIT]);
    const { metadata, status } = await kubectl.get('rollout/demo');
    expect(metadata.generation).toBe(2);
    expect(status).toMatchObject({ observedGeneration: 2 });
    expect(await stored('demo')).toMatchObject({
      metadata: { generation: 2, owner: { generation: 2, appliedGeneration: 2 } },
      spec: { samplePrompt: 'Once upon a time' },
    });
    for (const device of devices) expect(device.seen.length).toBeGreaterThan(1);
  });

  it('is paused by its spec, and goes on', async () => {
    await kubectl.patchSpec('rollout/demo', { paused: true });
    await eventually('paused', async () => {
      const { metadata, status } = await kubectl.get('rollout/demo');
      const isSeen = status?.observedGeneration === metadata.generation;
      return isSeen && status?.phase === 'Paused' ? true : undefined;
    });
    await kubectl.patchSpec('rollout/demo', { paused: false });
    await kubectl.run(['wait', '--for=condition=Complete', 'rollout/demo', WAIT]);
  });

  it('tells what happened by events', async () => {
    const described = await eventually('events', async () => {
      const text = await kubectl.run(['describe', 'rollout', 'demo']);
      return text.includes('WaveStarted') && text.includes('Complete  ') ? text : undefined;
    });
    expect(described).toMatch(/Normal +WaveStarted .*entrofleet-controller +wave 1 of/);
    expect(await kubectl.run(['describe', 'model', 'demo'])).toMatch(/Normal +VariantReady /);
  });

  it('says what is wrong with a spec that the API server lets through', async () => {
    const both = { waves: [{ count: 1, percent: 10 }] };
    const unbounded = { gates: [{ name: 'g', metric: 'perplexity' }] };
    const faults: [string, object, string][] = [
      ['both', { strategy: both }, '/spec/strategy/waves/0: give exactly one of count and percent'],
      ['unbounded', { strategy: unbounded }, '/spec/strategy/gates/0: give min, max or both'],
    ];
    for (const [name, spec, message] of faults) {
      await kubectl.apply(await rollout(name, spec));
      const condition = await reason(`rollout/${name}`, 'Synced', 'Invalid');
      expect(condition).toMatchObject({ status: 'False', message });
      expect((await api.get(`/api/v1/rollouts/${name}`)).status).toBe(404);
    }
    const label = `${'a'.repeat(60)}.example.com/x`;
    await kubectl.apply(await rollout('labelled', { paused: true }, { labels: { [label]: 'y' } }));
    const { message } = await reason('rollout/labelled', 'Synced', 'Invalid');
    expect(message).toContain('/metadata/labels');
    await kubectl.run(['label', 'rollout', 'labelled', `${label}-`]);
    await kubectl.run(['wait', '--for=condition=Synced', 'rollout/labelled', WAIT]);
    await kubectl.run(['delete', 'rollouts', 'both', 'unbounded', 'labelled', WAIT]);
  });

  it('says that a recipe or a source is none, and takes the model when it is mended', async () => {
    const model = await demoModel();
    const spec = Object(model).spec;
    const named = (name: string, change: object) => ({
      ...model,
      metadata: { name },
      spec: { ...spec, ...change },
    });
    await kubectl.apply(named('odd', { variants: [{ name: 'odd', recipe: 'u3' }] }));
    const { message } = await reason('model/odd', 'Synced', 'Invalid');
    expect(message).toContain('/spec/variants/0/recipe');
    await kubectl.apply(named('empty', { source: { path: join(folder, 'nothing') } }));
    const synced = await eventually('Synced of model/empty', async () =>
      conditionOf(await kubectl.get('model/empty'), 'Synced'),
    );
    expect(synced).toMatchObject({ status: 'False', reason: 'FolderMissing' });
    expect(synced.message).toContain('/spec/source/path');
    await kubectl.apply(named('empty', {}));
    await kubectl.run(['wait', '--for=condition=Ready', 'model/empty', WAIT]);
    await kubectl.run(['delete', 'models', 'odd', 'empty', WAIT]);
    expect((await api.get('/api/v1/models/empty')).status).toBe(404);
  });

  it('takes over what was made through REST only when it is told to', async () => {
    const { spec } = Object(await rollout('taken', { paused: true }));
    await api.post('/api/v1/rollouts', { metadata: { name: 'taken' }, spec });
    await kubectl.apply(await rollout('taken', { paused: true, samplePrompt: 'mine' }));
    const { message } = await reason('rollout/taken', 'Synced', 'OwnedByRest');
    expect(message).toContain('entrofleet.io/adopt=true');
    expect((await stored('taken')).spec.samplePrompt).toBeNull();
    await kubectl.run(['annotate', 'rollout', 'taken', 'entrofleet.io/adopt=true']);
    await reason('rollout/taken', 'Synced', 'Applied');
    expect(await stored('taken')).toMatchObject({
      metadata: { generation: 2, owner: { name: 'taken', generation: 1, appliedGeneration: 2 } },
      spec: { samplePrompt: 'mine' },
    });
  });

  it('writes nothing to the API server while nothing happens', { timeout: 120_000 }, async () => {
    await reason('rollout/demo', 'Complete', 'Complete');
    // The interval of statuses, and what is still on its way to be told.
    await sleep(3000);
    const before = await writesByResource(kube);
    const reporting = setInterval(() => {
      for (const device of devices) device.report();
    }, 1000);
    await sleep(STEADY_MS);
    clearInterval(reporting);
    const { leases = 0, ...others } = writesSince(before, await writesByResource(kube));
    expect(others).toEqual({});
    expect(leases).toBeGreaterThan(0);
  });

  it('never deletes what lost its resource by force, and goes on without it', async () => {
    const events = (await kubectl.list('events')).map(({ metadata }) => metadata.uid);
    await controller.stop();
    const finalizers = JSON.stringify({ metadata: { finalizers: null } });
    await kubectl.run(['patch', 'rollout', 'taken', '--type=merge', '-p', finalizers]);
    await kubectl.run(['delete', 'rollout', 'taken']);
    await startRole();
    await eventually('released', async () =>
      (await stored('taken')).metadata.owner === null ? true : undefined,
    );
    const { body } = await api.get('/api/v1/events?involved=Rollout/taken');
    expect(Object(body).items).toContainEqual(expect.objectContaining({ reason: 'Released' }));
    expect((await api.delete('/api/v1/rollouts/taken')).status).toBe(204);
    // A restart tells nothing again.
    expect((await kubectl.list('events')).map(({ metadata }) => metadata.uid)).toEqual(events);
  });

  it('deletes a model only when no rollout needs it, and then by itself', async () => {
    await kubectl.run(['delete', 'model', 'demo', '--wait=false']);
    const { message } = await reason('model/demo', 'Deleted', 'ModelInUse');
    expect(message).toContain('named by rollout "demo"');
    expect((await api.model('demo')).metadata.owner).not.toBeNull();
    await kubectl.run(['delete', 'rollout', 'demo', WAIT]);
    await gone('model/demo');
    expect((await api.get('/api/v1/rollouts/demo')).status).toBe(404);
    expect((await api.get('/api/v1/models/demo')).status).toBe(404);
  });
});
