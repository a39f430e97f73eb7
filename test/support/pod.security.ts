/** What tests read of a pod. */
export interface PodSpec {
  readonly serviceAccountName?: string;
  readonly automountServiceAccountToken?: boolean;
  readonly hostNetwork?: boolean;
  readonly hostPID?: boolean;
  readonly hostIPC?: boolean;
  readonly terminationGracePeriodSeconds?: number;
  readonly priorityClassName?: string;
  readonly restartPolicy?: string;
  readonly imagePullSecrets?: readonly object[];
  readonly nodeSelector?: Readonly<Record<string, string>>;
  readonly topologySpreadConstraints?: readonly object[];
  readonly securityContext?: SecurityContext;
  readonly containers: readonly Container[];
  readonly initContainers?: readonly Container[];
  readonly volumes?: readonly (Readonly<Record<string, unknown>> & { readonly name: string })[];
}

export interface Container {
  readonly name: string;
  readonly image: string;
  readonly command?: readonly string[];
  readonly env?: readonly { name: string; value?: string; valueFrom?: object }[];
  readonly ports?: readonly { containerPort: number; hostPort?: number }[];
  readonly securityContext?: SecurityContext;
  readonly resources?: {
    readonly requests?: Readonly<Record<string, unknown>>;
    readonly limits?: Readonly<Record<string, unknown>>;
  };
  readonly livenessProbe?: object;
  readonly readinessProbe?: object;
  readonly volumeMounts?: readonly { name: string; mountPath: string }[];
}

interface SecurityContext {
  readonly privileged?: boolean;
  readonly allowPrivilegeEscalation?: boolean;
  readonly runAsNonRoot?: boolean;
  readonly runAsUser?: number;
  readonly readOnlyRootFilesystem?: boolean;
  readonly procMount?: string;
  readonly sysctls?: readonly object[];
  readonly seccompProfile?: { readonly type: string };
  readonly capabilities?: { readonly add?: readonly string[]; readonly drop?: readonly string[] };
}

const VOLUMES = new Set([
  'configMap',
  'csi',
  'downwardAPI',
  'emptyDir',
  'ephemeral',
  'persistentVolumeClaim',
  'projected',
  'secret',
]);
const PROFILES = ['RuntimeDefault', 'Localhost'];

/**
 * What the Pod Security Standard "restricted" forbids about a pod; none: it is admitted.
 * https://kubernetes.io/docs/concepts/security/pod-security-standards/#restricted
 */
export function restrictedViolations(pod: PodSpec): string[] {
  const violations: string[] = [];
  for (const name of ['hostNetwork', 'hostPID', 'hostIPC'] as const) {
    if (pod[name] === true) violations.push(name);
  }
  if ((pod.securityContext?.sysctls ?? []).length > 0) violations.push('sysctls');
  for (const { name, ...source } of pod.volumes ?? []) {
    const [kind = 'none'] = Object.keys(source);
    if (!VOLUMES.has(kind)) violations.push(`volume ${name}: ${kind}`);
  }
  for (const container of [...(pod.initContainers ?? []), ...pod.containers]) {
    const found = containerViolations(container, pod.securityContext ?? {});
    violations.push(...found.map((what) => `${container.name}: ${what}`));
  }
  return violations;
}

function containerViolations(container: Container, ofPod: SecurityContext): string[] {
  const own = container.securityContext ?? {};
  const added = (own.capabilities?.add ?? []).filter((name) => name !== 'NET_BIND_SERVICE');
  const profile = (own.seccompProfile ?? ofPod.seccompProfile)?.type ?? 'Unconfined';
  const facts = {
    privileged: own.privileged === true,
    allowPrivilegeEscalation: own.allowPrivilegeEscalation !== false,
    'capabilities.add': added.length > 0,
    'capabilities.drop': own.capabilities?.drop?.includes('ALL') !== true,
    runAsNonRoot: (own.runAsNonRoot ?? ofPod.runAsNonRoot) !== true,
    runAsUser: (own.runAsUser ?? ofPod.runAsUser) === 0,
    procMount: (own.procMount ?? 'Default') !== 'Default',
    seccompProfile: !PROFILES.includes(profile),
    hostPort: (container.ports ?? []).some(({ hostPort = 0 }) => hostPort !== 0),
  };
  return Object.entries(facts)
    .filter(([, isViolated]) => isViolated)
    .map(([name]) => name);
}
