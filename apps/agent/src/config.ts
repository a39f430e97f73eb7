import { availableParallelism, hostname } from 'node:os';
import { resolve } from 'node:path';
import {
  type Labels,
  LIMITS,
  labelsSchema,
  nameSchema,
  WELL_KNOWN_LABELS,
} from '@entrofleet/protocol';
import { z } from 'zod';
import type { Uplink } from './download.ts';
import { AgentError } from './errors.ts';
import { type ServiceEnvironment, serviceEnvironment } from './service.environment.ts';

const MIB = 1024 * 1024;
const DAY_SECONDS = 24 * 3600;
const THREADS_MAX = 256;
const QUEUE_MAX = 1024;
const SEQUENCES_MAX = 32;

const labelsText = z.string().transform((text, context) => {
  const labels: Record<string, string> = {};
  for (const pair of text.split(',').filter((piece) => piece.trim() !== '')) {
    const [key = '', ...value] = pair.split('=');
    labels[key.trim()] = value.join('=').trim();
  }
  const parsed = labelsSchema.safeParse(labels);
  if (parsed.success && isCap(parsed.data[WELL_KNOWN_LABELS.downloadBytesPerSecond])) {
    return parsed.data;
  }
  if (parsed.success) {
    const message = `${WELL_KNOWN_LABELS.downloadBytesPerSecond} is not a whole number of bytes`;
    context.addIssue({ code: 'custom', message });
    return z.NEVER;
  }
  const first = parsed.error.issues[0];
  const at = first?.path.join('.') ?? '';
  context.addIssue({ code: 'custom', message: `${first?.message ?? 'not labels'} ${at}`.trim() });
  return z.NEVER;
});

function isCap(value: string | undefined): boolean {
  return value === undefined || /^\d{1,12}$/.test(value);
}

const mqttUrl = z.url({ protocol: /^(mqtts?|tcp|ssl|wss?)$/, error: 'not an MQTT URL' });
const integer = (least: number, most: number) => z.coerce.number().int().min(least).max(most);

/** Each option: how it is read, and what `--help` says about it. */
const OPTIONS = {
  ENTROFLEET_DEVICE: {
    schema: nameSchema.default(() => hostname().toLowerCase()),
    help: 'Name of this device, a DNS label. Default: the host name',
  },
  ENTROFLEET_LABELS: {
    schema: labelsText.prefault(''),
    help:
      'Labels as key=value,key=value. entrofleet.io/site names the uplink that devices share, ' +
      "entrofleet.io/download-bytes-per-second this one's cap. Default: none",
  },
  ENTROFLEET_DATA_DIR: {
    schema: z.string().min(1).default('/var/lib/entrofleet-agent'),
    help: 'Folder for journal and artifacts. Default: /var/lib/entrofleet-agent',
  },
  MQTT_URL: {
    schema: mqttUrl.default('mqtt://127.0.0.1:1883'),
    help: 'Broker, e.g. mqtt://user:password@host:1883. Default: mqtt://127.0.0.1:1883',
  },
  RELAY_MQTT_URL: {
    schema: mqttUrl.optional(),
    help:
      "The site's own broker, when one of its agents is a relay: chunks are fetched there, and from " +
      'MQTT_URL while the relay is of no use. Default: none',
  },
  ENTROFLEET_RELAY: {
    schema: z.stringbool().default(false),
    help:
      "true: this agent is its site's relay: it fetches what the others want once from MQTT_URL and " +
      'hands it out at RELAY_MQTT_URL. Default: false',
  },
  RELAY_DISK_MIB: {
    schema: integer(1, 1024 * 1024 * 1024).default(16 * 1024),
    help: 'MiB that a relay may fill with what it hands out, oldest deleted first. Default: 16384',
  },
  RELAY_PATIENCE_SECONDS: {
    schema: integer(1, 3600).default(5),
    help:
      'Seconds without a relay after which chunks come from MQTT_URL; six times as many with one ' +
      'that hands out nothing. Default: 5',
  },
  HOST: {
    schema: z.string().min(1).default('127.0.0.1'),
    help: 'Address the HTTP API listens on. It has no authentication. Default: 127.0.0.1',
  },
  PORT: {
    schema: integer(0, 65535).default(8081),
    help: 'Port of the HTTP API; 0: any free one. Default: 8081',
  },
  THREADS: {
    schema: integer(1, THREADS_MAX).default(() => Math.min(THREADS_MAX, availableParallelism())),
    help: 'Threads for decoding and inference. Default: the number of cores',
  },
  REPORT_INTERVAL_SECONDS: {
    schema: integer(1, DAY_SECONDS).default(30),
    help: 'Seconds between reports when nothing changes. Default: 30',
  },
  MEASURE_INTERVAL_SECONDS: {
    schema: integer(1, DAY_SECONDS).default(300),
    help: 'Seconds between throughput measurements while idle. Default: 300',
  },
  WINDOW_CHUNKS: {
    schema: integer(1, LIMITS.windowChunksMax).default(LIMITS.windowChunksDefault),
    help: `Chunks in flight towards this device. Default: ${LIMITS.windowChunksDefault}`,
  },
  STALL_MS: {
    schema: integer(50, 600_000).default(3000),
    help: 'Milliseconds without a new chunk after which it is asked again. Default: 3000',
  },
  DISK_MARGIN_MIB: {
    schema: integer(0, 1024 * 1024).default(64),
    help: 'MiB that downloads leave free on the disk. Default: 64',
  },
  DISK_BUDGET_MIB: {
    schema: integer(1, 1024 * 1024 * 1024).optional(),
    help:
      'MiB for artifacts. With it, older ones stay for what later ones share with them, oldest ' +
      'deleted first. Default: no limit, and only those in use, before and wanted stay',
  },
  TRIAL_SECONDS: {
    schema: integer(1, DAY_SECONDS).default(600),
    help:
      'Seconds that a new model must serve for: when it crashes the agent or fails requests again ' +
      'and again before, the one before it serves again. Default: 600',
  },
  MEMORY_BUDGET_MIB: {
    schema: integer(1, 1024 * 1024).optional(),
    help:
      'MiB for this process, if less than its cgroup and the system have: weights that do not fit ' +
      'decoded stay entropy coded. Default: no limit',
  },
  HTTP_CONCURRENCY: {
    schema: integer(1, SEQUENCES_MAX).default(8),
    help: 'Requests that run at the same time, decoded together. Default: 8',
  },
  HTTP_QUEUE: {
    schema: integer(0, QUEUE_MAX).default(32),
    help: 'Requests that wait; more are answered with 429. Default: 32',
  },
  HTTP_DRAIN_SECONDS: {
    schema: integer(0, 600).default(5),
    help: 'Seconds that running requests get when the agent is to end. Default: 5',
  },
  KV_CACHE_MIB: {
    schema: integer(1, 1024 * 1024).optional(),
    help: 'MiB for the KV caches of running requests. Default: what the rollout planned',
  },
  LOG_LEVEL: {
    schema: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
    help: 'debug, info, warn or error. Default: info',
  },
} as const;

const environmentSchema = z.object({
  ...shapeOf(OPTIONS),
});

export type AgentConfig = ReturnType<typeof readConfig>;

/**
 * Reads the options from environment variables; an empty variable counts as absent.
 * @throws AgentError `BadConfiguration`, naming every wrong variable.
 */
export function readConfig(environment: Readonly<Record<string, string | undefined>>) {
  const given = Object.entries(environment).filter(([, value]) => (value ?? '') !== '');
  const parsed = environmentSchema.safeParse(Object.fromEntries(given));
  if (!parsed.success) {
    const problems = parsed.error.issues.map((i) => `${i.path.join('.')}: ${i.message}`);
    throw new AgentError('BadConfiguration', `${problems.join('; ')}; see --help`);
  }
  const options = parsed.data;
  return {
    device: options.ENTROFLEET_DEVICE,
    labels: options.ENTROFLEET_LABELS,
    uplink: uplinkOf(options.ENTROFLEET_LABELS, options.RELAY_MQTT_URL !== undefined),
    relay: relayOf(options),
    dataFolder: resolve(options.ENTROFLEET_DATA_DIR),
    mqttUrl: options.MQTT_URL,
    host: options.HOST,
    port: options.PORT,
    threads: options.THREADS,
    reportIntervalMs: options.REPORT_INTERVAL_SECONDS * 1000,
    measureIntervalMs: options.MEASURE_INTERVAL_SECONDS * 1000,
    windowChunks: options.WINDOW_CHUNKS,
    stallMs: options.STALL_MS,
    diskMarginBytes: options.DISK_MARGIN_MIB * MIB,
    diskBudgetBytes: options.DISK_BUDGET_MIB === undefined ? null : options.DISK_BUDGET_MIB * MIB,
    trialMs: options.TRIAL_SECONDS * 1000,
    memoryBudgetBytes:
      options.MEMORY_BUDGET_MIB === undefined ? null : options.MEMORY_BUDGET_MIB * MIB,
    httpConcurrency: options.HTTP_CONCURRENCY,
    httpQueue: options.HTTP_QUEUE,
    httpDrainMs: options.HTTP_DRAIN_SECONDS * 1000,
    keyValueBytes: options.KV_CACHE_MIB === undefined ? null : options.KV_CACHE_MIB * MIB,
    logLevel: options.LOG_LEVEL,
  };
}

export interface RelayConfig {
  /** The site's own broker. */
  readonly url: string;
  /** This agent hands chunks out there. */
  readonly isRelay: boolean;
  readonly diskBytes: number;
  readonly patienceMs: number;
}

function relayOf(options: z.infer<typeof environmentSchema>): RelayConfig | null {
  const { RELAY_MQTT_URL: url, ENTROFLEET_RELAY: isRelay } = options;
  if (url === undefined && isRelay) {
    throw new AgentError(
      'BadConfiguration',
      "ENTROFLEET_RELAY: a relay needs RELAY_MQTT_URL, the site's own broker; see --help",
    );
  }
  if (url === undefined) return null;
  const diskBytes = options.RELAY_DISK_MIB * MIB;
  return { url, isRelay, diskBytes, patienceMs: options.RELAY_PATIENCE_SECONDS * 1000 };
}

function uplinkOf(labels: Labels, isRelayed: boolean): Uplink {
  const site = labels[WELL_KNOWN_LABELS.site] ?? '';
  const cap = labels[WELL_KNOWN_LABELS.downloadBytesPerSecond];
  return {
    site: site === '' ? null : site,
    bytesPerSecond: cap === undefined ? null : Number(cap),
    isRelayed,
  };
}

/** The process's own environment. */
export function readProcessConfig(): AgentConfig {
  return readConfig(process.env);
}

/** What the service manager that started this process has told it. */
export function readServiceEnvironment(): ServiceEnvironment | null {
  return serviceEnvironment(process.env, process.pid);
}

export function helpText(version: string): string {
  const width = Math.max(...Object.keys(OPTIONS).map((name) => name.length));
  const lines = Object.entries(OPTIONS).map(([name, { help }]) => {
    return `  ${name.padEnd(width)}  ${help}`;
  });
  return [
    `entrofleet-agent ${version}: fetches, proves and serves the model its controller wants.`,
    '',
    'Usage: entrofleet-agent [--help | --version]',
    '',
    'Options are environment variables:',
    ...lines,
    '',
    'Ends with 0 when asked to (SIGTERM, SIGINT), 2 on wrong options, 3 when the data folder is',
    'in use by another agent, 1 on anything else.',
    '',
  ].join('\n');
}

type Schemas<T extends Record<string, { schema: z.ZodType }>> = {
  [K in keyof T]: T[K]['schema'];
};

function shapeOf<T extends Record<string, { schema: z.ZodType }>>(options: T): Schemas<T> {
  const entries = Object.entries(options).map(([name, { schema }]) => [name, schema]);
  return Object.fromEntries(entries) as Schemas<T>;
}
