import { mkdir, readFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import type { Kube, KubeOptions } from '../../deploy/private/kube.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';
import { writeTinyCheckpoint } from '../fixtures/tiny.checkpoint.ts';
import { eventually } from './eventually.ts';
import { Helm } from './helm.ts';
import { administrator, EXAMPLES_FOLDER, startKube } from './kube.ts';
import type { Kubectl, KubeObject } from './kubectl.ts';
import { type PrivatePostgresql, postgresqlPrograms, startPostgresql } from './postgresql.ts';
import {
  type PrivateService,
  type RedisService,
  startController,
  startMosquitto,
  startRedis,
} from './services.ts';

const CHART = resolve(import.meta.dirname, '../../charts/entrofleet');
export const SITE_NAMESPACE = 'fleet';
const DEPLOYMENT = 'deployment/fleet-entrofleet-controller';
/** Of the pod's own surroundings; a process outside of it has others. */
const OF_THE_POD = ['HOST', 'PORT', 'ENTROFLEET_DATA_DIR', 'REDIS_URL', 'MQTT_URL'];

export interface SiteControllerOptions {
  /** Name of this replica in the Lease. */
  readonly identity: string;
  /** Of the API server, e.g. of a faulty link in front of it. */
  readonly kubePort?: number;
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Everything that a controller of the chart has around it: the API server with the chart installed,
 * Redis, Mosquitto, PostgreSQL. Nothing runs pods, so controllers are processes here; they have the
 * environment that the chart renders and the token of the chart's service account.
 */
export interface KubeSite {
  readonly kube: Kube;
  /** The administrator in the release's namespace. */
  readonly kubectl: Kubectl;
  readonly redis: RedisService;
  readonly broker: PrivateService;
  /** `system:serviceaccount:...` of the controllers. */
  readonly account: string;
  /** Identity of the replica that the Lease names; empty: nobody. */
  leader(): Promise<string>;
  /** `deploy/examples/model.yaml` with a tiny model in the place of its path; waits until it is encoded. */
  applyExampleModel(): Promise<void>;
  startController(options: SiteControllerOptions): Promise<PrivateService>;
  stop(): Promise<void>;
}

export async function startKubeSite(options: {
  readonly kube?: KubeOptions;
  /** `--set` of helm. */
  readonly values?: readonly string[];
}): Promise<KubeSite> {
  const programs = await postgresqlPrograms();
  if (programs === undefined) throw new Error('PostgreSQL is missing; make test-kube installs it');
  const kube = await startKube(options.kube);
  const kubectl = administrator(kube, SITE_NAMESPACE);
  const environment = await installChart({ kube, kubectl, values: options.values ?? [] });
  const account = String((await kubectl.list('rolebindings')).flatMap(subjectNames)[0]);
  const { folder } = await kube.serviceAccountFolder({ namespace: SITE_NAMESPACE, name: account });
  const blobs = join(await temporaryFolder('site'), 'blobs');
  await mkdir(blobs);
  const redis = await startRedis();
  const broker = await startMosquitto();
  const postgresql = await startPostgresql(programs);
  return {
    ...{ kube, kubectl, redis, broker },
    account: `system:serviceaccount:${SITE_NAMESPACE}:${account}`,
    leader: async () => {
      const lease = await kubectl
        .get(`lease/${environment.KUBERNETES_LEASE}`)
        .catch(() => undefined);
      // Each start of a replica appends something of its own.
      return String(lease?.spec.holderIdentity ?? '').replace(/_.*/, '');
    },
    applyExampleModel: () => applyExampleModel(kubectl),
    startController: ({ identity, kubePort, environment: extra }) =>
      startController({
        redisUrl: redis.url,
        mqttUrl: broker.url,
        environment: {
          ...environment,
          DATABASE_URL: postgresql.url,
          ENTROFLEET_BLOB_DIR: blobs,
          KUBERNETES_SERVICE_HOST: '127.0.0.1',
          KUBERNETES_SERVICE_PORT: String(kubePort ?? kube.port),
          KUBERNETES_SERVICE_ACCOUNT_DIR: folder,
          KUBERNETES_IDENTITY: identity,
          ...extra,
        },
      }),
    stop: () => stopAll({ kube, redis, broker, postgresql }),
  };
}

/** @returns the environment of the controller's container, without what comes out of secrets. */
async function installChart(use: {
  readonly kube: Kube;
  readonly kubectl: Kubectl;
  readonly values: readonly string[];
}): Promise<Record<string, string>> {
  const helm = new Helm({ version: '4.1', kubeconfigPath: use.kube.kubeconfigPath });
  const values = use.values.flatMap((value) => ['--set', value]);
  const where = ['--namespace', SITE_NAMESPACE, '--create-namespace'];
  await helm.run('install', 'fleet', CHART, ...where, ...values);
  const { spec } = await use.kubectl.get(DEPLOYMENT);
  const variables: { name: string; value?: string }[] =
    Object(spec).template.spec.containers[0].env;
  return Object.fromEntries(
    variables.flatMap(({ name, value }) =>
      value === undefined || OF_THE_POD.includes(name) ? [] : [[name, value]],
    ),
  );
}

async function applyExampleModel(kubectl: Kubectl): Promise<void> {
  const path = await writeTinyCheckpoint(await temporaryFolder('tiny'));
  const example = await readFile(join(EXAMPLES_FOLDER, 'model.yaml'), 'utf8');
  await kubectl.apply(example.replace('/models/demo', path));
  await conditionOf(kubectl, { object: 'model/demo', type: 'Ready' });
}

/** Waits until a condition is true; what was there instead is in the error. */
async function conditionOf(
  kubectl: Kubectl,
  wanted: { readonly object: string; readonly type: string },
): Promise<void> {
  let last: KubeObject['status'];
  const ask = async (): Promise<true | undefined> => {
    last = (await kubectl.get(wanted.object)).status;
    const condition = last?.conditions?.find(({ type }) => type === wanted.type);
    return condition?.status === 'True' ? true : undefined;
  };
  await eventually(`${wanted.object} is ${wanted.type}`, ask).catch((error: unknown) => {
    throw new Error(`${error}; its status is ${JSON.stringify(last)}`);
  });
}

function subjectNames(binding: object): string[] {
  return Object(binding).subjects.map(({ name }: { name: string }) => name);
}

async function stopAll(parts: {
  readonly kube: Kube;
  readonly redis: PrivateService;
  readonly broker: PrivateService;
  readonly postgresql: PrivatePostgresql;
}): Promise<void> {
  await parts.kube.stop();
  await parts.broker.stop();
  await parts.redis.stop();
  await parts.postgresql.stop();
}
