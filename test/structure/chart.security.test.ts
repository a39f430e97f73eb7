import { describe, expect, test } from 'vitest';
import {
  type ChartObject,
  environmentOf,
  find,
  idOf,
  NAMESPACE,
  PRESENT_HELMS,
  renderChart,
  VALUE_SETS,
  workloads,
} from '../support/chart.ts';
import { type PodSpec, restrictedViolations } from '../support/pod.security.ts';

const present = PRESENT_HELMS.length > 0;

/**
 * Agents keep models on the node, so no standard below "privileged" admits them; and a host path
 * that Kubernetes makes belongs to root, so an init container gives it away.
 */
const AGENT_EXCEPTIONS = [
  'volume data: hostPath',
  'data-folder: capabilities.add',
  'data-folder: runAsNonRoot',
  'data-folder: runAsUser',
];

const RULES = (lease: string) => [
  {
    apiGroups: ['entrofleet.io'],
    resources: ['models', 'rollouts'],
    verbs: ['get', 'list', 'watch', 'patch'],
  },
  {
    apiGroups: ['entrofleet.io'],
    resources: ['models/status', 'rollouts/status'],
    verbs: ['update'],
  },
  { apiGroups: [''], resources: ['events'], verbs: ['create'] },
  { apiGroups: ['coordination.k8s.io'], resources: ['leases'], verbs: ['create'] },
  {
    apiGroups: ['coordination.k8s.io'],
    resources: ['leases'],
    resourceNames: [lease],
    verbs: ['get', 'update'],
  },
];

describe('the check of the standard "restricted"', () => {
  const good: PodSpec = {
    securityContext: { runAsNonRoot: true, seccompProfile: { type: 'RuntimeDefault' } },
    containers: [
      {
        name: 'c',
        image: 'i',
        securityContext: { allowPrivilegeEscalation: false, capabilities: { drop: ['ALL'] } },
      },
    ],
  };
  const [container] = good.containers;
  if (container === undefined) throw new Error('no container');
  const withContext = (change: object): PodSpec => ({
    ...good,
    containers: [{ ...container, securityContext: { ...container.securityContext, ...change } }],
  });

  test('admits what keeps to it', () => {
    expect(restrictedViolations(good)).toEqual([]);
    const web = { capabilities: { drop: ['ALL'], add: ['NET_BIND_SERVICE'] } };
    expect(restrictedViolations(withContext(web))).toEqual([]);
  });

  test.each<[string, PodSpec]>([
    ['hostNetwork', { ...good, hostNetwork: true }],
    ['volume v: hostPath', { ...good, volumes: [{ name: 'v', hostPath: {} }] }],
    ['c: seccompProfile', { ...good, securityContext: { runAsNonRoot: true } }],
    ['c: runAsUser', withContext({ runAsUser: 0 })],
    ['c: runAsNonRoot', withContext({ runAsNonRoot: false })],
    ['c: privileged', withContext({ privileged: true })],
    ['c: allowPrivilegeEscalation', withContext({ allowPrivilegeEscalation: undefined })],
    ['c: capabilities.drop', withContext({ capabilities: { drop: ['NET_RAW'] } })],
    ['c: capabilities.add', withContext({ capabilities: { drop: ['ALL'], add: ['CHOWN'] } })],
    [
      'c: hostPort',
      { ...good, containers: [{ ...container, ports: [{ containerPort: 1, hostPort: 1 }] }] },
    ],
  ])('finds %s', (violation, pod) => {
    expect(restrictedViolations(pod)).toEqual([violation]);
  });
});

describe.skipIf(!present).each(VALUE_SETS)('the chart with ci/%s', (set) => {
  test('keeps every pod to the standard "restricted", but for what agents need', async () => {
    for (const { id, pod } of workloads(await renderChart(set))) {
      const violations = restrictedViolations(pod);
      if (!id.startsWith('DaemonSet/')) expect(violations, id).toEqual([]);
      else
        expect(violations.filter((found) => !found.startsWith('volume nvmap'))).toSatisfy(
          (found: string[]) => found.every((what) => AGENT_EXCEPTIONS.includes(what)),
        );
      for (const container of [...pod.containers, ...(pod.initContainers ?? [])]) {
        expect(container.securityContext?.readOnlyRootFilesystem, id).toBe(true);
      }
    }
  });

  test('gives a token to the pods that reconcile custom resources, and no other', async () => {
    const objects = await renderChart(set);
    for (const workload of workloads(objects)) {
      const roles = String(environmentOf(workload).ENTROFLEET_ROLES ?? '').split(',');
      const { automountServiceAccountToken, serviceAccountName } = workload.pod;
      expect(automountServiceAccountToken, workload.id).toBe(roles.includes('kubernetes'));
      const bound = objects.filter(({ kind }) => kind === 'RoleBinding');
      const names = bound.flatMap((binding) => Object(binding).subjects).map(({ name }) => name);
      if (!roles.includes('kubernetes')) expect(names).not.toContain(serviceAccountName);
      else if (bound.length > 0) expect(names).toEqual([serviceAccountName]);
    }
    for (const account of objects.filter(({ kind }) => kind === 'ServiceAccount')) {
      expect(account).toMatchObject({ automountServiceAccountToken: false });
    }
    expect(objects.filter(({ kind }) => kind.startsWith('Cluster'))).toEqual([]);
  });

  test('holds no password but in the secret that it makes', async () => {
    const objects = await renderChart(set);
    const others = objects.filter(({ kind }) => kind !== 'Secret');
    expect(JSON.stringify(others)).not.toMatch(/:\/\/[^/@"]*:[^$/@"][^/@"]*@/);
    for (const { data } of objects.filter(({ kind }) => kind === 'Secret')) {
      for (const value of Object.values(data ?? {})) {
        expect(JSON.stringify(others)).not.toContain(Buffer.from(value, 'base64').toString());
      }
    }
  });
});

describe.skipIf(!present)('the rights in the cluster', () => {
  test('are exactly what the role kubernetes needs, in its namespace', async () => {
    const objects = await renderChart({});
    expect(find(objects, 'Role/release-entrofleet-kubernetes').rules).toEqual(
      RULES('release-entrofleet'),
    );
    const binding = find(objects, 'RoleBinding/release-entrofleet-kubernetes');
    const name = 'release-entrofleet-kubernetes';
    expect(binding).toMatchObject({
      roleRef: { apiGroup: 'rbac.authorization.k8s.io', kind: 'Role', name },
      subjects: [{ kind: 'ServiceAccount', name, namespace: NAMESPACE }],
    });
  });

  test('are of the lease that the controller is told', async () => {
    const objects = await renderChart({ kubernetes: { leaseName: 'captain' } });
    const [controller] = workloads(objects).filter(({ id }) => id.endsWith('-controller'));
    if (controller === undefined) throw new Error('no controller');
    expect(environmentOf(controller)).toMatchObject({
      KUBERNETES_LEASE: 'captain',
      KUBERNETES_NAMESPACE: NAMESPACE,
    });
    const [role] = objects.filter(({ kind }) => kind === 'Role');
    expect(role?.rules).toEqual(RULES('captain'));
  });

  test('are none without the role', async () => {
    const kinds = (await renderChart('rest-values.yaml')).map(({ kind }) => kind);
    expect(kinds.filter((kind) => kind.startsWith('Role'))).toEqual([]);
  });
});

/** Ports and peers of a policy, as short texts. */
function flows(policy: ChartObject, direction: 'ingress' | 'egress'): string[] {
  const rules: object[] = Object(policy.spec)[direction] ?? [];
  return rules.flatMap((rule) => {
    const { ports, from, to } = Object(rule);
    const numbers = ports.map(({ port }: { port: number }) => port).join('+');
    const peers: object[] = from ?? to ?? [undefined];
    return peers.map((peer) => `${numbers} ${peerText(peer)}`);
  });
}

function peerText(peer: object | undefined): string {
  if (peer === undefined) return 'anywhere';
  const { podSelector, namespaceSelector, ipBlock } = Object(peer);
  if (ipBlock !== undefined) return ipBlock.cidr;
  if (namespaceSelector !== undefined) return `namespaces${JSON.stringify(namespaceSelector)}`;
  const labels = podSelector.matchLabels ?? {};
  if (Object.keys(labels).length === 0) return 'namespace';
  const names = Object.keys(labels).sort();
  expect(labels['app.kubernetes.io/instance']).toBe('release');
  expect(names).toContain('app.kubernetes.io/name');
  return labels['app.kubernetes.io/component'] ?? labels['entrofleet.io/program'];
}

async function policyTable(values: string | object): Promise<Record<string, object>> {
  const policies = (await renderChart(values)).filter(({ kind }) => kind === 'NetworkPolicy');
  return Object.fromEntries(
    policies.map((policy) => [
      idOf(policy).replace(/.*entrofleet-/, ''),
      { in: flows(policy, 'ingress'), out: flows(policy, 'egress') },
    ]),
  );
}

describe.skipIf(!present)('the network policies', () => {
  test('deny what they do not name, in both directions, to every pod', async () => {
    const objects = await renderChart('split-values.yaml');
    const deny = find(objects, 'NetworkPolicy/release-entrofleet-default-deny').spec;
    expect(deny).toEqual({
      podSelector: {
        matchLabels: {
          'app.kubernetes.io/name': 'entrofleet',
          'app.kubernetes.io/instance': 'release',
        },
      },
      policyTypes: ['Ingress', 'Egress'],
    });
    for (const { id, labels } of workloads(objects)) {
      expect(labels, id).toMatchObject(Object(deny).podSelector.matchLabels);
    }
  });

  test('name the flows of bundled services', async () => {
    expect(await policyTable('split-values.yaml')).toEqual({
      'default-deny': { in: [], out: [] },
      api: { in: ['8080 namespace', '8080 test'], out: [] },
      controller: {
        in: ['8080 namespaces{}'],
        out: ['53+53 anywhere', '5432 postgresql', '6379 redis', '1883 mosquitto'],
      },
      kubernetes: { in: [], out: ['443+6443 0.0.0.0/0'] },
      postgresql: { in: ['5432 controller'], out: [] },
      redis: { in: ['6379 controller'], out: [] },
      mosquitto: { in: ['1883 controller', '1883 agent'], out: [] },
      test: { in: [], out: ['53+53 anywhere', '8080 api'] },
    });
  });

  test('name the ports of external services, and who may call', async () => {
    expect(await policyTable('external-tls-values.yaml')).toEqual({
      'default-deny': { in: [], out: [] },
      api: {
        in: ['8080 namespaces{"matchLabels":{"kubernetes.io/metadata.name":"ops"}}', '8080 test'],
        out: [],
      },
      controller: {
        in: [],
        out: ['53+53 anywhere', '5433 anywhere', '6379+6380 anywhere', '1883+8883 anywhere'],
      },
      kubernetes: { in: [], out: ['6443 10.0.0.1/32'] },
      test: { in: [], out: ['53+53 anywhere', '8080 controller'] },
      agent: { in: ['8081 namespace'], out: ['53+53 anywhere', '1883+8883 anywhere'] },
    });
  });

  test('open what a NodePort opens, and no API server without the role kubernetes', async () => {
    const table = await policyTable('rest-values.yaml');
    expect(table).toMatchObject({
      api: { in: ['8080 anywhere'] },
      mosquitto: { in: ['1883 anywhere'] },
    });
    expect(table).not.toHaveProperty('kubernetes');
  });

  test('of agents alone name the broker alone', async () => {
    expect(await policyTable('agent-values.yaml')).toEqual({
      'default-deny': { in: [], out: [] },
      agent: { in: ['8081 namespace'], out: ['53+53 anywhere', '1883+8883 anywhere'] },
    });
  });
});
