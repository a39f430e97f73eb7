import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { statfs } from 'node:fs/promises';
import { availableParallelism, machine, totalmem } from 'node:os';
import { join } from 'node:path';
import type { Capabilities } from '@entrofleet/protocol';

export interface CapabilityOptions {
  readonly dataFolder: string;
  /** Extensions the native kernels found. */
  readonly isa: readonly string[];
  readonly memoryBudgetBytes: number | null;
  /** Where /proc and /sys are; another folder in tests. */
  readonly root?: string;
}

/** Reads from the system what this device can do. What the system does not tell is null. */
export async function readCapabilities(options: CapabilityOptions): Promise<Capabilities> {
  const root = options.root ?? '/';
  const memory = readMemory({ root, budgetBytes: options.memoryBudgetBytes });
  return {
    architecture: machine(),
    cpuModel: cpuModel(root),
    cores: availableParallelism(),
    isa: [...options.isa],
    memoryBytes: memory.totalBytes,
    memoryAvailableBytes: memory.availableBytes,
    diskFreeBytes: await diskFree(options.dataFolder),
    accelerator: accelerator(root),
  };
}

export interface MemoryReading {
  readonly totalBytes: number;
  readonly availableBytes: number | null;
}

/** Memory from /proc/meminfo, lowered to the cgroup's limit (version 2 or 1) and to a budget. */
export function readMemory(use: { root: string; budgetBytes: number | null }): MemoryReading {
  const { root, budgetBytes } = use;
  const total = meminfo(root, 'MemTotal');
  const cgroup = readCgroup(root);
  const limits = [cgroup?.limitBytes, budgetBytes].filter((x) => x != null);
  const ownBytes = rss(root, 'VmRSS');
  const room = [
    meminfo(root, 'MemAvailable'),
    cgroup === null ? null : Math.max(0, cgroup.limitBytes - cgroup.usedBytes),
    budgetBytes === null || ownBytes === null ? null : Math.max(0, budgetBytes - ownBytes),
  ].filter((x) => x !== null);
  return {
    totalBytes: Math.min(total ?? totalmem(), ...limits),
    availableBytes: room.length === 0 ? null : Math.min(...room),
  };
}

/**
 * Forgets the highest resident size so far (proc(5): 5 in clear_refs), after memory was taken that
 * has nothing to do with a model. Systems that do not let us keep it.
 */
export function resetPeakRss(root = '/'): void {
  try {
    writeFileSync(join(root, 'proc/self/clear_refs'), '5');
  } catch {
    // The figure is a little too high then, for all models alike.
  }
}

/** Highest resident size of this process since it started or was reset, from proc(5)'s VmHWM. */
export function readPeakRssBytes(root = '/'): number | null {
  return rss(root, 'VmHWM');
}

/** The hottest thermal zone, in degrees Celsius. */
export function readTemperatureCelsius(root = '/'): number | null {
  const folder = join(root, 'sys/class/thermal');
  const readings = names(folder)
    .filter((name) => name.startsWith('thermal_zone'))
    .map((name) => read(join(folder, name, 'temp')))
    .filter((text) => text !== null)
    .map((text) => Number(text) / 1000)
    // Zones that are switched off read as absurd values, e.g. -256 on Jetson boards.
    .filter((celsius) => Number.isFinite(celsius) && celsius > -50 && celsius < 200);
  return readings.length === 0 ? null : Math.max(...readings);
}

interface CgroupReading {
  readonly limitBytes: number;
  readonly usedBytes: number;
}

/** The tightest memory limit on the way from this process's cgroup to the root. */
function readCgroup(root: string): CgroupReading | null {
  const lines = (read(join(root, 'proc/self/cgroup')) ?? '').split('\n');
  const readings: CgroupReading[] = [];
  for (const line of lines) {
    const [, controllers, path] = line.split(':');
    if (controllers === undefined || path === undefined) continue;
    if (controllers === '') {
      const files = { limit: 'memory.max', used: 'memory.current', inactive: 'inactive_file' };
      readings.push(...cgroupsAbove(join(root, 'sys/fs/cgroup'), path, files));
    } else if (controllers.split(',').includes('memory')) {
      const files = {
        limit: 'memory.limit_in_bytes',
        used: 'memory.usage_in_bytes',
        inactive: 'total_inactive_file',
      };
      readings.push(...cgroupsAbove(join(root, 'sys/fs/cgroup/memory'), path, files));
    }
  }
  return readings.sort((a, b) => a.limitBytes - b.limitBytes)[0] ?? null;
}

interface CgroupFiles {
  readonly limit: string;
  readonly used: string;
  readonly inactive: string;
}

function cgroupsAbove(mount: string, path: string, files: CgroupFiles): CgroupReading[] {
  const parts = path.split('/').filter((part) => part !== '' && part !== '..');
  const readings: CgroupReading[] = [];
  for (let depth = parts.length; depth >= 0; depth--) {
    const folder = join(mount, ...parts.slice(0, depth));
    const limitBytes = Number(read(join(folder, files.limit)) ?? 'none');
    const usedBytes = Number(read(join(folder, files.used)) ?? 'none');
    // "max" and version 1's huge default mean no limit.
    if (!Number.isFinite(limitBytes) || limitBytes <= 0 || limitBytes > 2 ** 50) continue;
    if (!Number.isFinite(usedBytes)) continue;
    const cache = statistic(read(join(folder, 'memory.stat')), files.inactive);
    readings.push({ limitBytes, usedBytes: Math.max(0, usedBytes - cache) });
  }
  return readings;
}

/** Page cache that the kernel drops when memory is needed; it does not count as used. */
function statistic(text: string | null, key: string): number {
  const match = new RegExp(`^${key} (\\d+)$`, 'm').exec(text ?? '');
  return match === null ? 0 : Number(match[1]);
}

function meminfo(root: string, key: string): number | null {
  return kilobytes(read(join(root, 'proc/meminfo')), key);
}

function rss(root: string, key: string): number | null {
  return kilobytes(read(join(root, 'proc/self/status')), key);
}

function kilobytes(text: string | null, key: string): number | null {
  const match = new RegExp(`^${key}:\\s+(\\d+) kB$`, 'm').exec(text ?? '');
  return match === null ? null : Number(match[1]) * 1024;
}

function cpuModel(root: string): string | null {
  const match = /^(?:model name|Model|Hardware)\s*:\s*(.+)$/m.exec(
    read(join(root, 'proc/cpuinfo')) ?? '',
  );
  return match?.[1]?.trim() ?? null;
}

/** NVIDIA Jetson boards name themselves in the device tree. */
function accelerator(root: string): string | null {
  const model = read(join(root, 'proc/device-tree/model'))?.replaceAll('\0', '').trim();
  return model !== undefined && /jetson|nvidia/i.test(model) ? model : null;
}

async function diskFree(folder: string): Promise<number | null> {
  try {
    const { bavail, bsize } = await statfs(folder);
    return bavail * bsize;
  } catch {
    return null;
  }
}

function read(path: string): string | null {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return null;
  }
}

function names(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}
