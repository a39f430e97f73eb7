import { readdir, readFile } from 'node:fs/promises';

/** Process ids of the direct children of a process, oldest first. Linux only. */
export async function childrenOf(pid: number): Promise<number[]> {
  const threads = await readdir(`/proc/${pid}/task`).catch(() => []);
  const lists = await Promise.all(
    threads.map((thread) =>
      readFile(`/proc/${pid}/task/${thread}/children`, 'utf8').catch(() => ''),
    ),
  );
  return lists
    .flatMap((list) => list.trim().split(' '))
    .filter((text) => text !== '')
    .map(Number)
    .sort((a, b) => a - b);
}

/** Command lines of all processes that this user may see, by process id. */
export async function commandLines(): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  for (const name of await readdir('/proc')) {
    if (!/^\d+$/.test(name)) continue;
    const text = await readFile(`/proc/${name}/cmdline`, 'utf8').catch(() => '');
    found.set(Number(name), text.split('\0').join(' ').trim());
  }
  return found;
}
