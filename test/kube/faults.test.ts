import { setTimeout as sleep } from 'node:timers/promises';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { ApiClient } from '../support/api.client.ts';
import { eventually } from '../support/eventually.ts';
import { type FaultyLink, faultyLink } from '../support/faulty.link.ts';
import { type KubeSite, startKubeSite } from '../support/kube.site.ts';
import type { PrivateService } from '../support/services.ts';

const CUT_MS = 60_000;

/**
 * A controller that reaches the API server through a bad link. Without the server's watch cache, so
 * that forgotten history is seen at once.
 */
describe('the API server', () => {
  let site: KubeSite;
  let link: FaultyLink;
  let controller: PrivateService;
  let api: ApiClient;
  let names = 0;

  beforeAll(async () => {
    // Often enough to be seen within a test, where nothing else brings a change to light.
    site = await startKubeSite({ kube: { hasWatchCache: false } });
    link = await faultyLink({ toPort: site.kube.port });
    controller = await site.startController({ identity: 'only', kubePort: link.port });
    api = new ApiClient(controller.url);
    await expectFollowed(await applyRollout());
  });
  afterAll(async () => {
    await controller?.stop();
    await link?.close();
    await site?.stop();
  });

  /** A rollout of a model that is not there: nothing happens but the following. */
  async function applyRollout(): Promise<string> {
    const name = `followed-${names++}`;
    await site.kubectl.apply({
      apiVersion: 'entrofleet.io/v1alpha1',
      kind: 'Rollout',
      metadata: { name },
      spec: { model: 'none', selector: { matchLabels: { site: 'nowhere' } } },
    });
    return name;
  }

  /** It has become ours, and its status says so. */
  async function expectFollowed(name: string, timeoutMs = 30_000): Promise<void> {
    const ours = async () =>
      (await api.get(`/api/v1/rollouts/${name}`)).status === 200 ? true : undefined;
    await eventually(`${name} is known`, ours, { timeoutMs });
    const told = async () => {
      const { status, metadata } = await site.kubectl.get(`rollout/${name}`);
      return status?.observedGeneration === metadata.generation ? true : undefined;
    };
    await eventually(`${name} has a status`, told, { timeoutMs });
  }

  test('may be restarted, also without notice', async () => {
    const name = await applyRollout();
    await site.kube.apiserver.kill9();
    await sleep(3000);
    await site.kube.apiserver.restart();
    await expectFollowed(name, 60_000);
    await site.kube.apiserver.restart();
    await expectFollowed(await applyRollout(), 60_000);
  });

  test('may be out of reach for a minute, while nobody is told', async () => {
    link.set({ kind: 'Silent' });
    const name = await applyRollout();
    await sleep(CUT_MS);
    expect((await api.get(`/api/v1/rollouts/${name}`)).status).toBe(404);
    // What the controller does for its devices needs no API server.
    expect((await api.get('/healthz')).status).toBe(204);
    link.set({ kind: 'Clear' });
    await expectFollowed(name, 30_000);
  });

  test('may lose connections silently: a watch that tells nothing is noticed', async () => {
    const stale = link.abandon();
    expect(stale).toBeGreaterThan(0);
    await expectFollowed(await applyRollout(), 100_000);
  });

  test('may forget history while the controller is away', async () => {
    link.set({ kind: 'Silent' });
    link.reset();
    const kept = await applyRollout();
    const gone = 'followed-0';
    // The finalizer is ours to remove, later.
    await site.kubectl.run(['delete', 'rollout', gone, '--wait=false']);
    await site.kube.compact();
    link.set({ kind: 'Clear' });
    await expectFollowed(kept, 60_000);
    await eventually('what was deleted is gone', async () =>
      (await api.get(`/api/v1/rollouts/${gone}`)).status === 404 ? true : undefined,
    );
  });

  test('is written to only when something has changed', async () => {
    await sleep(10_000);
    const before = (await site.kube.requests()).length;
    await sleep(30_000);
    const requests = (await site.kube.requests()).slice(before);
    const writes = requests.filter(
      ({ user, verb, resource }) =>
        user === site.account && /create|update|patch|delete/.test(verb) && resource !== 'leases',
    );
    expect(writes).toEqual([]);
  });
});
