import { describe, expect, test } from 'vitest';
import {
  CHART,
  type ChartObject,
  environmentOf,
  find,
  idOf,
  NAMESPACE,
  PRESENT_HELMS,
  RELEASE,
  renderChart,
  renderText,
  VALUE_SETS,
  valuesPath,
  workloads,
} from '../support/chart.ts';
import { Helm } from '../support/helm.ts';
import { OPTION_NAMES } from './option.names.ts';

/** Release names have at most 53 characters. */
const LONG_RELEASE = `long-${'x'.repeat(48)}`;
const NAME = /^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$/;
/** A StatefulSet's pods have a label of its name, a dash and a hash of ten characters. */
const REVISION_LENGTH = 11;
const PASSWORD = /^( {2}\S+-password: ).*$/gm;

const withoutPasswords = (text: string): string => text.replaceAll(PASSWORD, '$1(made)');
const PARTS = ['api', 'worker', 'distributor', 'reconciler'] as const;
const programs = (objects: readonly ChartObject[]) =>
  workloads(objects).filter(({ labels }) => labels['entrofleet.io/program'] === 'controller');
const present = PRESENT_HELMS.length > 0;

describe.each(PRESENT_HELMS)('with helm %s the chart', (version) => {
  test.each(VALUE_SETS)('passes lint --strict with ci/%s', async (set) => {
    const helm = new Helm({ version });
    const said = await helm.run('lint', '--strict', CHART, '--values', valuesPath(set));
    expect(said).toContain('0 chart(s) failed');
    expect(said).not.toMatch(/WARNING|ERROR/);
  });

  test('renders what test/structure/chart.snapshot.txt shows; "vitest -u" writes it', async () => {
    const text = withoutPasswords(await renderText(version, []));
    await expect(text).toMatchFileSnapshot('./chart.snapshot.txt');
  });
});

test.skipIf(PRESENT_HELMS.length < 2).each(VALUE_SETS)(
  'ci/%s gives the same with every helm',
  async (set) => {
    const texts = PRESENT_HELMS.map((version) =>
      renderText(version, ['--values', valuesPath(set)]),
    );
    const [one, ...others] = (await Promise.all(texts)).map(withoutPasswords);
    for (const other of others) expect(other).toBe(one);
  },
);

describe.skipIf(!present).each(VALUE_SETS)('the chart with ci/%s', (set) => {
  test('gives each object a name of its own and the labels of the release', async () => {
    const objects = await renderChart(set);
    const ids = objects.map(idOf);
    expect(new Set(ids).size).toBe(ids.length);
    expect(objects.length).toBeGreaterThan(1);
    for (const { metadata } of objects) {
      expect(metadata.labels['app.kubernetes.io/instance'], metadata.name).toBe(RELEASE);
      expect(metadata.labels['helm.sh/chart'], metadata.name).toMatch(/^entrofleet-\d/);
    }
  });

  test('has names that fit, however long the release is called', async () => {
    for (const object of await renderChart(set, { release: LONG_RELEASE })) {
      expect(object.metadata.name).toMatch(NAME);
      const room = object.kind === 'StatefulSet' ? REVISION_LENGTH : 0;
      expect(object.metadata.name.length + room).toBeLessThanOrEqual(63);
    }
  });

  test('selects exactly the pods that it makes', async () => {
    const objects = await renderChart(set);
    const pods = workloads(objects);
    for (const { id, object, labels } of pods) {
      if (object.kind === 'Pod') continue;
      const selector = object.spec?.selector?.matchLabels ?? {};
      expect(Object.keys(selector).sort(), id).toEqual(
        ['component', 'instance', 'name'].map((name) => `app.kubernetes.io/${name}`),
      );
      expect(labels, id).toMatchObject(selector);
    }
    const selectors = pods.map(({ object }) => JSON.stringify(object.spec?.selector));
    expect(new Set(selectors).size).toBe(pods.length);
  });

  test('leads each service to pods that have its port', async () => {
    const objects = await renderChart(set);
    for (const service of objects.filter(({ kind }) => kind === 'Service')) {
      const { selector, ports } = Object(service.spec);
      const pods = workloads(objects).filter(({ labels }) =>
        Object.entries(selector).every(([key, value]) => labels[key] === value),
      );
      expect(pods.length, idOf(service)).toBeGreaterThan(0);
      for (const { pod } of pods) {
        const names = pod.containers.flatMap(({ ports: open = [] }) => open);
        expect(names).toContainEqual(expect.objectContaining({ name: ports[0].targetPort }));
      }
    }
  });

  test('gives each container requests, a limit of memory and probes', async () => {
    for (const { id, object, pod } of workloads(await renderChart(set))) {
      for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
        expect(container.resources, `${id} ${container.name}`).toMatchObject({
          requests: { cpu: expect.anything(), memory: expect.anything() },
          limits: { memory: expect.anything() },
        });
        if (object.kind === 'Pod' || pod.initContainers?.includes(container)) continue;
        expect(container, id).toHaveProperty('livenessProbe');
        expect(container, id).toHaveProperty('readinessProbe');
      }
    }
  });

  test('mounts only volumes that the pod has, and each of them', async () => {
    for (const { id, object, pod } of workloads(await renderChart(set))) {
      const containers = [...(pod.initContainers ?? []), ...pod.containers];
      const mounted = containers.flatMap(({ volumeMounts = [] }) => volumeMounts);
      const { volumeClaimTemplates = [] } = Object(object.spec);
      const claims: string[] = volumeClaimTemplates.map(
        ({ metadata }: ChartObject) => metadata.name,
      );
      const names = [...(pod.volumes ?? []).map(({ name }) => name), ...claims];
      expect([...new Set(mounted.map(({ name }) => name))].sort(), id).toEqual(names.sort());
    }
  });

  test.each(['controller', 'agent'] as const)('sets only options that the %s has', async (app) => {
    const ofApp = workloads(await renderChart(set)).filter(
      ({ pod }) => pod.containers[0]?.name === app,
    );
    for (const workload of ofApp) {
      const env = workload.pod.containers[0]?.env ?? [];
      const names = env.map(({ name }) => name);
      expect(new Set(names).size, `a variable twice in ${workload.id}`).toBe(names.length);
      const unknown = names.filter((name) => !OPTION_NAMES[app].has(name));
      // What other variables are put together from, and Node's own.
      const others = unknown.filter((name) => !/^[A-Z]+_PASSWORD$/.test(name));
      expect(others.filter((name) => name !== 'NODE_EXTRA_CA_CERTS')).toEqual([]);
      expect(names).toContain('MQTT_URL');
      if (app === 'controller') {
        expect(names, 'never the embedded database').toContain('DATABASE_URL');
        const seconds = Number(environmentOf(workload).SHUTDOWN_TIMEOUT_SECONDS);
        expect(workload.pod.terminationGracePeriodSeconds).toBeGreaterThan(seconds);
      }
    }
  });

  test('runs every role once, as one program or as four', async () => {
    const roles = programs(await renderChart(set)).map(
      (workload) => environmentOf(workload).ENTROFLEET_ROLES,
    );
    const isSplit = set.startsWith('split');
    const text = roles.join(',').replace(',kubernetes', '');
    if (set === 'agent-values.yaml') expect(roles).toEqual([]);
    else expect(text).toBe(isSplit ? PARTS.join(',') : 'all');
  });
});

test.skipIf(!present)('the notes name the next command for the chosen values', async () => {
  const notes = async (...options: string[]): Promise<string> => {
    const helm = new Helm({ version: PRESENT_HELMS[0] ?? '4.1' });
    const flags = ['--dry-run=client', '--namespace', NAMESPACE, ...options];
    return (await helm.run('install', 'r', CHART, ...flags)).split('NOTES:')[1] ?? '';
  };
  const usual = await notes();
  expect(usual).toContain('helm -n fleet test r');
  expect(usual).toContain('apply -f deploy/examples/model.yaml');
  expect(usual).toContain('port-forward service/r-entrofleet-controller 8080:80');
  expect(usual).not.toContain('charts/entrofleet/crds/');
  const edge = await notes('--values', valuesPath('edge-values.yaml'));
  expect(edge).toContain('kubectl label node NODE entrofleet.io/edge=true');
  expect(edge).toContain("jsonpath='{.data.ca\\.crt}'");
  const split = await notes('--values', valuesPath('split-values.yaml'));
  expect(split).toContain('rollout status deployment/r-entrofleet-api');
  expect(split).toContain('describe hpa r-entrofleet-worker');
  const rest = await notes('--values', valuesPath('rest-values.yaml'));
  expect(rest).not.toContain('apply -f deploy/examples');
  expect(rest).toContain('WARNING');
  const ingress = await notes('--values', valuesPath('replicas-values.yaml'));
  expect(ingress).toContain('https://fleet.example.com/docs');
  expect(ingress).toContain('http://fleet.example.org/docs');
});

test.skipIf(!present)('another release in the namespace shares no name with it', async () => {
  const one = (await renderChart({}, { release: 'one' })).map(idOf);
  const two = (await renderChart({}, { release: 'two' })).map(idOf);
  expect(one.filter((id) => two.includes(id))).toEqual([]);
  expect(find(await renderChart({ fullnameOverride: 'x' }), 'Service/x-controller')).toBeDefined();
});
