import { readFileSync } from 'node:fs';
import { childrenOf } from '../support/processes.ts';
import { round, rssBytes } from './fleet.meters.ts';

/** Of /proc/PID/stat; Linux counts in hundredths of a second on every architecture. */
const TICKS_PER_SECOND = 100;
const SAMPLE_MS = 250;
/** Cores are averaged over so long, which is how often a kubelet looks, too. */
const WINDOW_SAMPLES = 20;

export interface RoleLoad {
  /** Of the process and what it has started, greatest in any sample. */
  readonly peakRssBytes: number;
  /** Of the process alone. */
  readonly ownPeakRssBytes: number;
  readonly meanRssBytes: number;
  readonly cores: number;
  /** On average over the busiest five seconds. */
  readonly peakCores: number;
}

interface Sample {
  readonly atMs: number;
  readonly ownRssBytes: number;
  readonly rssBytes: number;
  readonly cpuSeconds: number;
}

/** Watches memory and processor time of one process and its children. */
export class RoleMeter {
  readonly #pid: number;
  #samples: Sample[] = [];
  #timer: NodeJS.Timeout | undefined;

  constructor(pid: number) {
    this.#pid = pid;
  }

  start(): void {
    this.#samples = [];
    this.#timer = setInterval(() => void this.#sample(), SAMPLE_MS);
  }

  async stop(): Promise<RoleLoad> {
    clearInterval(this.#timer);
    await this.#sample();
    const samples = this.#samples;
    const [first, last] = [samples[0], samples.at(-1)];
    if (first === undefined || last === undefined) throw new Error('nothing was measured');
    const greatest = (of: (sample: Sample) => number) => Math.max(...samples.map(of));
    const windows = samples
      .slice(WINDOW_SAMPLES)
      .map((sample, index) => coresBetween(samples[index] ?? first, sample));
    return {
      peakRssBytes: greatest((sample) => sample.rssBytes),
      ownPeakRssBytes: greatest((sample) => sample.ownRssBytes),
      meanRssBytes: Math.round(samples.reduce((s, { rssBytes: b }) => s + b, 0) / samples.length),
      cores: coresBetween(first, last),
      peakCores: Math.max(coresBetween(first, last), ...windows),
    };
  }

  async #sample(): Promise<void> {
    const children = await childrenOf(this.#pid);
    const ownRssBytes = rssBytes(this.#pid);
    this.#samples.push({
      atMs: performance.now(),
      ownRssBytes,
      rssBytes: children.reduce((sum, pid) => sum + rssBytes(pid), ownRssBytes),
      cpuSeconds: children.reduce((sum, pid) => sum + cpuSeconds(pid), cpuSeconds(this.#pid)),
    });
  }
}

function coresBetween(from: Sample, to: Sample): number {
  const seconds = (to.atMs - from.atMs) / 1000;
  // A child that ends between two readings is counted by neither for a moment.
  return seconds === 0 ? 0 : round(Math.max(0, to.cpuSeconds - from.cpuSeconds) / seconds);
}

/** Of the process and of its children that have ended; 0 when it is gone. */
function cpuSeconds(pid: number): number {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The command name (field 2) may hold spaces; utime to cstime are fields 14 to 17.
    const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    return fields.slice(11, 15).reduce((sum, field) => sum + Number(field), 0) / TICKS_PER_SECOND;
  } catch {
    return 0;
  }
}
