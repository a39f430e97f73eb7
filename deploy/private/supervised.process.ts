import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { createReadStream } from 'node:fs';
import { appendFile, readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';

const WATCHDOG = join(import.meta.dirname, 'watchdog.sh');
const READY_POLL_MS = 50;

export interface ProcessSpec {
  readonly name: string;
  /** Program and arguments; the program is looked up on PATH and in the sbin folders. */
  readonly command: readonly [string, ...string[]];
  readonly environment: Readonly<Record<string, string>>;
  readonly logPath: string;
  /** Asked again and again until it gives true. */
  readonly isReady: () => Promise<boolean>;
  readonly readyTimeoutMs: number;
  readonly stopTimeoutMs: number;
}

/** A service ended before it was ready, or was not ready in time; the message holds its log. */
export class ServiceError extends Error {
  readonly reason = 'ServiceNotReady';
}

/** One run of a service. `exited` never rejects. */
interface Run {
  readonly watchdog: ChildProcess;
  readonly pid: number;
  readonly exited: Promise<void>;
  ended: boolean;
}

/**
 * A program that runs while this process runs and never longer. It is started through a watchdog
 * that kills it, with everything it started, once this process is gone.
 */
export class SupervisedProcess {
  readonly #spec: ProcessSpec;
  #run: Run | undefined;

  constructor(spec: ProcessSpec) {
    this.#spec = spec;
  }

  get name(): string {
    return this.#spec.name;
  }

  get logPath(): string {
    return this.#spec.logPath;
  }

  get running(): boolean {
    return this.#run !== undefined && !this.#run.ended;
  }

  /** Process id of the service itself, not of its watchdog. */
  get pid(): number {
    if (this.#run === undefined || this.#run.ended) throw new Error(`${this.name} does not run`);
    return this.#run.pid;
  }

  /** Starts the service and waits until it is ready. @throws ServiceError */
  async start(): Promise<void> {
    if (this.running) throw new Error(`${this.name} runs already`);
    await appendFile(this.logPath, '');
    const run = await this.#spawn();
    this.#run = run;
    const deadline = Date.now() + this.#spec.readyTimeoutMs;
    while (!(await this.#spec.isReady())) {
      if (run.ended) throw await this.#notReady('ended before it was ready');
      if (Date.now() > deadline) {
        await this.kill9();
        throw await this.#notReady(`was not ready in ${this.#spec.readyTimeoutMs / 1000} s`);
      }
      await sleep(READY_POLL_MS);
    }
  }

  /** Asks the service to end (SIGTERM), kills it when it does not, and waits until it is gone. */
  async stop(): Promise<void> {
    const run = this.#run;
    if (run === undefined || run.ended) return;
    signal(run.pid, 'SIGTERM');
    const timer = setTimeout(() => signal(-run.pid, 'SIGKILL'), this.#spec.stopTimeoutMs);
    await run.exited;
    clearTimeout(timer);
  }

  /** Kills the service with SIGKILL, as a power loss would, and waits until it is gone. */
  async kill9(): Promise<void> {
    const run = this.#run;
    if (run === undefined || run.ended) return;
    signal(run.pid, 'SIGKILL');
    await run.exited;
  }

  /** Ends the service, if it still runs, and starts it on the same port and data folder. */
  async restart(): Promise<void> {
    await this.stop();
    await this.start();
  }

  /** Resolves when the current run is over. */
  async exited(): Promise<void> {
    await this.#run?.exited;
  }

  async logTail(lines = 40): Promise<string> {
    const text = await readTail(this.logPath);
    return text.trimEnd().split('\n').slice(-lines).join('\n');
  }

  async #spawn(): Promise<Run> {
    const watchdog = spawn('sh', [WATCHDOG, this.logPath, ...this.#spec.command], {
      stdio: ['pipe', 'pipe', 'ignore'],
      // In a session of its own Ctrl-C in the terminal does not reach it: this process stops it.
      detached: true,
      env: {
        ...process.env,
        PATH: `${process.env.PATH ?? ''}:/usr/local/sbin:/usr/sbin:/sbin`,
        ...this.#spec.environment,
      },
    });
    const lines = createInterface({ input: watchdog.stdout });
    const [pid] = await once(lines, 'line');
    lines.close();
    const run = { watchdog, pid: Number(pid), ended: false, exited: Promise.resolve() };
    run.exited = once(watchdog, 'exit').then(() => {
      run.ended = true;
      watchdog.stdin.destroy();
    });
    return run;
  }

  async #notReady(what: string): Promise<ServiceError> {
    return new ServiceError(`${this.name} ${what}; end of its log:\n${await this.logTail()}`);
  }
}

/** Sends a signal to a process, or to a group when negative; a process that is gone is fine. */
function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}

const TAIL_BYTES = 64 * 1024;

async function readTail(path: string): Promise<string> {
  const { size } = await stat(path);
  if (size <= TAIL_BYTES) return readFile(path, 'utf8');
  const pieces: Buffer[] = [];
  for await (const piece of createReadStream(path, { start: size - TAIL_BYTES })) {
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString('utf8');
}
