import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError, systemCode } from './errors.ts';

const PREFIX = 'agent.lock.';
const FREE = 'free\n';
const TRIES_MAX = 100;

/** Proof that this process alone uses a data folder. */
export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Locks a data folder. The lock names its process by id and start time, so a lock left behind by a
 * process that is dead is taken over, also when its id is in use again.
 *
 * Locks are files with rising numbers, and the highest one counts. It is taken by creating the next
 * number, which one process only can do, and removed only when a higher one is there; so nobody ever
 * has to take away a lock that might have come alive.
 * @throws AgentError `DataFolderInUse` while another agent runs on the folder.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const own = `${process.pid} ${startTicks(process.pid) ?? 'unknown'}\n`;
  const draft = join(folder, `${PREFIX}draft-${randomUUID()}`);
  await writeFile(draft, own, { mode: 0o600 });
  try {
    for (let attempt = 0; attempt < TRIES_MAX; attempt++) {
      const [latest = 0] = await lockNumbers(folder);
      const holder = latest === 0 ? FREE : await readLock(pathOf(folder, latest));
      if (holder === undefined) continue;
      if (isAlive(holder)) throw inUse(folder, holder);
      if (await tookOver({ folder, draft, number: latest + 1 })) {
        return { release: () => release(pathOf(folder, latest + 1)) };
      }
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new AgentError('DataFolderInUse', `the lock in ${folder} keeps changing; try again`);
}

/** Numbers of the locks that are there, the highest one first. */
async function lockNumbers(folder: string): Promise<number[]> {
  return (await readdir(folder))
    .map((name) => (name.startsWith(PREFIX) ? name.slice(PREFIX.length) : ''))
    .filter((text) => /^[1-9]\d{0,14}$/.test(text))
    .map(Number)
    .sort((a, b) => b - a);
}

const pathOf = (folder: string, number: number): string => join(folder, `${PREFIX}${number}`);

/** Linking, unlike creating and writing, never shows a lock without its content. */
async function tookOver(of: { folder: string; draft: string; number: number }): Promise<boolean> {
  const path = pathOf(of.folder, of.number);
  try {
    await link(of.draft, path);
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
  const numbers = await lockNumbers(of.folder);
  // The number may have been used and removed since we looked: then a higher one is there.
  const isHighest = numbers[0] === of.number;
  const obsolete = isHighest ? numbers.slice(1) : [of.number];
  for (const number of obsolete) await rm(pathOf(of.folder, number), { force: true });
  return isHighest;
}

async function readLock(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
}

/** The number stays, so that numbers only rise. */
async function release(path: string): Promise<void> {
  const free = `${path}-free`;
  await writeFile(free, FREE, { mode: 0o600 });
  await rename(free, path);
}

/** An unreadable lock is one whose writer died half-way, so its owner counts as dead. */
function isAlive(holder: string): boolean {
  const match = /^(\d+) (\S+)\n$/.exec(holder);
  if (match === null) return false;
  const pid = Number(match[1]);
  const ticks = startTicks(pid);
  if (ticks !== undefined && match[2] !== 'unknown') return ticks === match[2];
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return systemCode(error) === 'EPERM';
  }
}

/** Start time of a process in clock ticks since boot: field 22 of proc(5)'s stat. */
function startTicks(pid: number): string | undefined {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19];
  } catch {
    return undefined;
  }
}

function inUse(folder: string, holder: string): AgentError {
  const pid = holder.split(' ')[0];
  return new AgentError(
    'DataFolderInUse',
    `another agent (process ${pid}) runs on ${folder}; stop it, or give this one its own ` +
      'ENTROFLEET_DATA_DIR',
  );
}
