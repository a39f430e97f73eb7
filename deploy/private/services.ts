import { writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import { accepts, ask, freePort } from './loopback.port.ts';
import { type PrivateService, startPrivateService } from './private.service.ts';
import { temporaryFolder } from './temporary.folder.ts';

export type { PrivateService };

const ROOT = resolve(import.meta.dirname, '../..');
/** Node itself starts quickly; PGlite creates its database on the first start. */
const APP_READY_TIMEOUT_MS = 90_000;
/** As in deploy/systemd and deploy/docker: else Node keeps 128 MiB for what lives a moment only. */
const YOUNG_HEAP = '--max-semi-space-size=8';

export interface RedisService extends PrivateService {
  /** Deletes everything it holds. */
  flush(): Promise<void>;
}

export interface ControllerOptions {
  readonly redisUrl: string;
  readonly mqttUrl: string;
  /** Named folder to use instead of a temporary one; it is not removed. */
  readonly folder?: string;
  /** Further options by environment variable; they win. */
  readonly environment?: Readonly<Record<string, string>>;
  /** Wait only until it lives, which is before it is ready. Default: false. */
  readonly isUnready?: boolean;
}

export interface AgentOptions {
  readonly device: string;
  readonly mqttUrl: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
}

/** Redis on loopback, in memory only. */
export async function startRedis(): Promise<RedisService> {
  const folder = await temporaryFolder('redis');
  const port = await freePort();
  const options = ['--bind', '127.0.0.1', '--port', String(port), '--dir', folder];
  const volatile = ['--save', '', '--appendonly', 'no', '--daemonize', 'no'];
  const service = await startPrivateService({
    name: 'redis',
    port,
    url: `redis://127.0.0.1:${port}`,
    folder,
    command: ['redis-server', ...options, ...volatile],
    isReady: async () => (await ask(port, 'PING\r\n'))?.startsWith('+PONG') === true,
  });
  return Object.assign(service, {
    flush: async () => {
      const answer = await ask(port, 'FLUSHALL\r\n');
      if (answer?.startsWith('+OK') !== true) throw new Error(`redis did not flush: ${answer}`);
    },
  });
}

export interface MosquittoOptions {
  /** Keeps retained messages and sessions over a restart. Default: false. */
  readonly persistence?: boolean;
  readonly maxPacketSizeBytes?: number;
  /** It listens on these besides 127.0.0.1, e.g. towards network namespaces. Default: none. */
  readonly addresses?: readonly string[];
}

/** Mosquitto on loopback, MQTT 5, anonymous. */
export async function startMosquitto(options: MosquittoOptions = {}): Promise<PrivateService> {
  const folder = await temporaryFolder('mosquitto');
  const port = await freePort();
  const configPath = join(folder, 'mosquitto.conf');
  await writeFile(configPath, mosquittoConfig({ port, folder, options }));
  return startPrivateService({
    name: 'mosquitto',
    port,
    url: `mqtt://127.0.0.1:${port}`,
    folder,
    command: ['mosquitto', '-c', configPath],
    isReady: () => accepts(port),
  });
}

function mosquittoConfig(use: { port: number; folder: string; options: MosquittoOptions }): string {
  const addresses = ['127.0.0.1', ...(use.options.addresses ?? [])];
  const lines = [
    ...addresses.map((address) => `listener ${use.port} ${address}`),
    'allow_anonymous true',
    `persistence ${use.options.persistence === true}`,
    `persistence_location ${use.folder}/`,
    'autosave_interval 1',
    `max_packet_size ${use.options.maxPacketSizeBytes ?? 5 * 1024 * 1024}`,
    // A whole window of chunks may wait for a slow device; more than that is dropped and wanted again.
    'max_queued_messages 4096',
    `max_queued_bytes ${256 * 1024 * 1024}`,
    'log_dest stderr',
    'log_timestamp_format %Y-%m-%dT%H:%M:%S',
    'connection_messages true',
  ];
  // Started by root, Mosquitto would become the user "mosquitto", who may not enter the folder.
  if (process.getuid?.() === 0) lines.push('user root');
  return `${lines.join('\n')}\n`;
}

/** The controller from its build (`tsc -b`), with PGlite in its folder. */
export async function startController(options: ControllerOptions): Promise<PrivateService> {
  const folder = options.folder ?? (await temporaryFolder('controller'));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  return startPrivateService({
    name: 'controller',
    port,
    url,
    folder,
    command: [process.execPath, YOUNG_HEAP, join(ROOT, 'apps/controller/dist/main.js')],
    environment: {
      HOST: '127.0.0.1',
      PORT: String(port),
      DATABASE_URL: '',
      REDIS_URL: options.redisUrl,
      MQTT_URL: options.mqttUrl,
      ENTROFLEET_DATA_DIR: folder,
      ...options.environment,
    },
    isReady: () => answers(`${url}/${options.isUnready ? 'healthz' : 'readyz'}`),
    readyTimeoutMs: APP_READY_TIMEOUT_MS,
  });
}

/** One agent from its build (`tsc -b`). */
export async function startAgent(options: AgentOptions): Promise<PrivateService> {
  const folder = options.folder ?? (await temporaryFolder(options.device));
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const labels = Object.entries(options.labels ?? {}).map(([key, value]) => `${key}=${value}`);
  return startPrivateService({
    name: options.device,
    port,
    url,
    folder,
    command: [process.execPath, join(ROOT, 'apps/agent/dist/main.js')],
    environment: {
      ENTROFLEET_DEVICE: options.device,
      ENTROFLEET_LABELS: labels.join(','),
      ENTROFLEET_DATA_DIR: folder,
      MQTT_URL: options.mqttUrl,
      HOST: '127.0.0.1',
      PORT: String(port),
      ...options.environment,
    },
    isReady: () => answers(`${url}/healthz`),
    readyTimeoutMs: APP_READY_TIMEOUT_MS,
  });
}

async function answers(url: string): Promise<boolean> {
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(2000) });
    await response.arrayBuffer();
    return response.ok;
  } catch {
    return false;
  }
}
