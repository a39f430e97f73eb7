import { type ChildProcess, execFileSync, fork } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  type PrivateService,
  startController,
  startMosquitto,
  startRedis,
} from '../../deploy/private/services.ts';
import { startPostgresqlProcess } from '../chaos/postgresql.process.ts';
import { postgresqlPrograms } from '../support/postgresql.ts';
import { childrenOf } from '../support/processes.ts';
import type { SimulatorAnswer, SimulatorCommand } from './fleet.messages.ts';

const SIMULATOR = join(import.meta.dirname, 'fleet.simulator.ts');
/** Connections of ten thousand devices, and what else is open. */
const OPEN_FILES = 16_384;

export interface FleetServices {
  readonly broker: PrivateService;
  readonly controller: PrivateService;
  readonly databaseUrl: string | undefined;
  /** Processes by what they are, for their processor time. */
  readonly pids: () => Promise<Readonly<Record<string, readonly number[]>>>;
  readonly folder: string;
  stop(): Promise<void>;
}

/** Private broker, queue, database and controller, on free ports of loopback. */
export async function startServices(use: {
  readonly database: 'postgresql' | 'pglite';
  readonly environment?: Readonly<Record<string, string>>;
}): Promise<FleetServices> {
  allowOpenFiles();
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-fleet-bench-'));
  const stops: (() => Promise<void>)[] = [() => rm(folder, { recursive: true, force: true })];
  const stop = async () => {
    for (const each of stops.splice(0).reverse()) await each();
  };
  try {
    const database = use.database === 'pglite' ? undefined : await startDatabase(stops);
    const databaseUrl = database?.url;
    const redis = await startRedis();
    stops.push(() => redis.stop());
    const broker = await startMosquitto();
    stops.push(() => broker.stop());
    const controller = await startController({
      redisUrl: redis.url,
      mqttUrl: broker.url,
      environment: {
        ...(databaseUrl === undefined ? {} : { DATABASE_URL: databaseUrl }),
        LOG_LEVEL: 'warn',
        ...use.environment,
      },
    });
    stops.push(() => controller.stop());
    const pids = async () => ({
      controller: [controller.pid],
      broker: [broker.pid],
      redis: [redis.pid],
      database: database === undefined ? [] : [database.pid, ...(await childrenOf(database.pid))],
    });
    return { broker, controller, databaseUrl, pids, folder, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function startDatabase(
  stops: (() => Promise<void>)[],
): Promise<{ url: string; pid: number }> {
  const programs = await postgresqlPrograms();
  if (programs === undefined) {
    throw new Error('PostgreSQL is not installed (apt-get install postgresql); --database pglite');
  }
  const postgresql = await startPostgresqlProcess(programs);
  stops.push(() => postgresql.remove());
  const url = `postgres://entrofleet@127.0.0.1:${postgresql.port}/postgres`;
  return { url, pid: postgresql.process.pid };
}

/** The broker and the simulator inherit the limit. */
function allowOpenFiles(): void {
  const [, soft = '0'] =
    /Max open files\s+(\d+)/.exec(readFileSync('/proc/self/limits', 'utf8')) ?? [];
  if (Number(soft) >= OPEN_FILES) return;
  const limit = `--nofile=${OPEN_FILES}:${OPEN_FILES}`;
  execFileSync('prlimit', ['--pid', String(process.pid), limit]);
}

/** The simulated devices, in a process of their own. */
export class FleetSimulator {
  readonly #child: ChildProcess;
  readonly #waiting = new Map<number, (answer: SimulatorAnswer) => void>();
  #id = 0;

  constructor() {
    this.#child = fork(SIMULATOR, { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    this.#child.on('message', (answer: SimulatorAnswer) => {
      this.#waiting.get(answer.id)?.(answer);
      this.#waiting.delete(answer.id);
    });
    this.#child.on('exit', (code) => {
      if (code !== null && code !== 0) throw new Error(`the simulator ended with code ${code}`);
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  connect(use: { port: number; devices: number; phaseMs: number }): Promise<SimulatorAnswer> {
    return this.#ask((id) => ({ id, kind: 'Connect', ...use }));
  }

  reportEvery(intervalMs: number): Promise<SimulatorAnswer> {
    return this.#ask((id) => ({ id, kind: 'Report', intervalMs }));
  }

  rest(): Promise<SimulatorAnswer> {
    return this.#ask((id) => ({ id, kind: 'Rest' }));
  }

  count(): Promise<SimulatorAnswer> {
    return this.#ask((id) => ({ id, kind: 'Count' }));
  }

  stop(): void {
    if (this.#child.connected) this.#child.disconnect();
  }

  #ask(command: (id: number) => SimulatorCommand): Promise<SimulatorAnswer> {
    const id = ++this.#id;
    return new Promise((resolve) => {
      this.#waiting.set(id, resolve);
      this.#child.send(command(id));
    });
  }
}
