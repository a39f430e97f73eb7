import { execFileSync, spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, readSync } from 'node:fs';
import { text } from 'node:stream/consumers';

const POLL_MS = 20;
const READ_BYTES = 4 * 1024 * 1024;

export interface MeasuredOutput {
  readonly stdout: string;
  /** Greatest resident set, pages of mapped files included. */
  readonly peakRssBytes: number;
  /** Of the processors' time, what went to other work meanwhile: 0 on a quiet machine. */
  readonly othersShare: number;
}

/** A process that a memory limit has ended, or that failed in another way. */
export class ProcessFailure extends Error {
  readonly signal: NodeJS.Signals | null;

  constructor(message: string, signal: NodeJS.Signals | null) {
    super(message);
    this.name = 'ProcessFailure';
    this.signal = signal;
  }
}

/**
 * Runs a program to its end and watches its memory.
 * @param before words put before the program's own, e.g. to enter a group with a limit; they must
 * replace themselves by it (exec).
 * @throws ProcessFailure with the end of what it wrote to stderr.
 */
export async function runMeasured(
  argv: readonly string[],
  options: { before?: readonly string[] } = {},
): Promise<MeasuredOutput> {
  const [program = '', ...words] = [...(options.before ?? []), ...argv];
  const child = spawn(program, words, { stdio: ['ignore', 'pipe', 'pipe'] });
  const exit = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>(
    (resolve, reject) => {
      child.once('error', reject);
      child.once('exit', (code, signal) => resolve({ code, signal }));
    },
  );
  let peakRssBytes = 0;
  let ownTicks = 0;
  const before = machineTicks();
  const watch = setInterval(() => {
    peakRssBytes = Math.max(peakRssBytes, peakOf(child.pid));
    ownTicks = Math.max(ownTicks, ticksOf(child.pid));
  }, POLL_MS);
  try {
    const [{ code, signal }, stdout, stderr] = await Promise.all([
      exit,
      text(child.stdout),
      text(child.stderr),
    ]);
    const after = machineTicks();
    const others = Math.max(0, after.busy - before.busy - ownTicks);
    const othersShare = others / Math.max(1, after.all - before.all);
    if (code === 0) return { stdout, peakRssBytes, othersShare };
    const message = `${argv.join(' ')} ended with ${signal ?? code}: ${stderr.slice(-500).trim()}`;
    throw new ProcessFailure(message, signal);
  } finally {
    clearInterval(watch);
  }
}

/** VmHWM in bytes; 0 when the process is gone. */
function peakOf(pid: number | undefined): number {
  return 1024 * Number(/^VmHWM:\s+(\d+) kB$/m.exec(processFile(pid, 'status'))?.[1] ?? 0);
}

/** Processor time of all threads so far; 0 when the process is gone. */
function ticksOf(pid: number | undefined): number {
  // Behind the name, which may hold anything: utime and stime are the 12th and 13th field.
  const fields = processFile(pid, 'stat').split(') ').at(-1)?.split(' ') ?? [];
  return Number(fields[11] ?? 0) + Number(fields[12] ?? 0);
}

function processFile(pid: number | undefined, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** Processor time of the machine: user, nice, system, idle, iowait, irq, softirq, steal. */
function machineTicks(): { busy: number; all: number } {
  const [line = ''] = readFileSync('/proc/stat', 'utf8').split('\n');
  const ticks = line.split(/\s+/).slice(1, 9).map(Number);
  const all = ticks.reduce((sum, value) => sum + value, 0);
  return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all };
}

/** Has the system forget the file's pages (posix_fadvise DONTNEED): it is read from the disk next. */
export function dropFromMemory(path: string): void {
  execFileSync('dd', [`if=${path}`, 'iflag=nocache', 'count=0'], { stdio: 'ignore' });
}

/** Reads the file from the disk, one piece after the other. */
export function readFromDiskMs(path: string): number {
  dropFromMemory(path);
  const buffer = new Uint8Array(READ_BYTES);
  const startMs = performance.now();
  const file = openSync(path, 'r');
  try {
    while (readSync(file, buffer) > 0);
    return performance.now() - startMs;
  } finally {
    closeSync(file);
  }
}
