import { join } from 'node:path';
import { SupervisedProcess } from './supervised.process.ts';
import { temporaryFolder } from './temporary.folder.ts';

const READY_TIMEOUT_MS = 30_000;
const STOP_TIMEOUT_MS = 15_000;

/** A real service on a free loopback port of its own, with its own temporary folder. */
export interface PrivateService {
  readonly name: string;
  readonly port: number;
  readonly url: string;
  /** Holds all of the service's state; kept over `restart`. */
  readonly folder: string;
  readonly process: SupervisedProcess;
  readonly pid: number;
  stop(): Promise<void>;
  /** SIGKILL, as a power loss would. */
  kill9(): Promise<void>;
  /** Same port and folder; ends the service first when it still runs. */
  restart(): Promise<void>;
  logTail(lines?: number): Promise<string>;
}

interface ServiceSpec {
  readonly name: string;
  readonly port: number;
  readonly url: string;
  readonly folder: string;
  readonly command: readonly [string, ...string[]];
  readonly environment?: Readonly<Record<string, string>>;
  readonly isReady: () => Promise<boolean>;
  readonly readyTimeoutMs?: number;
}

/** Starts a service and waits until it is ready. @throws ServiceError */
export async function startPrivateService(spec: ServiceSpec): Promise<PrivateService> {
  const logs = await temporaryFolder(`${spec.name}-log`);
  const supervised = new SupervisedProcess({
    name: spec.name,
    command: spec.command,
    environment: spec.environment ?? {},
    logPath: join(logs, `${spec.name}.log`),
    isReady: spec.isReady,
    readyTimeoutMs: spec.readyTimeoutMs ?? READY_TIMEOUT_MS,
    stopTimeoutMs: STOP_TIMEOUT_MS,
  });
  await supervised.start();
  return {
    name: spec.name,
    port: spec.port,
    url: spec.url,
    folder: spec.folder,
    process: supervised,
    get pid() {
      return supervised.pid;
    },
    stop: () => supervised.stop(),
    kill9: () => supervised.kill9(),
    restart: () => supervised.restart(),
    logTail: (lines) => supervised.logTail(lines),
  };
}
