import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';

/** A control group of the kernel whose processes share a memory limit, their file pages included. */
export interface MemoryGroup {
  /** Words before a program's own that put it into the group (see runMeasured). */
  readonly before: readonly string[];
  /** Needs all its processes to be gone. */
  remove(): void;
}

const ROOT = '/sys/fs/cgroup';
/** $0 is the group; the shell is replaced by the program. */
const ENTER = 'echo $$ > "$0/cgroup.procs" && exec "$@"';

/**
 * Makes a group below this process's own, of cgroup version 1 or 2. Limits only get tighter by it.
 * @returns undefined where groups may not be made.
 */
export function createMemoryGroup(limitBytes: number): MemoryGroup | undefined {
  const place = groupPlace(readFileSync('/proc/self/cgroup', 'utf8'));
  if (place === undefined) return undefined;
  const path = join(ROOT, place.folder, `entrofleet-bench-${process.pid}`);
  try {
    mkdirSync(path);
  } catch {
    return undefined;
  }
  try {
    for (const name of place.limitFiles) writeFileSync(join(path, name), String(limitBytes));
  } catch {
    rmdirSync(path);
    return undefined;
  }
  return { before: ['sh', '-c', ENTER, path], remove: () => rmdirSync(path) };
}

/**
 * Where a group with a memory limit can be made, below the root of groups. Version 2 lets only groups
 * without processes have limited children, so there it stands beside this process's group.
 * @param text of /proc/self/cgroup.
 */
export function groupPlace(
  text: string,
): { folder: string; limitFiles: readonly string[] } | undefined {
  const first = /^\d+:(?:[^:]*,)?memory(?:,[^:]*)?:(.*)$/m.exec(text)?.[1];
  if (first !== undefined) {
    return { folder: join('memory', first), limitFiles: ['memory.limit_in_bytes'] };
  }
  const second = /^0::(.*)$/m.exec(text)?.[1];
  if (second === undefined) return undefined;
  return { folder: dirname(second), limitFiles: ['memory.max', 'memory.swap.max'] };
}
