import { afterAll, beforeAll, expect, test } from 'vitest';
import {
  MODEL_RESOURCE,
  ROLLOUT_RESOURCE,
} from '../../apps/controller/src/kube/custom.resources.ts';
import { HttpKubeClient } from '../../apps/controller/src/kube/http.kube.client.ts';
import { KubeConnection } from '../../apps/controller/src/kube/kube.connection.ts';
import { kubeCredentials } from '../../apps/controller/src/kube/kube.credentials.ts';
import {
  KubeAlreadyExists,
  KubeConflict,
  KubeForbidden,
  KubeInvalid,
  KubeNotFound,
  KubeUnauthorized,
  KubeUnavailable,
} from '../../apps/controller/src/kube/kube.error.ts';
import type { Kube } from '../../deploy/private/kube.ts';
import { faultyLink } from '../support/faulty.link.ts';
import { administrator, applyDefinitions, startKube } from '../support/kube.ts';
import type { Kubectl } from '../support/kubectl.ts';

let kube: Kube;
let kubectl: Kubectl;
let client: HttpKubeClient;

beforeAll(async () => {
  kube = await startKube();
  kubectl = administrator(kube);
  await applyDefinitions(kubectl);
  client = await clientOf({ path: kube.kubeconfigPath });
});
afterAll(async () => {
  client?.close();
  await kube?.stop();
});

async function clientOf(of: { path: string }): Promise<HttpKubeClient> {
  const connection = new KubeConnection(kubeCredentials({ kind: 'KubeconfigFile', ...of }));
  return new HttpKubeClient({ connection, namespace: 'default' });
}

function rollout(name: string): object {
  return {
    apiVersion: 'entrofleet.io/v1alpha1',
    kind: 'Rollout',
    metadata: { name, labels: { team: 'a' }, finalizers: ['test.io/other'] },
    spec: { model: 'demo', selector: { matchLabels: { site: 'x' } } },
  };
}

async function created(name: string) {
  await kubectl.apply(rollout(name));
  const object = await client.get(ROLLOUT_RESOURCE, name);
  if (object === undefined) throw new Error(`${name} is not there`);
  return object;
}

test('changes metadata of what it has seen, and of nothing else', async () => {
  const object = await created('metadata');
  const seen = object.metadata;
  const change = { finalizers: ['test.io/other', 'entrofleet.io/controller'] };
  const changed = await client.patchMetadata(ROLLOUT_RESOURCE, seen, change);
  expect(changed.metadata).toMatchObject({ ...change, labels: { team: 'a' } });
  expect(changed.spec).toEqual(object.spec);
  const outdated = client.patchMetadata(ROLLOUT_RESOURCE, seen, { finalizers: [] });
  await expect(outdated).rejects.toThrow(KubeConflict);
  const namesake = { ...changed.metadata, uid: '00000000-0000-0000-0000-000000000000' };
  const wrong = client.patchMetadata(ROLLOUT_RESOURCE, namesake, { finalizers: [] });
  await expect(wrong).rejects.toThrow(KubeConflict);

  await kubectl.run(['delete', 'rollout', 'metadata', '--wait=false']);
  const deleted = await client.get(ROLLOUT_RESOURCE, 'metadata');
  expect(deleted?.metadata.deletionTimestamp).toBeDefined();
  if (deleted === undefined) return;
  await client.patchMetadata(ROLLOUT_RESOURCE, deleted.metadata, { finalizers: [] });
  expect(await client.get(ROLLOUT_RESOURCE, 'metadata')).toBeUndefined();
  const gone = client.patchMetadata(ROLLOUT_RESOURCE, deleted.metadata, { finalizers: [] });
  await expect(gone).rejects.toThrow(KubeNotFound);
});

test('replaces the status of what it has seen, and nothing else', async () => {
  const spec = { source: { path: '/models/demo' }, variants: [{ name: 'u8', recipe: 'u8' }] };
  const metadata = { name: 'status', labels: { team: 'a' } };
  await kubectl.apply({ apiVersion: 'entrofleet.io/v1alpha1', kind: 'Model', metadata, spec });
  const object = await client.get(MODEL_RESOURCE, 'status');
  if (object === undefined) throw new Error('there is no model');
  const status = { observedGeneration: 1, variants: [], conditions: [] };
  const condition = {
    type: 'Ready',
    status: 'True',
    reason: 'Tested',
    message: 'as tested',
    observedGeneration: 1,
    lastTransitionTime: '2026-11-21T10:11:12Z',
  };
  const first = { ...status, conditions: [condition] };
  const written = await client.replaceStatus(MODEL_RESOURCE, object.metadata, first);
  expect(written.status).toMatchObject({ conditions: [{ type: 'Ready' }] });
  expect(written.spec).toEqual(object.spec);
  expect(written.metadata).toMatchObject({ labels: { team: 'a' }, generation: 1 });
  const next = await client.replaceStatus(MODEL_RESOURCE, written.metadata, status);
  expect(next.status).toMatchObject({ conditions: [] });
  const outdated = client.replaceStatus(MODEL_RESOURCE, object.metadata, status);
  await expect(outdated).rejects.toThrow(KubeConflict);
  const namesake = { ...next.metadata, uid: '00000000-0000-0000-0000-000000000000' };
  const wrong = client.replaceStatus(MODEL_RESOURCE, namesake, status);
  await expect(wrong).rejects.toThrow(KubeConflict);
  const bad = client.replaceStatus(MODEL_RESOURCE, next.metadata, { variants: 'two' });
  await expect(bad).rejects.toThrow(KubeInvalid);
  await kubectl.run(['delete', 'model', 'status']);
  const gone = client.replaceStatus(MODEL_RESOURCE, next.metadata, status);
  await expect(gone).rejects.toThrow(KubeConflict);
});

test('makes an event about an object once, with a message that fits', async () => {
  const { metadata } = await created('event');
  const event = {
    name: 'event.0a',
    about: { ...ROLLOUT_RESOURCE, name: metadata.name, uid: metadata.uid },
    type: 'Warning',
    reason: 'GateFailed',
    message: `ü${'é'.repeat(2000)}`,
    at: '2026-11-21T10:11:12.345Z',
  } as const;
  await client.createEvent(event);
  await expect(client.createEvent(event)).rejects.toThrow(KubeAlreadyExists);
  const shown = await kubectl.run(['events', '--for=rollout/event']);
  expect(shown).toMatch(/Warning\s+GateFailed\s+Rollout\/event\s+üé/);
});

test('lists page by page, and says which definition is missing', async () => {
  const { items } = JSON.parse(await kubectl.run(['get', 'rollouts', '-o', 'json']));
  const list = await client.list(ROLLOUT_RESOURCE);
  expect(list.objects.map(({ metadata }) => metadata.name)).toEqual(
    items.map((item: { metadata: { name: string } }) => item.metadata.name),
  );
  expect(list.malformed).toEqual([]);
  const other = { kind: 'Other', plural: 'others' };
  await expect(client.list(other)).rejects.toThrow('others.entrofleet.io installed?');
});

test('says what a service account may not do, and who it is not', async () => {
  await kubectl.run(['create', 'serviceaccount', 'nobody']);
  const account = { namespace: 'default', name: 'nobody' };
  const { folder } = await kube.serviceAccountFolder(account);
  const access = { kind: 'ServiceAccount', server: kube.url, folder } as const;
  const connection = new KubeConnection(kubeCredentials(access));
  const nobody = new HttpKubeClient({ connection, namespace: 'default' });
  const refused = nobody.list(ROLLOUT_RESOURCE);
  await expect(refused).rejects.toThrow(KubeForbidden);
  await expect(refused).rejects.toThrow('cannot list resource "rollouts"');
  nobody.close();
  const wrong = await clientOf({ path: await kube.kubeconfig({ token: 'wrong' }) });
  await expect(wrong.list(ROLLOUT_RESOURCE)).rejects.toThrow(KubeUnauthorized);
  wrong.close();
});

test('does not wait for an answer for longer than its deadline, and calls again', async () => {
  const link = await faultyLink({ toPort: kube.port });
  const far = await clientOf({ path: await kube.kubeconfig({ port: link.port }) });
  expect(await far.getLease('none')).toBeUndefined();
  link.abandon();
  const started = performance.now();
  await expect(far.getLease('none', { deadlineMs: 500 })).rejects.toThrow(KubeUnavailable);
  expect(performance.now() - started).toBeLessThan(5000);
  expect(await far.getLease('none', { deadlineMs: 5000 })).toBeUndefined();
  far.close();
  await link.close();
});

test('takes a lease, renews it, and is refused when another was first', async () => {
  const record = {
    holderIdentity: 'a',
    leaseDurationSeconds: 15,
    acquireTime: '2026-11-21T10:11:12.345678Z',
    renewTime: '2026-11-21T10:11:12.345678Z',
    leaseTransitions: 0,
  };
  const made = await client.createLease('test', record);
  expect(made).toMatchObject(record);
  await expect(client.createLease('test', record)).rejects.toThrow(KubeAlreadyExists);
  const released = { ...record, holderIdentity: '', leaseDurationSeconds: 1 };
  const replaced = await client.replaceLease('test', made, released);
  expect(await client.getLease('test')).toEqual(replaced);
  await expect(client.replaceLease('test', made, record)).rejects.toThrow(KubeConflict);
  await kubectl.run(['delete', 'lease', 'test']);
  expect(await client.getLease('test')).toBeUndefined();
  // The API server makes a Lease anew that is replaced; a namesake made since is left alone.
  await client.createLease('test', record);
  await expect(client.replaceLease('test', replaced, record)).rejects.toThrow(KubeConflict);
});
