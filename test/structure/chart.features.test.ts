import { describe, expect, test } from 'vitest';
import {
  environmentOf,
  find,
  idOf,
  PRESENT_HELMS,
  renderChart,
  type Workload,
  workloads,
} from '../support/chart.ts';

const DIGEST = `sha256:${'0123456789abcdef'.repeat(4)}`;
const present = PRESENT_HELMS.length > 0;

async function workload(values: string | object, name: string): Promise<Workload> {
  const all = workloads(await renderChart(values));
  const found = all.find(({ object }) => object.metadata.name === name);
  if (found === undefined) throw new Error(`no ${name} in ${all.map(({ id }) => id).join(', ')}`);
  return found;
}

const images = ({ pod }: Workload): string[] => pod.containers.map(({ image }) => image);

describe.skipIf(!present)('the chart', () => {
  test('bundles database, queue and broker by default, and no agent', async () => {
    const objects = await renderChart({});
    const names = workloads(objects).map(({ id }) => id.replace('release-entrofleet-', ''));
    expect(names.sort()).toEqual([
      'Deployment/controller',
      'Deployment/redis',
      'Pod/test',
      'StatefulSet/mosquitto',
      'StatefulSet/postgresql',
    ]);
  });

  test('uses what is there already when told so', async () => {
    const objects = await renderChart('external-values.yaml');
    const names = workloads(objects).map(({ object }) => object.metadata.name);
    expect(names).toEqual(['release-entrofleet-controller', 'release-entrofleet-test']);
    const controller = await workload('external-values.yaml', 'release-entrofleet-controller');
    expect(environmentOf(controller)).toMatchObject({
      MQTT_URL: 'mqtts://broker.example.com:8883',
      REDIS_URL: 'redis://redis.shared:6379',
      DATABASE_URL: { secretKeyRef: { name: 'record', key: 'url' } },
    });
    const kinds = objects.map(({ kind }) => kind);
    expect(kinds).not.toContain('PersistentVolumeClaim');
    expect(kinds).not.toContain('Secret');
  });

  test('makes passwords of its own unless a secret is named', async () => {
    const { data = {} } = find(await renderChart({}), 'Secret/release-entrofleet-credentials');
    const passwords = Object.values(data).map((text) => Buffer.from(text, 'base64').toString());
    expect(passwords).toHaveLength(3);
    expect(new Set(passwords).size).toBe(3);
    for (const password of passwords) expect(password).toMatch(/^[A-Za-z0-9]{32}$/);
    const named = await renderChart('existing-values.yaml');
    expect(named.some(({ kind }) => kind === 'Secret')).toBe(false);
    expect(JSON.stringify(named)).toMatch(/"secretKeyRef":\{[^}]*"name":"fleet-passwords"/);
    expect(JSON.stringify(named)).not.toContain('entrofleet-credentials');
  });

  test('lets variables of the values replace its own', async () => {
    const controller = await workload('replicas-values.yaml', 'release-entrofleet-controller');
    expect(environmentOf(controller)).toMatchObject({
      LOG_LEVEL: 'warn',
      REQUEST_LIMIT_BYTES: '2097152',
      SHUTDOWN_TIMEOUT_SECONDS: '120',
    });
    expect(controller.pod.terminationGracePeriodSeconds).toBe(130);
    const worker = await workload('split-values.yaml', 'release-entrofleet-worker');
    expect(environmentOf(worker)).toMatchObject({ EVENT_HISTORY_HOURS: '48' });
    const api = await workload('split-values.yaml', 'release-entrofleet-api');
    expect(environmentOf(api)).toMatchObject({ EVENT_HISTORY_HOURS: '24' });
  });

  test('takes images from a registry of all, of one, and by digest', async () => {
    const set = 'replicas-values.yaml';
    const name = (part: string) => `release-entrofleet-${part}`;
    expect(images(await workload(set, name('controller')))).toEqual([
      `ghcr.io/entrofleet/controller:0.1.0@${DIGEST}`,
    ]);
    expect(images(await workload(set, name('redis')))).toEqual([
      'registry.example.com/mirror/redis:7.4-bookworm',
    ]);
    expect(images(await workload(set, name('mosquitto')))).toEqual([
      'docker.io/eclipse-mosquitto:2.0.22',
    ]);
    for (const { pod } of workloads(await renderChart(set))) {
      expect(pod.imagePullSecrets).toEqual([{ name: 'mirror' }]);
    }
  });

  test('puts common labels on everything, and into no selector', async () => {
    const objects = await renderChart('replicas-values.yaml');
    for (const object of objects) expect(object.metadata.labels).toMatchObject({ team: 'edge' });
    for (const { id, labels } of workloads(objects)) expect(labels.team, id).toBe('edge');
    const selectors = objects.map(({ spec }) => JSON.stringify(spec?.selector ?? {}));
    expect(selectors.join()).not.toContain('team');
  });

  test('leads the ingress with all its hosts, paths and TLS to the controller', async () => {
    const { spec } = find(await renderChart('replicas-values.yaml'), 'Ingress/release-entrofleet');
    const backend = {
      service: { name: 'release-entrofleet-controller', port: { name: 'http' } },
    };
    expect(spec).toEqual({
      ingressClassName: 'nginx',
      tls: [{ hosts: ['fleet.example.com'], secretName: 'fleet-tls' }],
      rules: [
        {
          host: 'fleet.example.com',
          http: { paths: [{ path: '/', pathType: 'Prefix', backend }] },
        },
        {
          host: 'fleet.example.org',
          http: {
            paths: [
              { path: '/api', pathType: 'Prefix', backend },
              { path: '/docs', pathType: 'Exact', backend },
            ],
          },
        },
      ],
    });
  });
});

describe.skipIf(!present)('roles apart', () => {
  const SET = 'split-values.yaml';

  test('have settings of their own, and share those of the controller', async () => {
    const worker = await workload(SET, 'release-entrofleet-worker');
    expect(worker.pod).toMatchObject({
      nodeSelector: { pool: 'compute' },
      priorityClassName: 'batch',
      tolerations: [{ key: 'compute', operator: 'Equal', value: 'true', effect: 'NoSchedule' }],
    });
    const distributor = await workload(SET, 'release-entrofleet-distributor');
    expect(distributor.labels['example.com/tier']).toBe('data');
    expect(distributor.pod.topologySpreadConstraints).toEqual([
      expect.objectContaining({
        labelSelector: {
          matchLabels: expect.objectContaining({ 'app.kubernetes.io/component': 'distributor' }),
        },
      }),
    ]);
    const api = await workload(SET, 'release-entrofleet-api');
    expect(api.labels['example.com/tier']).toBe('control');
    expect(api.object.spec?.replicas).toBe(3);
  });

  test('share one volume, and the service leads to the api', async () => {
    const objects = await renderChart(SET);
    const claims = objects.filter(({ kind }) => kind === 'PersistentVolumeClaim');
    expect(claims.map(({ spec }) => spec?.accessModes)).toEqual([['ReadWriteMany']]);
    for (const { labels, pod } of workloads(objects)) {
      if (labels['entrofleet.io/program'] !== 'controller') continue;
      expect(pod.volumes).toContainEqual({
        name: 'data',
        persistentVolumeClaim: { claimName: 'release-entrofleet-controller' },
      });
    }
    const { spec } = find(objects, 'Service/release-entrofleet-controller');
    expect(spec?.selector).toMatchObject({ 'app.kubernetes.io/component': 'api' });
  });

  test('scale workers on the length of the queue, and nobody else says how many', async () => {
    const objects = await renderChart(SET);
    const scaler = find(objects, 'HorizontalPodAutoscaler/release-entrofleet-worker');
    expect(scaler.spec).toMatchObject({
      scaleTargetRef: { apiVersion: 'apps/v1', kind: 'Deployment', name: scaler.metadata.name },
      minReplicas: 1,
      maxReplicas: 10,
      metrics: [
        {
          type: 'External',
          external: {
            metric: {
              name: 'entrofleet_queue_keys',
              selector: { matchLabels: { queue: 'compression', state: 'waiting' } },
            },
            target: { type: 'AverageValue', averageValue: '4' },
          },
        },
      ],
    });
    const worker = find(objects, 'Deployment/release-entrofleet-worker');
    expect(worker.spec).not.toHaveProperty('replicas');
    const ofPods = await renderChart('split-external-values.yaml');
    const other = find(ofPods, 'HorizontalPodAutoscaler/release-entrofleet-worker');
    expect(other.spec?.metrics).toEqual([
      {
        type: 'Pods',
        pods: {
          metric: { name: 'entrofleet_queue_share' },
          target: { type: 'AverageValue', averageValue: '500m' },
        },
      },
    ]);
  });

  test('have a budget where there is more than one of them', async () => {
    const budgets = async (values: string | object) =>
      (await renderChart(values))
        .filter(({ kind }) => kind === 'PodDisruptionBudget')
        .map(({ metadata }) => metadata.name.replace('release-entrofleet-', ''));
    expect(await budgets(SET)).toEqual(['api', 'worker', 'distributor', 'reconciler']);
    expect(await budgets('replicas-values.yaml')).toEqual(['controller']);
    expect(await budgets({ podDisruptionBudget: { enabled: true } })).toEqual([]);
  });

  test('overlap with the next version only where that does no harm', async () => {
    const strategies = async (values: string | object) =>
      Object.fromEntries(
        (await renderChart(values))
          .filter(({ kind, metadata }) => kind === 'Deployment' && !metadata.name.endsWith('redis'))
          .map(({ metadata, spec }) => [
            metadata.name.replace('release-entrofleet-', ''),
            Object(spec?.strategy).type,
          ]),
      );
    expect(await strategies({})).toEqual({ controller: 'Recreate' });
    expect(await strategies('rest-values.yaml')).toEqual({ controller: 'Recreate' });
    expect(await strategies('replicas-values.yaml')).toEqual({ controller: 'RollingUpdate' });
    expect(await strategies('split-external-values.yaml')).toEqual({
      api: 'RollingUpdate',
      worker: 'RollingUpdate',
      distributor: 'RollingUpdate',
      reconciler: 'Recreate',
    });
  });
});

describe.skipIf(!present)('TLS', () => {
  test('closes the port without it, and controller and agents trust the broker', async () => {
    const objects = await renderChart('edge-values.yaml');
    const config = find(objects, 'ConfigMap/fleet-mosquitto').data?.['mosquitto.conf'] ?? '';
    expect(config.match(/^listener .*/gm)).toEqual(['listener 8883']);
    const ca = {
      name: 'ca',
      secret: { secretName: 'fleet-mosquitto-tls', items: [{ key: 'ca.crt', path: 'ca.crt' }] },
    };
    for (const name of ['fleet-controller', 'fleet-agent']) {
      const client = await workload('edge-values.yaml', name);
      expect(environmentOf(client)).toMatchObject({
        MQTT_URL: 'mqtts://entrofleet:$(MQTT_PASSWORD)@fleet-mosquitto:8883',
        NODE_EXTRA_CA_CERTS: '/etc/entrofleet/ca/ca.crt',
      });
      expect(client.pod.volumes).toContainEqual(ca);
    }
    expect(find(objects, 'Certificate/fleet-mosquitto').spec).toMatchObject({
      secretName: 'fleet-mosquitto-tls',
      issuerRef: { name: 'fleet-ca', kind: 'ClusterIssuer', group: 'cert-manager.io' },
      dnsNames: [
        'fleet-mosquitto',
        'fleet-mosquitto.fleet',
        'fleet-mosquitto.fleet.svc',
        'broker.example.com',
      ],
    });
  });

  test('of external services is by URL and one bundle of certificates', async () => {
    const set = 'external-tls-values.yaml';
    for (const name of ['release-entrofleet-controller', 'release-entrofleet-agent']) {
      const client = await workload(set, name);
      expect(environmentOf(client)).toHaveProperty('NODE_EXTRA_CA_CERTS');
      expect(client.pod.volumes).toContainEqual({
        name: 'ca',
        secret: { secretName: 'company-ca', items: [{ key: 'bundle.pem', path: 'ca.crt' }] },
      });
    }
    expect((await renderChart(set)).map(({ kind }) => kind)).not.toContain('Certificate');
  });
});

describe.skipIf(!present)('agents', () => {
  test('run on labelled nodes, with devices of the node and its folder', async () => {
    const agent = await workload('edge-values.yaml', 'fleet-agent');
    expect(agent.object.spec?.updateStrategy).toEqual({
      type: 'RollingUpdate',
      rollingUpdate: { maxUnavailable: '20%' },
    });
    expect(agent.pod).toMatchObject({
      nodeSelector: { 'entrofleet.io/edge': 'true' },
      runtimeClassName: 'nvidia',
      tolerations: [{ operator: 'Exists' }],
    });
    expect(agent.pod.containers[0]?.resources?.limits).toEqual({
      'nvidia.com/gpu': '1',
      memory: '4Gi',
    });
    expect(agent.pod.initContainers?.[0]?.resources?.limits).toEqual({ memory: '4Gi' });
    expect(environmentOf(agent).ENTROFLEET_LABELS).toBe('gpu=orin,site=berlin');
    expect(agent.pod.volumes).toContainEqual({
      name: 'data',
      hostPath: { path: '/var/lib/entrofleet-agent', type: 'DirectoryOrCreate' },
    });
    const service = find(await renderChart('edge-values.yaml'), 'Service/fleet-agent');
    expect(service.spec).toMatchObject({ internalTrafficPolicy: 'Local' });
  });

  test('may be all that a release has', async () => {
    const ids = (await renderChart('agent-values.yaml')).map(idOf);
    expect(ids.filter((id) => !id.startsWith('NetworkPolicy/'))).toEqual([
      'ServiceAccount/release-entrofleet',
      'DaemonSet/release-entrofleet-agent',
    ]);
    const agent = await workload('agent-values.yaml', 'release-entrofleet-agent');
    expect(agent.pod.initContainers).toBeUndefined();
    expect(agent.pod.nodeSelector).toEqual({ 'kubernetes.io/arch': 'arm64' });
  });
});

describe.skipIf(!present)('metrics', () => {
  test('are scraped from every process of the controller', async () => {
    const objects = await renderChart('split-values.yaml');
    const service = find(objects, 'Service/release-entrofleet-metrics');
    expect(service.spec).toMatchObject({
      clusterIP: 'None',
      selector: { 'entrofleet.io/program': 'controller' },
    });
    const monitor = find(objects, 'ServiceMonitor/release-entrofleet');
    expect(monitor.spec).toMatchObject({ endpoints: [{ port: 'http', path: '/metrics' }] });
    expect(service.metadata.labels).toMatchObject({ ...monitor.spec?.selector?.matchLabels });
    const prometheus = find(
      await renderChart('replicas-values.yaml'),
      'ServiceMonitor/release-entrofleet',
    );
    expect(prometheus.metadata.labels.release).toBe('prometheus');
  });

  test('have alerts, which come from files/rules.yaml as they are', async () => {
    const rule = find(await renderChart('split-values.yaml'), 'PrometheusRule/release-entrofleet');
    const groups: { rules: { alert?: string; expr: string }[] }[] = Object(rule.spec).groups;
    const alerts = groups.flatMap(({ rules }) => rules);
    expect(alerts.length).toBeGreaterThan(0);
    for (const { expr } of alerts) expect(expr).not.toBe('');
  });
});
