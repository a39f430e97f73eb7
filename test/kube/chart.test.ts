import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import type { Kube } from '../../deploy/private/kube.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { CHART, PRESENT_HELMS, VALUE_SETS, valuesFile, valuesPath } from '../support/chart.ts';
import { Helm, type HelmVersion } from '../support/helm.ts';
import { administrator, CRD_FOLDER, startKube } from '../support/kube.ts';
import type { Kubectl, KubeObject } from '../support/kubectl.ts';
import { runProgram } from '../support/program.ts';

const PREVIOUS = resolve(import.meta.dirname, '../fixtures/charts/entrofleet-0.1.0.tgz');
/** What the chart makes of others' kinds; their real definitions are megabytes. */
const FOREIGN = [
  { group: 'monitoring.coreos.com', kind: 'ServiceMonitor' },
  { group: 'monitoring.coreos.com', kind: 'PrometheusRule' },
  { group: 'cert-manager.io', kind: 'Certificate' },
];
/** What is kept when a release goes, because it holds what cannot be made again. */
const KEPT = ['PersistentVolumeClaim', 'Secret'];

let kube: Kube;
let kubectl: Kubectl;

function foreignDefinition({ group, kind }: (typeof FOREIGN)[number]): object {
  const plural = `${kind.toLowerCase()}s`;
  const open = { type: 'object', 'x-kubernetes-preserve-unknown-fields': true };
  const schema = { openAPIV3Schema: { type: 'object', properties: { spec: open } } };
  return {
    apiVersion: 'apiextensions.k8s.io/v1',
    kind: 'CustomResourceDefinition',
    metadata: { name: `${plural}.${group}` },
    spec: {
      group,
      scope: 'Namespaced',
      names: { kind, plural, singular: kind.toLowerCase() },
      versions: [{ name: 'v1', served: true, storage: true, schema }],
    },
  };
}

const helmOf = (version: HelmVersion): Helm =>
  new Helm({ version, kubeconfigPath: kube.kubeconfigPath });

/** A new namespace for one release. */
async function namespace(name: string): Promise<{ name: string; kubectl: Kubectl }> {
  await kubectl.run(['create', 'namespace', name]);
  return { name, kubectl: kubectl.in(name) };
}

const idsOf = (objects: readonly KubeObject[]): string[] =>
  objects.map(({ kind, metadata }) => `${kind}/${metadata.name}`).sort();

function objectsIn(text: string): KubeObject[] {
  return parseAllDocuments(text)
    .map((document) => document.toJS())
    .filter((object) => object !== null);
}

async function manifestOf(helm: Helm, release: string, space: string): Promise<string> {
  return helm.run('get', 'manifest', release, '--namespace', space);
}

beforeAll(async () => {
  kube = await startKube();
  kubectl = administrator(kube);
  for (const kind of FOREIGN) await kubectl.apply(foreignDefinition(kind));
  const names = FOREIGN.map(({ group, kind }) => `crd/${kind.toLowerCase()}s.${group}`);
  await kubectl.run(['wait', '--for=condition=Established', '--timeout=30s', ...names]);
});
afterAll(() => kube.stop());

describe.each(PRESENT_HELMS)('with helm %s', (version) => {
  const spaceOf = (text: string): string => `${text}-${version.replace('.', '-')}`;

  test.each(VALUE_SETS)('ci/%s is installed, as it was rendered, and again', async (set) => {
    const space = await namespace(spaceOf(set.replace('-values.yaml', '')));
    const helm = helmOf(version);
    const flags = ['--namespace', space.name, '--values', valuesPath(set)];
    const said = await helm.run('install', 'demo', CHART, ...flags);
    expect(said).toContain('STATUS: deployed');
    const manifest = await manifestOf(helm, 'demo', space.name);
    const there = await space.kubectl.run(['get', '-f', '-', '-o', 'json'], { stdin: manifest });
    expect(idsOf(JSON.parse(there).items)).toEqual(idsOf(objectsIn(manifest)));
    const dryRun = ['--server-side', '--dry-run=server', '--force-conflicts'];
    const tried = await space.kubectl.apply(manifest, ...dryRun);
    expect(tried.trim().split('\n')).toHaveLength(objectsIn(manifest).length);
    const again = await helm.run('upgrade', 'demo', CHART, ...flags);
    expect(again).toContain('REVISION: 2');
    expect(await manifestOf(helm, 'demo', space.name)).toBe(manifest);
  });

  test('what a release leaves behind is taken up by the next one', async () => {
    const space = await namespace(spaceOf('leaving'));
    const helm = helmOf(version);
    const secret = async () =>
      (await space.kubectl.get('secret/demo-entrofleet-credentials')) as KubeObject & {
        data: object;
      };
    await helm.run('install', 'demo', CHART, '--namespace', space.name);
    const made = objectsIn(await manifestOf(helm, 'demo', space.name));
    const before = await secret();
    await helm.run('uninstall', 'demo', '--namespace', space.name);
    const kinds = [...new Set(made.map(({ kind }) => kind))].join(',');
    const left = (await space.kubectl.list(kinds)).filter(({ metadata }) =>
      made.some((object) => object.metadata.name === metadata.name),
    );
    expect([...new Set(left.map(({ kind }) => kind))].sort()).toEqual(KEPT);
    expect((await kubectl.list('crds')).map(({ metadata }) => metadata.name)).toContain(
      'rollouts.entrofleet.io',
    );
    await helm.run('install', 'demo', CHART, '--namespace', space.name);
    const after = await secret();
    expect(after.metadata.uid).toBe(before.metadata.uid);
    expect(after.data).toEqual(before.data);
  });

  test('a release goes from one mode to the other and back, over the same claim', async () => {
    const space = await namespace(spaceOf('modes'));
    const helm = helmOf(version);
    const shared = { controller: { persistence: { accessMode: 'ReadWriteMany' } } };
    const steps = [
      { values: { mode: 'all' }, there: ['controller'] },
      { values: { mode: 'split' }, there: ['api', 'distributor', 'reconciler', 'worker'] },
      { values: { mode: 'all', kubernetes: { enabled: false } }, there: ['controller'] },
      { values: { mode: 'all' }, there: ['controller'] },
    ];
    const claims = new Set<string>();
    for (const { values, there } of steps) {
      const path = await valuesFile({ ...shared, ...values });
      const flags = ['--install', '--namespace', space.name, '--values', path];
      await helm.run('upgrade', 'demo', CHART, ...flags);
      const names = idsOf(await space.kubectl.list('deployments'));
      const wanted = [...there, 'redis'].map((part) => `Deployment/demo-entrofleet-${part}`);
      expect(names).toEqual(wanted.sort());
      const claim = await space.kubectl.get('pvc/demo-entrofleet-controller');
      claims.add(claim.metadata.uid);
    }
    expect(claims.size).toBe(1);
  });

  test('values that are refused leave nothing behind', async () => {
    const space = await namespace(spaceOf('refused'));
    const helm = helmOf(version);
    const path = await valuesFile({ mode: 'split' });
    const flags = ['--namespace', space.name, '--values', path];
    const attempt = await helm.attempt('install', 'demo', CHART, ...flags);
    expect(attempt.status).not.toBe(0);
    expect(attempt.stderr).toContain('mode is split');
    const left = await space.kubectl.list('deployments,secrets,persistentvolumeclaims');
    expect(idsOf(left).filter((id) => !id.includes('default-token'))).toEqual([]);
  });
});

/** The chart before, without its demand for a server newer than the one that can be had here. */
async function previousChart(): Promise<string> {
  const folder = await temporaryFolder('previous-chart');
  await mkdir(folder, { recursive: true });
  await runProgram('tar', ['-xzf', PREVIOUS, '-C', folder]);
  const path = join(folder, 'entrofleet/Chart.yaml');
  const text = await readFile(path, 'utf8');
  await writeFile(path, text.replace(/^kubeVersion: .*$/m, ''));
  return join(folder, 'entrofleet');
}

/** Client-side: server-side apply of this server wants what that chart leaves to defaults. */
async function installPrevious(version: HelmVersion, ...flags: string[]): Promise<void> {
  const clientSide = version === '4.1' ? ['--server-side=false'] : [];
  const chart = await previousChart();
  await helmOf(version).run('install', 'demo', chart, ...clientSide, ...flags);
}

/** The release's objects, by kind and name. */
function byId(objects: readonly KubeObject[]): Map<string, KubeObject> {
  const own = objects.filter(({ metadata }) => metadata.name.startsWith('demo-entrofleet'));
  return new Map(own.map((object) => [`${object.kind}/${object.metadata.name}`, object]));
}

describe.each(PRESENT_HELMS)('the chart before, upgraded with helm %s', (version) => {
  const KINDS = 'secrets,persistentvolumeclaims,statefulsets,deployments,services';

  const schemaOf = async () => {
    const { spec } = await kubectl.get('crd/rollouts.entrofleet.io');
    return Object(spec).versions[0].schema;
  };

  test('leaves the definitions to the command that the notes name', async () => {
    await kubectl.run(['delete', '-f', CRD_FOLDER, '--ignore-not-found']);
    const space = await namespace(`definitions-${version.replace('.', '-')}`);
    const helm = helmOf(version);
    await installPrevious(version, '--namespace', space.name);
    const before = await schemaOf();
    await helm.run('upgrade', 'demo', CHART, '--namespace', space.name);
    expect(await schemaOf()).toEqual(before);
    await kubectl.run(['apply', '--server-side', '--force-conflicts', '-f', CRD_FOLDER]);
    const text = await readFile(join(CRD_FOLDER, 'rollouts.entrofleet.io.yaml'), 'utf8');
    expect(await schemaOf()).toEqual(Object(objectsIn(text)[0]?.spec).versions[0].schema);
    expect(await schemaOf()).not.toEqual(before);
  });

  test('keeps secrets, claims, and the objects that hold them', async () => {
    const space = await namespace(`upgrade-${version.replace('.', '-')}`);
    const helm = helmOf(version);
    const flags = ['--namespace', space.name];
    const values = await valuesFile({ controller: { persistence: { size: '70Gi' } } });
    await installPrevious(version, ...flags, '--values', values);
    const before = byId(await space.kubectl.list(KINDS));
    const said = await helm.run('upgrade', 'demo', CHART, ...flags, '--reset-then-reuse-values');
    expect(said).toContain('-f charts/entrofleet/crds/');
    const after = byId(await space.kubectl.list(KINDS));
    expect(before.size).toBeGreaterThan(8);
    for (const [id, was] of before) {
      const is = after.get(id);
      expect(is?.metadata.uid, id).toBe(was.metadata.uid);
      if (was.kind === 'Secret') expect(Object(is).data).toEqual(Object(was).data);
      if (was.kind === 'PersistentVolumeClaim') expect(is?.spec).toEqual(was.spec);
      if (was.kind !== 'StatefulSet') continue;
      expect(is?.spec.volumeClaimTemplates).toEqual(was.spec.volumeClaimTemplates);
      expect(is?.spec.selector).toEqual(was.spec.selector);
    }
    const claim = after.get('PersistentVolumeClaim/demo-entrofleet-controller');
    expect(claim?.spec.resources).toEqual({ requests: { storage: '70Gi' } });
  });

  test('says which values are missing when the old defaults are kept', async () => {
    const space = await namespace(`reuse-${version.replace('.', '-')}`);
    const helm = helmOf(version);
    const flags = ['--namespace', space.name];
    await installPrevious(version, ...flags);
    const attempt = await helm.attempt('upgrade', 'demo', CHART, ...flags, '--reuse-values');
    expect(attempt.status).not.toBe(0);
    expect(attempt.stderr).toMatch(/missing propert.*'kubernetes'|kubernetes is required/);
    expect(attempt.stderr).not.toContain('nil pointer');
  });
});

interface Wish {
  readonly verb: string;
  readonly resource: string;
  readonly group?: string;
  readonly subresource?: string;
  readonly name?: string;
  /** Default: the release's namespace; empty: all of them. */
  readonly namespace?: string;
}

const OWN = 'entrofleet.io';
const LEASES = { group: 'coordination.k8s.io', resource: 'leases' };
const MAY: readonly Wish[] = [
  ...['get', 'list', 'watch', 'patch'].flatMap((verb) => [
    { verb, group: OWN, resource: 'models' },
    { verb, group: OWN, resource: 'rollouts' },
  ]),
  { verb: 'update', group: OWN, resource: 'models', subresource: 'status' },
  { verb: 'update', group: OWN, resource: 'rollouts', subresource: 'status' },
  { verb: 'create', resource: 'events' },
  { verb: 'create', ...LEASES },
  { verb: 'get', ...LEASES, name: 'demo-entrofleet' },
  { verb: 'update', ...LEASES, name: 'demo-entrofleet' },
];
const MAY_NOT: readonly Wish[] = [
  ...['create', 'update', 'delete', 'deletecollection'].flatMap((verb) => [
    { verb, group: OWN, resource: 'models' },
    { verb, group: OWN, resource: 'rollouts' },
  ]),
  ...['list', 'watch'].map((verb) => ({ verb, group: OWN, resource: 'models', namespace: '' })),
  { verb: 'list', group: OWN, resource: 'rollouts', namespace: 'kube-system' },
  { verb: 'get', ...LEASES, name: 'other' },
  { verb: 'update', ...LEASES, name: 'other' },
  { verb: 'delete', ...LEASES, name: 'demo-entrofleet' },
  { verb: 'list', ...LEASES },
  { verb: 'patch', group: OWN, resource: 'rollouts', subresource: 'status' },
  { verb: 'list', resource: 'events' },
  { verb: 'patch', resource: 'events' },
  { verb: 'delete', resource: 'events' },
  ...['get', 'list', 'watch', 'create', 'update', 'patch', 'delete'].flatMap((verb) => [
    { verb, resource: 'secrets' },
    { verb, resource: 'configmaps' },
    { verb, resource: 'pods' },
  ]),
  { verb: 'create', resource: 'pods', subresource: 'exec' },
  { verb: 'create', resource: 'serviceaccounts', subresource: 'token' },
  { verb: 'get', resource: 'nodes', namespace: '' },
  { verb: 'list', resource: 'namespaces', namespace: '' },
  { verb: 'patch', group: 'apps', resource: 'deployments' },
  { verb: 'create', group: 'rbac.authorization.k8s.io', resource: 'rolebindings' },
  { verb: 'escalate', group: 'rbac.authorization.k8s.io', resource: 'roles' },
  { verb: 'patch', group: 'apiextensions.k8s.io', resource: 'customresourcedefinitions' },
  { verb: 'impersonate', resource: 'users', namespace: '' },
];

const textOf = ({ verb, resource, subresource, name, namespace: space }: Wish): string =>
  `${verb} ${[resource, subresource ?? name].filter(Boolean).join('/')} ${space ?? ''}`.trim();

describe.skipIf(PRESENT_HELMS.length === 0)('with exactly the rights of the chart', () => {
  const SPACE = 'rights';
  const ACCOUNT = 'demo-entrofleet-kubernetes';

  beforeAll(async () => {
    await namespace(SPACE);
    const helm = helmOf(PRESENT_HELMS[0] ?? '4.1');
    await helm.run('install', 'demo', CHART, '--namespace', SPACE);
  });

  /** What `kubectl auth can-i --as=system:serviceaccount:...` asks. */
  async function mayDo(account: string, wish: Wish): Promise<boolean> {
    const { namespace: space = SPACE, ...attributes } = wish;
    const path = '/apis/authorization.k8s.io/v1/subjectaccessreviews';
    const { body } = await kube.call('POST', path, {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: `system:serviceaccount:${SPACE}:${account}`,
        groups: ['system:serviceaccounts', `system:serviceaccounts:${SPACE}`],
        resourceAttributes: { ...attributes, namespace: space },
      },
    });
    const { allowed } = Object(Object(body).status);
    if (typeof allowed !== 'boolean') throw new Error(`no answer: ${JSON.stringify(body)}`);
    return allowed;
  }

  async function refused(account: string, wishes: readonly Wish[]): Promise<string[]> {
    const answers = await Promise.all(wishes.map((wish) => mayDo(account, wish)));
    return wishes.filter((_wish, index) => answers[index] === false).map(textOf);
  }

  test('the pods of the role kubernetes may do what they need', async () => {
    expect(await refused(ACCOUNT, MAY)).toEqual([]);
  });

  test('and nothing of all the rest', async () => {
    expect(await refused(ACCOUNT, MAY_NOT)).toEqual(MAY_NOT.map(textOf));
  });

  test('the other pods may do nothing at all', async () => {
    const all = [...MAY, ...MAY_NOT];
    expect(await refused('demo-entrofleet', all)).toEqual(all.map(textOf));
  });

  test('kubectl says the same, and a token of the account is refused what it may not', async () => {
    const mine = kubectl.in(SPACE);
    const as = `--as=system:serviceaccount:${SPACE}:${ACCOUNT}`;
    const canI = async (...question: string[]) =>
      (await mine.attempt(['auth', 'can-i', ...question, as])).stdout.trim();
    expect(await canI('watch', 'rollouts.entrofleet.io')).toBe('yes');
    expect(await canI('delete', 'rollouts.entrofleet.io')).toBe('no');
    const token = await kube.serviceAccountToken({ namespace: SPACE, name: ACCOUNT });
    const path = await kube.kubeconfig({ token, namespace: SPACE });
    const attempt = (...args: string[]) => mine.attempt([...args, `--kubeconfig=${path}`]);
    expect((await attempt('get', 'models')).status).toBe(0);
    expect((await attempt('get', 'secrets')).stderr).toContain('Forbidden');
    expect((await attempt('get', 'models', '--all-namespaces')).stderr).toContain('Forbidden');
  });
});
