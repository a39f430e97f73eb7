import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { availableParallelism, hostname } from 'node:os';
import { join, resolve } from 'node:path';
import type { Caps } from '@entrofleet/distribution';
import { labelValueSchema } from '@entrofleet/protocol';
import { z } from 'zod';

/** What `all` stands for. Outside of a cluster nobody must look for one. */
const ROLES_OF_ALL = ['api', 'worker', 'distributor', 'reconciler'] as const;
/** Parts of the controller; one process runs one, several, or all of them. */
export const ROLES = [...ROLES_OF_ALL, 'kubernetes'] as const;
export type Role = (typeof ROLES)[number];

const rolesSchema = z.string().transform((text, context) => {
  const names = text
    .split(',')
    .map((name) => name.trim())
    .flatMap((name) => (name === 'all' ? ROLES_OF_ALL : [name]));
  const known = names.filter((name): name is Role => ROLES.some((role) => role === name));
  const unknown = names.filter((name) => !ROLES.some((role) => role === name));
  if (unknown.length === 0) return new Set<Role>(known);
  context.addIssue({
    code: 'custom',
    message: `unknown role "${unknown.join(', ')}"; use a list of all, ${ROLES.join(', ')}`,
  });
  return z.NEVER;
});

function whole(bounds: { min: number; max: number }) {
  return z
    .string()
    .regex(/^\d{1,9}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.int().min(bounds.min).max(bounds.max));
}

const siteLimits = z.string().transform((text, context) => {
  const limits: Record<string, number> = {};
  for (const pair of text.split(',').filter((piece) => piece.trim() !== '')) {
    const [site = '', bytes = ''] = pair.split('=').map((piece) => piece.trim());
    if (labelValueSchema.min(1).safeParse(site).success && /^\d{1,9}$/.test(bytes)) {
      limits[site] = Number(bytes);
    } else {
      context.addIssue({ code: 'custom', message: `"${pair}" is not site=bytes per second` });
    }
  }
  return limits;
});

function address(protocols: readonly string[]) {
  return z.string().refine((text) => protocols.includes(urlProtocol(text)), {
    message: `must be a URL that starts with ${protocols.map((p) => `${p}//`).join(' or ')}`,
  });
}

function urlProtocol(text: string): string {
  return URL.canParse(text) ? new URL(text).protocol : '';
}

const kubernetesOptions = {
  KUBERNETES_NAMESPACE: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, 'must be the name of a namespace')
    .optional()
    .describe(
      'Namespace whose models and rollouts are followed. Unset: that of the service account, ' +
        'else default',
    ),
  KUBECONFIG: z
    .string()
    .optional()
    .describe(
      'File that says how to reach the API server. Unset: as a pod, by its service account',
    ),
  KUBERNETES_SERVICE_HOST: z
    .string()
    .optional()
    .describe('Host of the API server, without KUBECONFIG; Kubernetes sets it in every pod'),
  KUBERNETES_SERVICE_PORT: whole({ min: 1, max: 65_535 })
    .prefault('443')
    .describe('Port of the API server, likewise'),
  KUBERNETES_SERVICE_ACCOUNT_DIR: z
    .string()
    .default('/var/run/secrets/kubernetes.io/serviceaccount')
    .describe(
      'Folder with token, ca.crt and namespace of the service account; read again and again',
    ),
  KUBERNETES_LEASE: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/, 'must be the name of a Lease')
    .default('entrofleet-controller')
    .describe('Lease by which the replicas of the role kubernetes elect their leader'),
  KUBERNETES_LEASE_SECONDS: whole({ min: 5, max: 3600 })
    .prefault('15')
    .describe('A leader that vanished is replaced after about so long'),
  KUBERNETES_IDENTITY: z
    .string()
    .max(200)
    .optional()
    .describe('Name of this replica in the Lease. Unset: host and a part made up at the start'),
  KUBERNETES_RESYNC_SECONDS: whole({ min: 5, max: 86_400 })
    .prefault('300')
    .describe('How often everything is listed and compared, though a watch reports changes'),
  KUBERNETES_STATUS_INTERVAL_SECONDS: whole({ min: 1, max: 3600 })
    .prefault('5')
    .describe('Least time between two writes of a status in which only numbers have changed'),
};

/** Every option of the controller: environment variable, default, meaning. */
const optionsSchema = z.object({
  HOST: z.string().default('127.0.0.1').describe('Address the REST API listens on'),
  PORT: whole({ min: 0, max: 65535 })
    .prefault('8080')
    .describe('Port of the REST API; 0 takes a free one and logs it'),
  DATABASE_URL: address(['postgres:', 'postgresql:'])
    .optional()
    .describe(
      'PostgreSQL. Unset: embedded PGlite in <data folder>/db, for one process; it survives a kill, ' +
        'but not a power loss',
    ),
  DATABASE_POOL_SIZE: whole({ min: 1, max: 100 })
    .prefault('10')
    .describe('Connections to PostgreSQL; PGlite always has one'),
  REDIS_URL: address(['redis:', 'rediss:'])
    .default('redis://127.0.0.1:6379')
    .describe('Redis of the job queue; it may lose everything at any moment'),
  QUEUE_PREFIX: z
    .string()
    .regex(/^[A-Za-z0-9_-]{1,40}$/, 'must be 1 to 40 letters, digits, "_" or "-"')
    .default('entrofleet')
    .describe('Prefix of all keys in Redis'),
  MQTT_URL: address(['mqtt:', 'mqtts:', 'ws:', 'wss:'])
    .default('mqtt://127.0.0.1:1883')
    .describe('MQTT 5 broker'),
  REPORT_INTERVAL_SECONDS: whole({ min: 1, max: 86_400 })
    .prefault('30')
    .describe("Interval of the agents' reports; a device silent for three of them is offline"),
  DISTRIBUTION_BYTES_PER_SECOND: whole({ min: 0, max: 999_999_999 })
    .prefault('0')
    .describe('Most chunk bytes a distributor sends in a second, for all devices; 0: no limit'),
  DISTRIBUTION_SITE_BYTES_PER_SECOND: whole({ min: 0, max: 999_999_999 })
    .prefault('0')
    .describe(
      'Most chunk bytes that the devices of one site (label entrofleet.io/site) get in a second ' +
        'together; 0: no limit',
    ),
  DISTRIBUTION_SITE_LIMITS: siteLimits
    .prefault('')
    .describe('Other limits for some sites, as site=bytes,site=bytes; 0: no limit'),
  DISTRIBUTION_DEVICE_BYTES_PER_SECOND: whole({ min: 0, max: 999_999_999 })
    .prefault('0')
    .describe(
      'Most chunk bytes that one device gets in a second, unless its own label ' +
        'entrofleet.io/download-bytes-per-second says otherwise; 0: no limit',
    ),
  ENTROFLEET_DATA_DIR: z.string().default('data').describe('Folder for all local state'),
  ENTROFLEET_BLOB_DIR: z
    .string()
    .optional()
    .describe('Folder for artifacts. Unset: <data folder>/blobs'),
  ENTROFLEET_ROLES: rolesSchema
    .prefault('all')
    .describe(
      `What this process does: a comma-separated list of ${ROLES.join(', ')}; all: every one ` +
        'of them but kubernetes',
    ),
  SWEEP_INTERVAL_SECONDS: whole({ min: 1, max: 3600 })
    .prefault('5')
    .describe('How often every unfinished object is enqueued again'),
  WATCH_HISTORY_SECONDS: whole({ min: 1, max: 604_800 })
    .prefault('3600')
    .describe('A watch resumes after so long at most; deletions are forgotten then'),
  WATCH_STALL_SECONDS: whole({ min: 1, max: 3600 })
    .prefault('30')
    .describe('A watching client that takes nothing for so long is cut'),
  EVENT_HISTORY_HOURS: whole({ min: 1, max: 87_600 })
    .prefault('336')
    .describe('Events are kept for so long, the latest 200 of each object'),
  COMPRESSION_CONCURRENCY: whole({ min: 1, max: 64 })
    .prefault('1')
    .describe('Tensor groups or variants worked on at the same time in this process'),
  COMPRESSION_GROUP_BYTES: whole({ min: 1, max: 999_999_999 })
    .prefault('268435456')
    .describe(
      'Weights that one job encodes, in bytes of the source; a larger tensor is a job of its own',
    ),
  COMPRESSION_THREADS: whole({ min: 0, max: 1024 })
    .prefault('0')
    .describe('Threads of one compression; 0: one per core'),
  REQUEST_LIMIT_BYTES: whole({ min: 1024, max: 16 * 1024 * 1024 })
    .prefault('1048576')
    .describe('Largest request body that is read'),
  SHUTDOWN_DELAY_SECONDS: whole({ min: 0, max: 300 })
    .prefault('0')
    .describe(
      'After SIGTERM or SIGINT, the REST API serves on for so long while it says that it is not ' +
        'ready, so that load balancers turn elsewhere first',
    ),
  SHUTDOWN_TIMEOUT_SECONDS: whole({ min: 1, max: 600 })
    .prefault('20')
    .describe('After SIGTERM or SIGINT, the process ends at the latest after so long'),
  LOG_LEVEL: z
    .enum(['debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Least severe log lines that are written'),
  ...kubernetesOptions,
});

const environmentSchema = optionsSchema.refine(
  (env) => env.SHUTDOWN_DELAY_SECONDS < env.SHUTDOWN_TIMEOUT_SECONDS,
  {
    path: ['SHUTDOWN_DELAY_SECONDS'],
    message: 'must be less than SHUTDOWN_TIMEOUT_SECONDS, which it counts towards',
  },
);

/** How the API server is reached: a kubeconfig file, or the service account of a pod. */
export type KubernetesAccess =
  | { readonly kind: 'KubeconfigFile'; readonly path: string }
  | { readonly kind: 'ServiceAccount'; readonly server: string; readonly folder: string };

export interface KubernetesConfig {
  readonly access: KubernetesAccess;
  readonly namespace: string;
  readonly lease: string;
  readonly leaseMs: number;
  readonly identity: string;
  readonly resyncMs: number;
  readonly statusIntervalMs: number;
}

/** Validated configuration. Folders are absolute; `threads` is at least 1. */
export interface Config {
  readonly host: string;
  readonly port: number;
  readonly databaseUrl: string | undefined;
  readonly databasePoolSize: number;
  readonly redisUrl: string;
  readonly queuePrefix: string;
  readonly mqttUrl: string;
  readonly reportIntervalMs: number;
  /** 0: no limit. */
  readonly distributionCaps: Caps;
  readonly dataFolder: string;
  readonly blobFolder: string;
  /** Of unfinished compressions; in the blob folder, which all workers share. */
  readonly workFolder: string;
  readonly roles: ReadonlySet<Role>;
  readonly sweepIntervalMs: number;
  readonly watchHistoryMs: number;
  readonly watchStallMs: number;
  readonly eventHistoryMs: number;
  readonly compressionConcurrency: number;
  readonly compressionThreads: number;
  readonly compressionGroupBytes: number;
  readonly requestLimitBytes: number;
  readonly shutdownDelayMs: number;
  /** More than the delay, which it includes. */
  readonly shutdownTimeoutMs: number;
  readonly logLevel: 'debug' | 'info' | 'warn' | 'error';
  /** Present with the role `kubernetes`. */
  readonly kubernetes: KubernetesConfig | undefined;
}

/** Injection token of {@link Config}. */
export const CONFIG = Symbol('Config');

/** The environment holds a value that is not acceptable; one line a variable. */
export class ConfigError extends Error {
  readonly reason = 'BadConfig';
}

/**
 * Reads the configuration. An empty variable counts as unset.
 * @throws ConfigError that names every bad variable, never its value: it may hold a password.
 */
export function readConfig(environment: NodeJS.ProcessEnv = process.env): Config {
  const set = Object.entries(environment).filter(([, value]) => value !== '');
  const parsed = environmentSchema.safeParse(Object.fromEntries(set));
  if (!parsed.success) {
    const lines = parsed.error.issues.map((i) => `  ${i.path.join('.')}: ${i.message}`);
    throw new ConfigError(`bad configuration (see --help):\n${lines.join('\n')}`);
  }
  const env = parsed.data;
  const dataFolder = resolve(env.ENTROFLEET_DATA_DIR);
  const blobFolder = resolve(env.ENTROFLEET_BLOB_DIR ?? join(dataFolder, 'blobs'));
  return {
    host: env.HOST,
    port: env.PORT,
    databaseUrl: env.DATABASE_URL,
    databasePoolSize: env.DATABASE_POOL_SIZE,
    redisUrl: env.REDIS_URL,
    queuePrefix: env.QUEUE_PREFIX,
    mqttUrl: env.MQTT_URL,
    reportIntervalMs: env.REPORT_INTERVAL_SECONDS * 1000,
    distributionCaps: {
      totalBytesPerSecond: env.DISTRIBUTION_BYTES_PER_SECOND,
      siteBytesPerSecond: env.DISTRIBUTION_SITE_BYTES_PER_SECOND,
      sites: env.DISTRIBUTION_SITE_LIMITS,
      deviceBytesPerSecond: env.DISTRIBUTION_DEVICE_BYTES_PER_SECOND,
    },
    dataFolder,
    blobFolder,
    workFolder: join(blobFolder, 'work'),
    roles: env.ENTROFLEET_ROLES,
    sweepIntervalMs: env.SWEEP_INTERVAL_SECONDS * 1000,
    watchHistoryMs: env.WATCH_HISTORY_SECONDS * 1000,
    watchStallMs: env.WATCH_STALL_SECONDS * 1000,
    eventHistoryMs: env.EVENT_HISTORY_HOURS * 3_600_000,
    compressionConcurrency: env.COMPRESSION_CONCURRENCY,
    compressionThreads: env.COMPRESSION_THREADS || availableParallelism(),
    compressionGroupBytes: env.COMPRESSION_GROUP_BYTES,
    requestLimitBytes: env.REQUEST_LIMIT_BYTES,
    shutdownDelayMs: env.SHUTDOWN_DELAY_SECONDS * 1000,
    shutdownTimeoutMs: env.SHUTDOWN_TIMEOUT_SECONDS * 1000,
    logLevel: env.LOG_LEVEL,
    kubernetes: env.ENTROFLEET_ROLES.has('kubernetes') ? kubernetesConfig(env) : undefined,
  };
}

/** @throws ConfigError when nothing says where the API server is, or a leader could not lead. */
function kubernetesConfig(env: z.infer<typeof environmentSchema>): KubernetesConfig {
  const folder = resolve(env.KUBERNETES_SERVICE_ACCOUNT_DIR);
  const host = env.KUBERNETES_SERVICE_HOST;
  if (!env.ENTROFLEET_ROLES.has('reconciler')) {
    throw new ConfigError(
      'bad configuration (see --help):\n  ENTROFLEET_ROLES: only the leader of the role ' +
        'kubernetes advances rollouts, so it needs the role reconciler too',
    );
  }
  if (env.KUBECONFIG === undefined && host === undefined) {
    throw new ConfigError(
      'bad configuration (see --help):\n  ENTROFLEET_ROLES: the role kubernetes runs in a pod ' +
        '(KUBERNETES_SERVICE_HOST is not set) or with KUBECONFIG; set that, or leave the role out',
    );
  }
  const at = `${host?.includes(':') ? `[${host}]` : host}:${env.KUBERNETES_SERVICE_PORT}`;
  return {
    access:
      env.KUBECONFIG === undefined
        ? { kind: 'ServiceAccount', server: `https://${at}`, folder }
        : { kind: 'KubeconfigFile', path: resolve(env.KUBECONFIG) },
    namespace: env.KUBERNETES_NAMESPACE ?? namespaceIn(folder) ?? 'default',
    lease: env.KUBERNETES_LEASE,
    leaseMs: env.KUBERNETES_LEASE_SECONDS * 1000,
    identity: env.KUBERNETES_IDENTITY ?? `${hostname()}_${randomUUID()}`,
    resyncMs: env.KUBERNETES_RESYNC_SECONDS * 1000,
    statusIntervalMs: env.KUBERNETES_STATUS_INTERVAL_SECONDS * 1000,
  };
}

function namespaceIn(folder: string): string | undefined {
  try {
    return readFileSync(join(folder, 'namespace'), 'utf8').trim() || undefined;
  } catch {
    return undefined;
  }
}

/** The text of `--help`: every option with its default and meaning. */
export function helpText(): string {
  const { properties } = z.toJSONSchema(optionsSchema, { io: 'input' });
  const options = Object.entries(properties ?? {}).map(([name, property]) => {
    const { description, default: value } = Object(property);
    return `  ${name}${value === undefined ? '' : ` (default: ${value})`}\n      ${description}`;
  });
  return [
    'entrofleet-controller: REST API, compression, rollouts and distribution.',
    '',
    'Usage: entrofleet-controller [--help]',
    '',
    'It is configured by environment variables:',
    ...options,
    '',
    'Exit codes: 0 stopped on request, 1 unexpected failure, 64 bad argument,',
    '69 something needed is not available (port taken, data folder unusable or in use),',
    '78 bad configuration.',
    '',
  ].join('\n');
}
