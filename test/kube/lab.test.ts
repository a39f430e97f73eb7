import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { rootCertificates } from 'node:tls';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callKube } from '../../deploy/private/kube.call.ts';
import type { Kube } from '../../deploy/private/kube.ts';
import { faultyLink } from '../support/faulty.link.ts';
import { administrator, startKube } from '../support/kube.ts';
import { Kubectl } from '../support/kubectl.ts';

const MAPS = '/api/v1/namespaces/default/configmaps';
const READER = {
  apiVersion: 'rbac.authorization.k8s.io/v1',
  kind: 'Role',
  metadata: { name: 'reader' },
  rules: [{ apiGroups: [''], resources: ['configmaps'], verbs: ['get', 'list'] }],
};

async function writeMap(name: string): Promise<string> {
  const { status, body } = await kube.call('POST', MAPS, { metadata: { name } });
  expect(status).toBe(201);
  return Object(body).metadata.resourceVersion;
}

/** Names of the configuration maps that a watch from a version on tells, until it ends after 1 s. */
async function watched(resourceVersion: string): Promise<unknown> {
  const path = `${MAPS}?watch=1&timeoutSeconds=1&resourceVersion=${resourceVersion}`;
  const { status, body } = await kube.call('GET', path);
  if (status !== 200) return { status };
  // One object a line: of a single line the answer is parsed already.
  const events = typeof body === 'string' ? body.trim().split('\n') : [JSON.stringify(body)];
  return events
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line))
    .map(({ type, object }) => (type === 'ERROR' ? object.code : object.metadata.name));
}

let kube: Kube;

beforeAll(async () => {
  // Without the cache, so that what etcd forgets is forgotten.
  kube = await startKube({ hasWatchCache: false });
});
afterAll(() => kube.stop());

test('keeps its objects, tokens and certificate over a restart and a kill of both parts', async () => {
  await writeMap('kept');
  await kube.apiserver.kill9();
  await kube.etcd.kill9();
  await kube.etcd.restart();
  await kube.apiserver.restart();
  await writeMap('more');
  const kubectl = administrator(kube);
  const names = (await kubectl.list('configmaps')).map(({ metadata }) => metadata.name);
  expect(names).toEqual(['kept', 'more']);
});

test('is reached through a link that can be silent', async () => {
  const link = await faultyLink({ toPort: kube.port });
  const kubectl = new Kubectl({ kubeconfigPath: await kube.kubeconfig({ port: link.port }) });
  expect(await kubectl.run(['get', '--raw', '/readyz'])).toBe('ok');
  link.set({ kind: 'Silent' });
  const late = await kubectl.attempt(['get', '--raw', '/readyz', '--request-timeout=2s']);
  expect(late.status).not.toBe(0);
  link.set({ kind: 'Clear' });
  expect(await kubectl.run(['get', '--raw', '/readyz'])).toBe('ok');
  await link.close();
});

test('gives service accounts what their role allows, over a certificate that is checked', async () => {
  const kubectl = administrator(kube);
  await kubectl.run(['create', 'serviceaccount', 'worker']);
  await kubectl.apply(READER);
  await kubectl.run([
    'create',
    'rolebinding',
    'w',
    '--role=reader',
    '--serviceaccount=default:worker',
  ]);
  const account = { namespace: 'default', name: 'worker' };
  const { folder, token } = await kube.serviceAccountFolder(account);
  const ca = await readFile(join(folder, 'ca.crt'), 'utf8');
  expect(await readFile(join(folder, 'namespace'), 'utf8')).toBe('default');

  const list = callKube({ url: `${kube.url}${MAPS}`, ca, token });
  expect(await list).toMatchObject({ status: 200 });
  const secrets = `${kube.url}/api/v1/namespaces/default/secrets`;
  expect(await callKube({ url: secrets, ca, token })).toMatchObject({ status: 403 });
  expect(await callKube({ url: secrets, ca, token: 'no' })).toMatchObject({ status: 401 });
  const others = rootCertificates.join('\n');
  await expect(callKube({ url: secrets, ca: others, token })).rejects.toThrow('certificate');

  const asked = (await kube.requests()).filter(({ user }) => user.endsWith(':default:worker'));
  expect(asked).toMatchObject([
    { verb: 'list', resource: 'configmaps', namespace: 'default', status: 200 },
    { verb: 'list', resource: 'secrets', namespace: 'default', status: 403 },
  ]);

  // kubelet writes a new token long before the old one ends.
  const rotated = await kube.serviceAccountFolder({ ...account, folder, seconds: 700 });
  expect(rotated.token).not.toBe(token);
  expect(await readFile(join(folder, 'token'), 'utf8')).toBe(rotated.token);
});

test('forgets history on demand: a watch from before is gone', async () => {
  const first = await writeMap('a');
  await writeMap('b');
  expect(await watched(first)).toEqual(['b']);
  await writeMap('c');
  const revision = await kube.compact();
  expect(revision).toBeGreaterThan(Number(first));
  expect(await watched(first)).toEqual([410]);
});
