import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import { type KubeSite, startKubeSite } from '../support/kube.site.ts';
import { EXAMPLES_FOLDER } from '../support/kube.ts';
import { type PrivateService, startAgent } from '../support/services.ts';

const ROLLOUT = join(EXAMPLES_FOLDER, 'rollout.yaml');
const AGENTS = ['edge-1', 'edge-2', 'edge-3'];

/** From an empty API server to three devices that run the model, by kubectl alone. */
describe('the examples, in an empty API server with the chart', () => {
  let site: KubeSite;
  let controller: PrivateService;
  let api: ApiClient;
  const agents: PrivateService[] = [];

  beforeAll(async () => {
    site = await startKubeSite({});
    controller = await site.startController({ identity: 'only' });
    api = new ApiClient(controller.url);
    for (const device of AGENTS) {
      const labels = { fleet: 'demo' };
      agents.push(await startAgent({ device, mqttUrl: site.broker.url, labels }));
    }
    await site.applyExampleModel();
  });
  afterAll(async () => {
    for (const service of [...agents, controller]) await service?.stop();
    await site?.stop();
  });

  test('reach every device: kubectl wait returns', async () => {
    const { kubectl } = site;
    await kubectl.run(['apply', '-f', ROLLOUT]);
    const wait = ['wait', '--for=condition=Complete', 'rollout/demo', '--timeout=100s'];
    const waited = await kubectl.attempt(wait);
    expect(waited.stdout, JSON.stringify(await kubectl.get('rollout/demo'))).toContain('met');
    const { status, metadata } = await kubectl.get('rollout/demo');
    expect(status).toMatchObject({
      phase: 'Complete',
      observedGeneration: metadata.generation,
      counts: { selected: 3, active: 3, failed: 0 },
    });
    const table = await kubectl.run(['get', 'models,rollouts']);
    expect(table).toMatch(/^model\.entrofleet\.io\/demo +True /m);
    expect(table).toMatch(/^rollout\.entrofleet\.io\/demo +demo +Complete +2\/2 +3 +3 /m);
  });

  test('tell what happened as events of Kubernetes', async () => {
    await eventually('the events', async () => {
      const events = (await site.kubectl.list('events')).map((event) => Object(event));
      const started = events.filter(({ reason }) => reason === 'WaveStarted');
      const said = started.map(({ message }) => message).sort();
      return said.join() === 'wave 1 of 2,wave 2 of 2' ? said : undefined;
    });
  });

  test('belong to Kubernetes: REST refuses and names the owner', async () => {
    const answer = await api.delete('/api/v1/rollouts/demo');
    expect(answer.status).toBe(409);
    expect(answer.body).toMatchObject({ reason: 'OwnedByKubernetes' });
    expect(JSON.stringify(answer.body)).toContain('kubectl -n fleet delete rollout demo');
    const paused = await api.post('/api/v1/rollouts/demo/pause');
    expect(Object(paused.body).detail).toContain('{"spec":{"paused":true}}');
  });

  test('are paused and resumed by their spec', async () => {
    const phase = (wanted: string) =>
      eventually(`phase ${wanted}`, async () => {
        const { status, metadata } = await site.kubectl.get('rollout/demo');
        const isOfNow = status?.observedGeneration === metadata.generation;
        return status?.phase === wanted && isOfNow ? wanted : undefined;
      });
    await site.kubectl.patchSpec('rollout/demo', { paused: true });
    await phase('Paused');
    await site.kubectl.patchSpec('rollout/demo', { paused: false });
    await phase('Complete');
  });

  test('are gone from both sides once kubectl delete returns', async () => {
    await site.kubectl.run(['delete', 'rollout', 'demo', '--timeout=60s']);
    expect((await api.get('/api/v1/rollouts/demo')).status).toBe(404);
    await site.kubectl.run(['delete', 'model', 'demo', '--timeout=60s']);
    expect((await api.get('/api/v1/models/demo')).status).toBe(404);
    expect(await site.kubectl.list('models,rollouts')).toEqual([]);
  });

  test('needed the rights of the Role, all of them, and no other', async () => {
    await controller.stop();
    const own = (await site.kube.requests()).filter(({ user }) => user === site.account);
    expect(own.length).toBeGreaterThan(10);
    expect(own.filter(({ status }) => status === 401 || status === 403)).toEqual([]);
    expect(new Set(own.map(({ namespace }) => namespace))).toEqual(new Set(['fleet']));
    const used = new Set(own.map(({ verb, resource }) => `${verb} ${resource}`));
    for (const plural of ['models', 'rollouts']) {
      for (const verb of ['list', 'watch', 'patch']) expect(used).toContain(`${verb} ${plural}`);
    }
    expect(used).toContain('create events');
    expect(used).toContain('update leases');
  });
});
