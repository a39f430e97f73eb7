import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { parse } from 'yaml';
import { documentedChart, valueRows } from '../../deploy/kube/chart.values.ts';
import {
  CHART,
  NAMESPACE,
  PRESENT_HELMS,
  RELEASE,
  renderChart,
  valuesFile,
} from '../support/chart.ts';
import { Helm } from '../support/helm.ts';

/** What is wrong, the values, and words of the message. */
const REFUSED: readonly (readonly [string, object, ...string[]])[] = [
  ['an unknown key', { controler: { logLevel: 'info' } }, 'controler'],
  ['an unknown key inside', { redis: { imgae: {} } }, 'imgae'],
  ['an unknown key far inside', { split: { worker: { autoscaling: { min: 1 } } } }, 'min'],
  ['an unknown key of a toleration', { agent: { tolerations: [{ kee: 'a' }] } }, 'kee'],
  ['a mode that does not exist', { mode: 'half' }, 'mode', 'split'],
  ['a level that does not exist', { controller: { logLevel: 'loud' } }, 'logLevel', 'debug'],
  ['a text for a number', { controller: { sweepIntervalSeconds: 'often' } }, 'sweepInterval'],
  ['a broker of another protocol', { mosquitto: { externalUrl: 'http://b' } }, 'externalUrl'],
  [
    'a password in a value that everybody may read',
    { postgresql: { bundled: false, externalUrl: 'postgresql://me:secret@db/e' } },
    'externalUrl',
  ],
  ['an image as of the chart before', { redis: { image: 'redis:7' } }, 'image', 'object'],
  ['a digest that is none', { agent: { image: { digest: 'latest' } } }, 'digest'],
  ['a size without sense', { mosquitto: { persistence: { size: 'large' } } }, 'size'],
  ['a comma in a device label', { agent: { labels: { a: 'b,c=d' } } }, 'labels'],
  ['a port out of range', { mosquitto: { service: { port: 70000 } } }, 'service'],
  ['an upper case name', { fullnameOverride: 'Fleet' }, 'fullnameOverride'],
  ['a label that is none', { commonLabels: { team: 'the edge' } }, 'commonLabels'],
  [
    'an access mode that does not exist',
    { controller: { persistence: { accessMode: 'RWX' } } },
    'accessMode',
  ],
  ['a relative folder', { agent: { dataHostPath: 'data' } }, 'dataHostPath'],
  ['an ingress as of the chart before', { ingress: { host: 'a.example.com' } }, 'host'],
  ['a part taken away', { kubernetes: null }, 'kubernetes'],
  [
    'roles apart over a volume of one node',
    { mode: 'split' },
    'mode is split',
    'controller.persistence.accessMode is ReadWriteOnce: set it to ReadWriteMany',
  ],
  [
    'replicas over a volume of one node',
    { controller: { replicas: 2 } },
    'controller.replicas is 2',
    'ReadWriteMany',
  ],
  [
    'replicas without an election',
    {
      controller: { replicas: 2, persistence: { accessMode: 'ReadWriteMany' } },
      kubernetes: { enabled: false },
    },
    'set kubernetes.enabled to true, or controller.replicas to 1',
  ],
  [
    'reconcilers without an election',
    {
      mode: 'split',
      split: { reconciler: { replicas: 3 } },
      controller: { persistence: { accessMode: 'ReadWriteMany' } },
      kubernetes: { enabled: false },
    },
    'split.reconciler.replicas is 3',
  ],
  [
    'an autoscaler without workers of their own',
    { split: { worker: { autoscaling: { enabled: true } } } },
    'set mode to split',
  ],
  [
    'fewer workers at most than at least',
    {
      mode: 'split',
      controller: { persistence: { accessMode: 'ReadWriteMany' } },
      split: { worker: { autoscaling: { enabled: true, minReplicas: 9 } } },
    },
    'minReplicas is 9, more than maxReplicas, 4',
  ],
  [
    'a delay longer than the time',
    { controller: { shutdownTimeoutSeconds: 5 } },
    'shutdownTimeoutSeconds, which is only 5',
  ],
  [
    'no database at all',
    { postgresql: { bundled: false } },
    'set postgresql.externalUrl or postgresql.urlSecret',
  ],
  [
    'a database twice',
    { postgresql: { externalUrl: 'postgresql://db/e' } },
    'set postgresql.bundled to false',
  ],
  [
    'a secret without a key',
    { redis: { bundled: false, urlSecret: { name: 'queue' } } },
    'set redis.urlSecret.key',
  ],
  [
    'two addresses of a broker',
    {
      mosquitto: {
        bundled: false,
        externalUrl: 'mqtt://b',
        urlSecret: { name: 'broker', key: 'url' },
      },
    },
    'both set',
  ],
  ['TLS without a certificate', { mosquitto: { tls: { enabled: true } } }, 'tls.existingSecret'],
  [
    'a certificate without TLS',
    { mosquitto: { tls: { certificate: { enabled: true } } } },
    'mosquitto.tls.enabled is false',
  ],
  [
    'a certificate without an issuer',
    { mosquitto: { tls: { enabled: true, certificate: { enabled: true } } } },
    'issuerRef.name',
  ],
  [
    'TLS of a broker that is not ours',
    { mosquitto: { bundled: false, externalUrl: 'mqtts://b', tls: { enabled: true } } },
    'mqtts://, and caSecret',
  ],
  [
    'a service account without a name',
    { kubernetes: { serviceAccount: { create: false } } },
    'kubernetes.serviceAccount.name',
  ],
  ['an ingress without a host', { ingress: { enabled: true, hosts: [] } }, 'ingress.hosts'],
  [
    'agents for a broker that nobody uses',
    { controller: { enabled: false }, agent: { enabled: true } },
    'set mosquitto.bundled to false',
  ],
  [
    'nothing at all',
    { controller: { enabled: false }, mosquitto: { bundled: false, externalUrl: 'mqtt://b' } },
    'nothing to install',
  ],
];

describe.each(PRESENT_HELMS)('with helm %s the chart refuses values with', (version) => {
  test.each(REFUSED)('%s', async (_what, values, ...words) => {
    const helm = new Helm({ version });
    const path = await valuesFile(values);
    const flags = ['--namespace', NAMESPACE, '--values', path];
    const { status, stderr } = await helm.attempt('template', RELEASE, CHART, ...flags);
    expect(status).not.toBe(0);
    for (const word of words) expect(stderr).toContain(word);
    // Neither a failure of the template engine nor YAML that cannot be read.
    expect(stderr).not.toMatch(/nil pointer|wrong type for value|can't evaluate|YAML parse error/);
  });
});

test.skipIf(PRESENT_HELMS.length === 0)(
  'a release whose name suits no service is refused',
  async () => {
    await expect(renderChart({}, { release: '1st' })).rejects.toThrow('set fullnameOverride');
    expect(await renderChart({ fullnameOverride: 'first' }, { release: '1st' })).not.toEqual([]);
  },
);

interface Schema {
  readonly type?: string | readonly string[];
  readonly $ref?: string;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean | Schema;
  readonly items?: Schema;
}
const read = (name: string): string => readFileSync(join(CHART, name), 'utf8');
const root: Schema & { definitions: Readonly<Record<string, Schema>> } = JSON.parse(
  read('values.schema.json'),
);

function resolved(schema: Schema): Schema {
  const name = schema.$ref?.replace('#/definitions/', '');
  return name === undefined ? schema : (root.definitions[name] ?? {});
}

/** Differences between values and schema, key by key. */
function differences(value: unknown, given: Schema, path: string): string[] {
  const schema = resolved(given);
  if (schema.properties === undefined || schema.required === undefined) return [];
  const keys = Object.keys(Object(value));
  const known = Object.keys(schema.properties);
  const apart = [
    ...keys.filter((key) => !known.includes(key)).map((key) => `${path}.${key}: no schema`),
    ...known.filter((key) => !keys.includes(key)).map((key) => `${path}.${key}: no value`),
    ...known
      .filter((key) => schema.required?.includes(key) !== true)
      .map((key) => `${path}.${key}: may be taken away`),
  ];
  const inside = Object.entries(schema.properties).flatMap(([key, child]) =>
    differences(Object(value)[key], child, `${path}.${key}`),
  );
  return [...apart, ...inside];
}

test('the schema knows every value of values.yaml, and the other way round', () => {
  expect(differences(parse(read('values.yaml')), root, '')).toEqual([]);
});

test('the schema refuses unknown keys at every level, but for maps and what Kubernetes defines', () => {
  const open: string[] = [];
  const look = (given: Schema, path: string): void => {
    for (const [key, child] of Object.entries(given.properties ?? {}))
      look(child, `${path}.${key}`);
    if (given.items !== undefined) look(given.items, `${path}[]`);
    if (given.type === 'object' && given.additionalProperties === undefined) open.push(path);
  };
  look(root, '');
  for (const [name, definition] of Object.entries(root.definitions)) look(definition, `#${name}`);
  expect(open.sort()).toEqual(
    [
      '#affinity.nodeAffinity',
      '#affinity.podAffinity',
      '#affinity.podAntiAffinity',
      '#env[].valueFrom',
      '#peers[].ipBlock',
      '#peers[].namespaceSelector',
      '#peers[].podSelector',
      '#topologySpread[].labelSelector',
      // Helm hands it to every chart of a tree, so others have keys there too.
      '.global',
      '#volumes[]',
      '.networkPolicy.extraEgress[].ports[]',
      '.split.worker.autoscaling.behavior.scaleDown',
      '.split.worker.autoscaling.behavior.scaleUp',
    ].sort(),
  );
});

test('every value is described', () => {
  const rows = valueRows(read('values.yaml'), root);
  expect(rows.filter(({ description }) => description === '').map(({ key }) => key)).toEqual([]);
  expect(rows.length).toBeGreaterThan(150);
  for (const { key, description } of rows) {
    expect(description, key).toMatch(/^[A-Z`].*[.)]$/);
  }
});

test('docs/CHART.md is as "npm run chart-docs" writes it', async () => {
  const { path, text } = await documentedChart();
  expect(readFileSync(path, 'utf8') === text, `${path} is stale`).toBe(true);
});
