import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ApiClient } from '../support/api.client.ts';

/** Of /proc/PID/stat; Linux counts in hundredths of a second on every architecture. */
const TICKS_PER_SECOND = 100;
const PROBE_PAUSE_MS = 100;

/** Processor seconds by what the processes are. */
export type CpuSeconds = Readonly<Record<string, number>>;

export function cpuSecondsOf(pids: Readonly<Record<string, readonly number[]>>): CpuSeconds {
  return Object.fromEntries(
    Object.entries(pids).map(([what, list]) => [what, list.reduce((s, pid) => s + cpuOf(pid), 0)]),
  );
}

function cpuOf(pid: number): number {
  const stat = statusFile(pid, 'stat');
  // The command name (field 2) may hold spaces; utime and stime are fields 14 and 15.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return (Number(fields[11] ?? 0) + Number(fields[12] ?? 0)) / TICKS_PER_SECOND;
}

/** Greatest resident set of a process since it began. */
export function peakRssBytes(pid: number): number {
  return Number(/VmHWM:\s+(\d+) kB/.exec(statusFile(pid, 'status'))?.[1] ?? 0) * 1024;
}

/** Resident set of a process now. */
export function rssBytes(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(statusFile(pid, 'status'))?.[1] ?? 0) * 1024;
}

function statusFile(pid: number, name: string): string {
  try {
    return readFileSync(`/proc/${pid}/${name}`, 'utf8');
  } catch {
    return '';
  }
}

/** Cores used between two readings, on average. */
export function coresUsed(
  from: CpuSeconds,
  to: CpuSeconds,
  seconds: number,
): Record<string, number> {
  return Object.fromEntries(
    Object.entries(to).map(([what, cpu]) => [what, round((cpu - (from[what] ?? 0)) / seconds)]),
  );
}

export function round(value: number, digits = 3): number {
  return Number(value.toFixed(digits));
}

/** Asks the API for one path after another, until it is stopped. */
export class ApiProbe {
  readonly #api: ApiClient;
  readonly #paths: readonly string[];
  readonly #tookMs = new Map<string, number[]>();
  #stopped = false;
  readonly #running: Promise<void>;

  constructor(api: ApiClient, paths: readonly string[]) {
    this.#api = api;
    this.#paths = paths;
    this.#running = this.#run();
    // A failure is thrown to who stops the probe.
    this.#running.catch(() => undefined);
  }

  /** @returns 95th percentile and greatest time of all answers, and the former by path. */
  async stop(): Promise<{ p95Ms: number; maxMs: number; byPath: Record<string, number> }> {
    this.#stopped = true;
    await this.#running;
    const all = [...this.#tookMs.values()].flat();
    const byPath = Object.fromEntries(
      [...this.#tookMs].map(([path, times]) => [path, round(percentile(times, 0.95), 1)]),
    );
    return { p95Ms: round(percentile(all, 0.95), 1), maxMs: round(Math.max(...all), 1), byPath };
  }

  async #run(): Promise<void> {
    for (let i = 0; !this.#stopped; i++) {
      const path = this.#paths[i % this.#paths.length] ?? '';
      const startMs = performance.now();
      const { status } = await this.#api.get(path);
      if (status !== 200) throw new Error(`GET ${path}: ${status}`);
      const times = this.#tookMs.get(path) ?? [];
      times.push(performance.now() - startMs);
      this.#tookMs.set(path, times);
      await sleep(PROBE_PAUSE_MS);
    }
  }
}

export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.ceil(share * sorted.length) - 1)] ?? 0;
}
