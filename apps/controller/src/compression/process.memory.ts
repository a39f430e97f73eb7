import { readFile } from 'node:fs/promises';

/**
 * Most physical memory that this process has held, from the kernel (VmHWM in proc(5)).
 * `resourceUsage().maxRSS` would be wrong: over a fork it inherits the parent's.
 * @returns 0 where the system does not tell.
 */
export async function peakMemoryBytes(): Promise<number> {
  const text = await readFile('/proc/self/status', 'utf8').catch(() => '');
  const kibibytes = /^VmHWM:\s*(\d+) kB$/m.exec(text)?.[1];
  return Number(kibibytes ?? 0) * 1024;
}
