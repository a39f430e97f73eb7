import { join, resolve } from 'node:path';
import { onTestFailed, onTestFinished } from 'vitest';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { SupervisedProcess } from '../../deploy/private/supervised.process.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';

const ROOT = resolve(import.meta.dirname, '../..');
const READY_TIMEOUT_MS = 30_000;

export interface AgentProcess {
  readonly process: SupervisedProcess;
  readonly url: string;
  readonly folder: string;
}

/** An agent from its sources, so that no build is needed; stopped when the test has finished. */
export async function startAgentFromSource(use: {
  readonly device: string;
  readonly mqttUrl: string;
  readonly folder?: string;
  readonly environment?: Readonly<Record<string, string>>;
  /** Modules that are loaded before the agent, to put faults into it. */
  readonly imports?: readonly string[];
  /** It may die at any moment, so nobody waits until it answers. */
  readonly isDoomed?: boolean;
}): Promise<AgentProcess> {
  const folder = use.folder ?? (await temporaryFolder(use.device));
  const logs = await temporaryFolder(`${use.device}-log`);
  const port = await freePort();
  const url = `http://127.0.0.1:${port}`;
  const supervised = new SupervisedProcess({
    name: use.device,
    command: [
      process.execPath,
      '--conditions=entrofleet-source',
      ...(use.imports ?? []).map((path) => `--import=${path}`),
      join(ROOT, 'apps/agent/src/main.ts'),
    ],
    environment: {
      ENTROFLEET_DEVICE: use.device,
      ENTROFLEET_LABELS: 'site=test',
      ENTROFLEET_DATA_DIR: folder,
      MQTT_URL: use.mqttUrl,
      HOST: '127.0.0.1',
      PORT: String(port),
      THREADS: '2',
      DISK_MARGIN_MIB: '1',
      STALL_MS: '500',
      ...use.environment,
    },
    logPath: join(logs, 'agent.log'),
    isReady: async () =>
      use.isDoomed === true ||
      fetch(`${url}/healthz`)
        .then((r) => r.ok)
        .catch(() => false),
    readyTimeoutMs: READY_TIMEOUT_MS,
    stopTimeoutMs: 15_000,
  });
  onTestFailed(async () => console.error(await supervised.logTail()));
  onTestFinished(() => supervised.kill9());
  await supervised.start();
  return { process: supervised, url, folder };
}
