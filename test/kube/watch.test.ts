import { setTimeout as sleep } from 'node:timers/promises';
import { afterEach, expect, test } from 'vitest';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import { ROLLOUT_RESOURCE } from '../../apps/controller/src/kube/custom.resources.ts';
import { HttpKubeClient } from '../../apps/controller/src/kube/http.kube.client.ts';
import { KubeConnection } from '../../apps/controller/src/kube/kube.connection.ts';
import { kubeCredentials } from '../../apps/controller/src/kube/kube.credentials.ts';
import { ResourceWatch } from '../../apps/controller/src/kube/resource.watch.ts';
import type { Kube, KubeOptions } from '../../deploy/private/kube.ts';
import { type FaultyLink, faultyLink } from '../support/faulty.link.ts';
import { administrator, applyDefinitions, startKube } from '../support/kube.ts';
import type { Kubectl } from '../support/kubectl.ts';

/** The longest wait of a watch before it tries again, and then some. */
const SOON = { timeout: 45_000, interval: 100 };
const MINUTE_MS = 60_000;

/** A server, a bad link to it, and a watch over that link; the administrator has a good one. */
interface Scene {
  readonly kube: Kube;
  readonly link: FaultyLink;
  readonly kubectl: Kubectl;
  readonly watch: ResourceWatch;
  /** Names by what was told alone. */
  readonly told: Map<string, string>;
  readonly syncs: () => number;
}

const cleanUps: (() => void | Promise<void>)[] = [];
afterEach(async () => {
  for (const cleanUp of cleanUps.splice(0).toReversed()) await cleanUp();
});

async function scene(options: KubeOptions & { silenceMs?: number } = {}): Promise<Scene> {
  const { silenceMs = 20_000, ...kubeOptions } = options;
  const kube = await startKube(kubeOptions);
  const kubectl = administrator(kube);
  await applyDefinitions(kubectl);
  const link = await faultyLink({ toPort: kube.port });
  cleanUps.push(() => link.close());
  const path = await kube.kubeconfig({ port: link.port });
  const connection = new KubeConnection(kubeCredentials({ kind: 'KubeconfigFile', path }));
  const client = new HttpKubeClient({ connection, namespace: 'default' });
  cleanUps.push(() => client.close());
  const log = new Log('error');
  const resource = ROLLOUT_RESOURCE;
  const watch = new ResourceWatch(client, { resource, resyncMs: 3_600_000, log, silenceMs });
  const told = new Map<string, string>();
  let syncs = 0;
  watch.start({
    onSync: () => {
      syncs++;
    },
    onChange: (type, { metadata, spec }) => {
      if (type === 'Deleted') told.delete(metadata.name);
      else told.set(metadata.name, Object(spec).model);
    },
  });
  cleanUps.push(() => watch.stop());
  await expect.poll(() => watch.isSynced, SOON).toBe(true);
  return { kube, link, kubectl, watch, told, syncs: () => syncs };
}

function rollout(name: string, model = 'demo'): object {
  const spec = { model, selector: { matchLabels: { site: 'x' } } };
  return { apiVersion: 'entrofleet.io/v1alpha1', kind: 'Rollout', metadata: { name }, spec };
}

/** What was told, event by event, is what is there. */
async function expectInStep({ kubectl, told }: Scene): Promise<void> {
  const items = await kubectl.list('rollouts');
  const stored = items.map(({ metadata, spec }) => [metadata.name, String(spec.model)]);
  await expect.poll(() => [...told].toSorted(), SOON).toEqual(stored.toSorted());
}

test('hears of what happens through restarts and kills of the API server', async () => {
  const one = await scene();
  await one.kubectl.apply(rollout('first'));
  await expectInStep(one);
  for (const round of [1, 2]) {
    await (round === 1 ? one.kube.apiserver.restart() : one.kube.apiserver.kill9());
    if (round === 2) await one.kube.apiserver.restart();
    await one.kubectl.apply(rollout(`round-${round}`));
    await one.kubectl.apply(rollout('first', `model-${round}`));
    await expectInStep(one);
  }
  await one.kubectl.run(['delete', 'rollout', 'first']);
  await expectInStep(one);
});

test('is in step after its connection carried nothing for a minute', async () => {
  const one = await scene();
  await one.kubectl.apply(rollout('kept'));
  await one.kubectl.apply(rollout('removed'));
  await expectInStep(one);
  one.link.set({ kind: 'Silent' });
  await one.kubectl.run(['delete', 'rollout', 'removed']);
  await one.kubectl.apply(rollout('kept', 'changed'));
  await one.kubectl.apply(rollout('new'));
  await sleep(MINUTE_MS);
  expect(one.told).toEqual(
    new Map([
      ['kept', 'demo'],
      ['removed', 'demo'],
    ]),
  );
  one.link.set({ kind: 'Clear' });
  await expectInStep(one);
  expect(one.watch.counters.stalls).toBeGreaterThan(0);
});

test('replaces a connection that the network has forgotten', async () => {
  const one = await scene({ silenceMs: 5000 });
  await one.kubectl.apply(rollout('kept'));
  await expectInStep(one);
  for (const name of ['a', 'b', 'c']) {
    expect(one.link.abandon()).toBeGreaterThan(0);
    await one.kubectl.apply(rollout(name));
    await expectInStep(one);
  }
});

test('lists again when the history that it missed was compacted', async () => {
  const one = await scene({ hasWatchCache: false });
  for (const name of ['kept', 'removed']) await one.kubectl.apply(rollout(name));
  await expectInStep(one);
  const before = one.syncs();
  one.link.set({ kind: 'Silent' });
  one.link.reset();
  await one.kubectl.run(['delete', 'rollout', 'removed']);
  await one.kubectl.apply(rollout('new'));
  await one.kube.compact();
  one.link.set({ kind: 'Clear' });
  await expectInStep(one);
  expect(one.syncs()).toBe(before + 1);
  await one.kubectl.apply(rollout('later'));
  await expectInStep(one);
});
