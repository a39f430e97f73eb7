import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { existsSync } from 'node:fs';
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { type AuditedRequest, auditedRequests, auditFlags } from './kube.audit.ts';
import { callKube, type KubeAnswer } from './kube.call.ts';
import { freePort } from './loopback.port.ts';
import { type PrivateService, startPrivateService } from './private.service.ts';
import { temporaryFolder } from './temporary.folder.ts';

const ROOT = resolve(import.meta.dirname, '../..');
/** `deploy/bootstrap/kube.sh` compiles it. */
const APISERVER = join(ROOT, '.cache/kube/kube-apiserver');
const READY_TIMEOUT_MS = 90_000;
const ISSUER = 'https://kubernetes.default.svc';
/** Nobody connects to it: the server must have an address that is not loopback (RFC 5737). */
const ADVERTISED_ADDRESS = '192.0.2.1';

export interface KubeOptions {
  /**
   * Without it every watch reads etcd itself, so that compaction ends watches that lag behind; with
   * it the API server answers from memory what etcd has forgotten. Default: true.
   */
  readonly hasWatchCache?: boolean;
  /** A watch without a timeout of its own ends after once to twice this time. Default: 1800. */
  readonly minRequestTimeoutSeconds?: number;
  /** Further options of kube-apiserver; they win. */
  readonly flags?: readonly string[];
}

/** What a pod finds in /var/run/secrets/kubernetes.io/serviceaccount: token, ca.crt, namespace. */
export interface ServiceAccountFolder {
  readonly folder: string;
  readonly token: string;
}

/** A private API server with its etcd: RBAC, TLS, no controllers, no nodes, no pods. */
export interface Kube {
  readonly etcd: PrivateService;
  readonly apiserver: PrivateService;
  readonly url: string;
  readonly port: number;
  /** PEM, also in a file: a client that does not know it must refuse the server. */
  readonly ca: string;
  readonly caPath: string;
  /** Of a member of `system:masters`, who may do everything. */
  readonly adminToken: string;
  /** Of the administrator. */
  readonly kubeconfigPath: string;
  /** A kubeconfig with another user or through another port, e.g. that of a faulty link. */
  kubeconfig(use: {
    readonly token?: string;
    readonly port?: number;
    readonly namespace?: string;
  }): Promise<string>;
  /** A token of a service account that exists, valid for `seconds` (at least 600, else 3600). */
  serviceAccountToken(of: {
    readonly namespace: string;
    readonly name: string;
    readonly seconds?: number;
  }): Promise<string>;
  /** Writes the files into `folder`, by default a new one; again: a rotated token, as kubelet does. */
  serviceAccountFolder(of: {
    readonly namespace: string;
    readonly name: string;
    readonly folder?: string;
    readonly seconds?: number;
  }): Promise<ServiceAccountFolder>;
  /** A call as the administrator. */
  call(method: 'GET' | 'POST', path: string, body?: unknown): Promise<KubeAnswer>;
  /** Every request that was answered so far, oldest first; a watch is told of when it has ended. */
  requests(): Promise<AuditedRequest[]>;
  /** Makes etcd forget all history up to now. @returns the revision. */
  compact(): Promise<number>;
  stop(): Promise<void>;
}

/** False when `deploy/bootstrap/kube.sh` has not made the API server. */
export function hasKube(): boolean {
  return existsSync(APISERVER);
}

/** Starts etcd and kube-apiserver on free loopback ports; about 6 s. @throws ServiceError */
export async function startKube(options: KubeOptions = {}): Promise<Kube> {
  if (!hasKube()) throw new Error(`${APISERVER} is missing: sh deploy/bootstrap/kube.sh makes it`);
  const etcd = await startEtcd();
  const folder = await temporaryFolder('kube');
  const adminToken = randomBytes(16).toString('hex');
  const port = await freePort();
  const url = `https://127.0.0.1:${port}`;
  // The server makes a certificate authority of its own and appends it to its certificate.
  const caPath = join(folder, 'certificates/apiserver.crt');
  const flags = await serverFlags({ folder, port, etcdUrl: etcd.url, adminToken, options });
  const apiserver = await startPrivateService({
    name: 'kube-apiserver',
    port,
    url,
    folder,
    command: [APISERVER, ...flags],
    isReady: async () => {
      const ca = await readFile(caPath, 'utf8').catch(() => undefined);
      if (ca === undefined) return false;
      // The server makes the first namespaces after it has said that it is ready.
      const answers = ['/readyz', '/api/v1/namespaces/default'].map((path) =>
        callKube({ url: `${url}${path}`, ca, token: adminToken }).catch(() => undefined),
      );
      return (await Promise.all(answers)).every((answer) => answer?.status === 200);
    },
    readyTimeoutMs: READY_TIMEOUT_MS,
  });
  const access = { url, port, caPath, ca: await readFile(caPath, 'utf8'), adminToken };
  return {
    etcd,
    apiserver,
    ...access,
    ...(await clientsOf(access)),
    ...partsOf(etcd, apiserver),
    requests: () => auditedRequests(folder),
  };
}

async function startEtcd(): Promise<PrivateService> {
  const folder = await temporaryFolder('etcd');
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const peerUrl = `http://127.0.0.1:${await freePort()}`;
  const listen = ['--listen-client-urls', url, '--listen-peer-urls', peerUrl];
  const tell = ['--advertise-client-urls', url, '--initial-advertise-peer-urls', peerUrl];
  const cluster = ['--initial-cluster', `default=${peerUrl}`];
  return startPrivateService({
    name: 'etcd',
    port,
    url,
    folder,
    command: ['etcd', '--data-dir', join(folder, 'data'), ...listen, ...tell, ...cluster],
    isReady: () =>
      fetch(`${url}/health`, { signal: AbortSignal.timeout(2000) })
        .then((response) => response.ok)
        .catch(() => false),
  });
}

async function serverFlags(use: {
  readonly folder: string;
  readonly port: number;
  readonly etcdUrl: string;
  readonly adminToken: string;
  readonly options: KubeOptions;
}): Promise<string[]> {
  const { folder, port, etcdUrl, adminToken, options } = use;
  const tokensPath = join(folder, 'tokens.csv');
  await writeFile(tokensPath, `${adminToken},admin,admin,"system:masters"\n`, { mode: 0o600 });
  const keyPath = join(folder, 'service-account.pem');
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  await writeFile(keyPath, privateKey.export({ type: 'pkcs1', format: 'pem' }), { mode: 0o600 });
  return [
    `--etcd-servers=${etcdUrl}`,
    // History is forgotten when a test says so.
    '--etcd-compaction-interval=0',
    '--bind-address=127.0.0.1',
    `--secure-port=${port}`,
    '--insecure-port=0',
    `--cert-dir=${join(folder, 'certificates')}`,
    `--advertise-address=${ADVERTISED_ADDRESS}`,
    '--endpoint-reconciler-type=none',
    '--service-cluster-ip-range=10.96.0.0/16',
    '--authorization-mode=RBAC',
    `--token-auth-file=${tokensPath}`,
    `--service-account-issuer=${ISSUER}`,
    `--service-account-signing-key-file=${keyPath}`,
    `--service-account-key-file=${keyPath}`,
    '--disable-admission-plugins=ServiceAccount',
    `--watch-cache=${options.hasWatchCache ?? true}`,
    `--min-request-timeout=${options.minRequestTimeoutSeconds ?? 1800}`,
    ...(await auditFlags(folder)),
    ...(options.flags ?? []),
  ];
}

type Access = Pick<Kube, 'url' | 'port' | 'ca' | 'caPath' | 'adminToken'>;
type Clients = Pick<
  Kube,
  'call' | 'kubeconfig' | 'kubeconfigPath' | 'serviceAccountToken' | 'serviceAccountFolder'
>;

async function clientsOf(access: Access): Promise<Clients> {
  const { url, ca, adminToken } = access;
  const folder = await temporaryFolder('kubeconfig');
  let written = 0;
  const kubeconfig: Kube['kubeconfig'] = async (use) => {
    const path = join(folder, `${written++}.json`);
    await writeFile(path, JSON.stringify(kubeconfigOf({ access, ...use })), { mode: 0o600 });
    return path;
  };
  const call: Kube['call'] = (method, path, body) =>
    callKube({ method, url: `${url}${path}`, ca, token: adminToken, body });
  const serviceAccountToken: Kube['serviceAccountToken'] = async ({ namespace, name, seconds }) => {
    const path = `/api/v1/namespaces/${namespace}/serviceaccounts/${name}/token`;
    const asked = { audiences: [ISSUER], expirationSeconds: seconds ?? 3600 };
    const { status, body } = await call('POST', path, {
      apiVersion: 'authentication.k8s.io/v1',
      kind: 'TokenRequest',
      spec: asked,
    });
    const token: unknown = Object(Object(body).status).token;
    if (status === 201 && typeof token === 'string') return token;
    throw new Error(`no token of service account ${namespace}/${name}: ${JSON.stringify(body)}`);
  };
  return {
    call,
    kubeconfig,
    kubeconfigPath: await kubeconfig({}),
    serviceAccountToken,
    serviceAccountFolder: async ({ folder: given, ...of }) => {
      const { namespace, name } = of;
      const target = given ?? (await temporaryFolder(`service-account-${name}`));
      const token = await serviceAccountToken(of);
      await mkdir(target, { recursive: true });
      await replaceFiles(target, { token, 'ca.crt': ca, namespace });
      return { folder: target, token };
    },
  };
}

function kubeconfigOf(use: {
  readonly access: Access;
  readonly token?: string;
  readonly port?: number;
  readonly namespace?: string;
}): object {
  const { access, token = access.adminToken, port = access.port, namespace = 'default' } = use;
  const server = `https://127.0.0.1:${port}`;
  const name = 'private';
  return {
    apiVersion: 'v1',
    kind: 'Config',
    'current-context': name,
    clusters: [{ name, cluster: { server, 'certificate-authority': access.caPath } }],
    users: [{ name, user: { token } }],
    contexts: [{ name, context: { cluster: name, user: name, namespace } }],
  };
}

/** Each file as a whole or not at all, as a reader of a projected volume sees it. */
async function replaceFiles(
  folder: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [name, text] of Object.entries(files)) {
    await writeFile(join(folder, `.${name}`), text, { mode: 0o600 });
    await rename(join(folder, `.${name}`), join(folder, name));
  }
}

function partsOf(etcd: PrivateService, apiserver: PrivateService): Pick<Kube, 'compact' | 'stop'> {
  return {
    compact: async () => {
      const { header } = Object(await askEtcd(etcd, 'kv/range', { key: 'AA==' }));
      const revision = Number(header.revision);
      await askEtcd(etcd, 'kv/compaction', { revision, physical: true });
      return revision;
    },
    stop: async () => {
      await apiserver.stop();
      await etcd.stop();
    },
  };
}

/** etcd's own interface in JSON: keys and values are in base64, numbers are texts. */
async function askEtcd(etcd: PrivateService, path: string, body: object): Promise<unknown> {
  const response = await fetch(`${etcd.url}/v3/${path}`, {
    method: 'POST',
    body: JSON.stringify(body),
    signal: AbortSignal.timeout(10_000),
  });
  const answer: unknown = await response.json();
  if (!response.ok) throw new Error(`etcd refused ${path}: ${JSON.stringify(answer)}`);
  return answer;
}
