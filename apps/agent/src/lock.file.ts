import { readFileSync } from 'node:fs';
import { open, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { AgentError, systemCode } from './errors.ts';

const NAME = 'agent.lock';
const TAKEOVERS_MAX = 8;

/** Proof that this process alone uses a data folder. */
export interface FolderLock {
  release(): Promise<void>;
}

/**
 * Locks a data folder. The lock names its process by id and start time, so a lock left behind by a
 * process that is dead is taken over, also when its id is in use again.
 * @throws AgentError `DataFolderInUse` while another agent runs on the folder.
 */
export async function lockFolder(folder: string): Promise<FolderLock> {
  const path = join(folder, NAME);
  const own = `${process.pid} ${startTicks(process.pid) ?? 'unknown'}\n`;
  for (let attempt = 0; attempt < TAKEOVERS_MAX; attempt++) {
    if (await created(path, own)) return { release: () => release(path, own) };
    const holder = await readLock(path);
    if (holder === undefined) continue;
    if (isAlive(holder)) throw inUse(folder, holder);
    await setAside(path, holder);
  }
  throw new AgentError('DataFolderInUse', `the lock ${path} keeps changing; try again`);
}

async function created(path: string, text: string): Promise<boolean> {
  try {
    const file = await open(path, 'wx', 0o600);
    try {
      await file.writeFile(text);
    } finally {
      await file.close();
    }
    return true;
  } catch (error) {
    if (systemCode(error) === 'EEXIST') return false;
    throw error;
  }
}

async function readLock(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return undefined;
    throw error;
  }
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

/** Renames a dead process's lock away; a lock that another agent took meanwhile is put back. */
async function setAside(path: string, dead: string): Promise<void> {
  const aside = `${path}.${process.pid}`;
  try {
    await rename(path, aside);
  } catch (error) {
    if (systemCode(error) === 'ENOENT') return;
    throw error;
  }
  if ((await readLock(aside)) !== dead) await rename(aside, path);
  await rm(aside, { force: true });
}

async function release(path: string, own: string): Promise<void> {
  if ((await readLock(path)) === own) await rm(path, { force: true });
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
