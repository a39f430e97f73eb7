import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parseAllDocuments } from 'yaml';
import { OPTION_NAMES, ROOT } from './option.names.ts';

const CHART = join(ROOT, 'charts/entrofleet');
/** Set-up has fetched it, if it could. */
const HELM = join(ROOT, '.cache/helm/helm');
const hasHelm = existsSync(HELM);
const VALUE_SETS = readdirSync(join(CHART, 'ci'));

interface EnvironmentEntry {
  readonly name: string;
  readonly value?: string;
}
interface Container {
  readonly name: string;
  readonly env?: readonly EnvironmentEntry[];
  readonly securityContext: Readonly<Record<string, unknown>>;
  readonly resources?: unknown;
}
interface KubernetesObject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: { readonly name: string; readonly labels: Readonly<Record<string, string>> };
  readonly spec?: {
    readonly selector?: { readonly matchLabels?: Readonly<Record<string, string>> };
    readonly template?: {
      readonly metadata: { readonly labels: Readonly<Record<string, string>> };
      readonly spec: {
        readonly securityContext: Readonly<Record<string, unknown>>;
        readonly containers: readonly Container[];
        readonly initContainers?: readonly Container[];
      };
    };
  };
}

if (!hasHelm) {
  console.warn('SKIPPED: all tests of the helm chart: no helm binary could be fetched');
}
const helm = (...args: string[]): string =>
  execFileSync(HELM, args, { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });

function render(...options: string[]): KubernetesObject[] {
  const text = helm('template', 'release', CHART, '--namespace', 'fleet', ...options);
  return parseAllDocuments(text)
    .map((document) => {
      expect(document.errors).toEqual([]);
      return document.toJS();
    })
    .filter((object) => object !== null);
}

const workloads = (objects: readonly KubernetesObject[]) =>
  objects.flatMap((object) =>
    object.spec?.template === undefined ? [] : [{ object, template: object.spec.template }],
  );

function find(objects: readonly KubernetesObject[], name: string): KubernetesObject | undefined {
  return objects.find((object) => `${object.kind}/${object.metadata.name}` === name);
}

describe.skipIf(!hasHelm).each(VALUE_SETS)('the chart with ci/%s', (set) => {
  const valuesPath = join(CHART, 'ci', set);
  const objects = !hasHelm ? [] : render('--values', valuesPath);

  test('passes helm lint', () => {
    expect(helm('lint', '--strict', CHART, '--values', valuesPath)).toContain('0 chart(s) failed');
  });

  test('gives each object a name of its own and the labels of the release', () => {
    const names = objects.map((object) => `${object.kind}/${object.metadata.name}`);
    expect(new Set(names).size).toBe(names.length);
    expect(objects.length).toBeGreaterThan(2);
    for (const object of objects) {
      expect(object.metadata.labels['app.kubernetes.io/instance']).toBe('release');
    }
  });

  test('selects exactly the pods that it makes', () => {
    for (const { object, template } of workloads(objects)) {
      expect(template.metadata.labels).toMatchObject({ ...object.spec?.selector?.matchLabels });
    }
  });

  test('takes every right from every pod', () => {
    for (const { template } of workloads(objects)) {
      expect(template.spec).toMatchObject({
        automountServiceAccountToken: false,
        securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
      });
      for (const container of template.spec.containers) {
        expect(container.securityContext).toEqual({
          allowPrivilegeEscalation: false,
          readOnlyRootFilesystem: true,
          capabilities: { drop: ['ALL'] },
        });
        expect(container.resources).toHaveProperty('limits.memory');
      }
    }
  });

  test.each(['controller', 'agent'] as const)('sets only options that the %s has', (app) => {
    const containers = workloads(objects)
      .flatMap(({ template }) => template.spec.containers)
      .filter((container) => container.name === app);
    const names = containers.flatMap((container) => (container.env ?? []).map((e) => e.name));
    const passwords = names.filter((name) => name.endsWith('_PASSWORD'));
    const unknown = names.filter((name) => !OPTION_NAMES[app].has(name));
    expect(unknown).toEqual(passwords);
    if (app === 'controller') expect(names).toEqual(expect.arrayContaining(['DATABASE_URL']));
  });
});

describe.skipIf(!hasHelm)('the chart', () => {
  test('bundles database, queue and broker by default, and no agent', () => {
    const names = workloads(render()).map(({ object }) => object.metadata.name);
    expect(names.sort()).toEqual(
      ['controller', 'mosquitto', 'postgresql', 'redis'].map(
        (part) => `release-entrofleet-${part}`,
      ),
    );
  });

  test('uses what is there already when told so', () => {
    const objects = render('--values', join(CHART, 'ci/external-values.yaml'));
    expect(workloads(objects).map(({ object }) => object.metadata.name)).toEqual([
      'release-entrofleet-controller',
    ]);
    const controller = find(objects, 'Deployment/release-entrofleet-controller');
    const env = controller?.spec?.template?.spec.containers[0]?.env ?? [];
    expect(env).toContainEqual({ name: 'MQTT_URL', value: 'mqtts://broker.example.com:8883' });
    expect(env).toContainEqual({ name: 'REDIS_URL', value: 'redis://redis.shared:6379' });
    expect(env.find((e) => e.name === 'DATABASE_URL')).toMatchObject({
      valueFrom: { secretKeyRef: { name: 'record', key: 'url' } },
    });
    expect(objects.some((object) => object.kind === 'PersistentVolumeClaim')).toBe(false);
  });

  test('makes passwords of its own unless a secret is named', () => {
    const made = find(render(), 'Secret/release-entrofleet-credentials');
    const data: Record<string, string> =
      made !== undefined && 'data' in made ? Object(made.data) : {};
    const passwords = Object.values(data).map((text) => Buffer.from(text, 'base64').toString());
    expect(passwords).toHaveLength(3);
    expect(new Set(passwords).size).toBe(3);
    for (const password of passwords) expect(password).toMatch(/^[A-Za-z0-9]{32}$/);
    const named = render('--set', 'existingSecret=mine');
    expect(named.some((object) => object.kind === 'Secret')).toBe(false);
    expect(JSON.stringify(named)).toContain('"secretKeyRef":{"name":"mine"');
  });

  test('sends the ingress to the controller', () => {
    const objects = render('--values', join(CHART, 'ci/edge-values.yaml'));
    expect(find(objects, 'Ingress/fleet')?.spec).toMatchObject({
      ingressClassName: 'nginx',
      tls: [{ hosts: ['fleet.example.com'], secretName: 'fleet-tls' }],
      rules: [{ http: { paths: [{ backend: { service: { name: 'fleet-controller' } } }] } }],
    });
    expect(find(objects, 'Service/fleet-controller')).toBeDefined();
  });

  test.each([
    ['an unknown key', 'controler: { logLevel: info }', 'controler'],
    ['an unknown key inside', 'redis: { imgae: "redis:7" }', 'imgae'],
    ['a level that does not exist', 'controller: { logLevel: loud }', 'logLevel'],
    ['a text for a number', 'controller: { sweepIntervalSeconds: often }', 'sweepIntervalSeconds'],
    ['no database at all', 'postgresql: { bundled: false }', 'postgresql'],
    ['a broker of another protocol', 'mosquitto: { externalUrl: "http://b" }', 'externalUrl'],
    ['an image without a tag', 'redis: { image: redis }', 'image'],
    ['a size without sense', 'mosquitto: { persistence: { size: large } }', 'size'],
    ['a comma in a device label', 'agent: { labels: { a: "b,c=d" } }', 'labels'],
    ['a port out of range', 'mosquitto: { service: { port: 70000 } }', 'port'],
  ])('refuses values with %s', async (_what, values, named) => {
    const folder = await mkdtemp(join(tmpdir(), 'entrofleet-values-'));
    try {
      await writeFile(join(folder, 'values.yaml'), values);
      const attempt = () => helm('template', 'r', CHART, '--values', join(folder, 'values.yaml'));
      expect(attempt).toThrow(named);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

test('the schema knows every value of values.yaml and the other way round', () => {
  const read = (name: string): string => readFileSync(join(CHART, name), 'utf8');
  const [values] = parseAllDocuments(read('values.yaml')).map((d) => d.toJS());
  const schema = JSON.parse(read('values.schema.json'));
  const inSchema = Object.keys(schema.properties).filter((key) => key !== 'global');
  expect(Object.keys(values).sort()).toEqual(inSchema.sort());
  for (const [key, value] of Object.entries(values)) {
    if (typeof value !== 'object' || value === null || Array.isArray(value)) continue;
    expect(Object.keys(value).sort()).toEqual(
      Object.keys(schema.properties[key].properties).sort(),
    );
  }
});
