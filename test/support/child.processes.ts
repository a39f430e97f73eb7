import { readdir, readFile } from 'node:fs/promises';

/** Pids of the direct children of a process whose title starts with `title`. */
export async function childrenOf(parentPid: number, title: string): Promise<number[]> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name)).map(Number);
  const found: number[] = [];
  for (const pid of pids) {
    const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    // The command name (field 2) may hold spaces; the parent's pid is the second field after it.
    const [, parent] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
    if (Number(parent) === parentPid && command.startsWith(title)) found.push(pid);
  }
  return found;
}

/** False for a process that has ended, also when nobody has collected its exit status yet. */
export async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const [state] = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return stat !== '' && state !== 'Z';
}
