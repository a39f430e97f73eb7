import { randomUUID } from 'node:crypto';
import { link, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { z } from 'zod';
import { StartupError } from '../errors.ts';

const ownerSchema = z.object({ pid: z.int().min(1), boot: z.string(), startTicks: z.string() });
type Owner = z.infer<typeof ownerSchema>;

/**
 * Keeps a second process off the embedded database, which would corrupt it. The file names its
 * owner by pid, boot and process start, so a lock left by a killed process, or one whose pid was
 * given to another process since, is taken over.
 *
 * @returns a function that gives the lock back.
 * @throws StartupError `DataFolderInUse` while the owner is alive.
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  const draft = `${path}.${randomUUID()}`;
  await writeFile(draft, JSON.stringify(await describeOwner(process.pid)));
  try {
    for (let tries = 0; tries < 3; tries++) {
      if (await linked(draft, path)) return () => rm(path, { force: true });
      await removeStale(path);
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new StartupError('DataFolderInUse', `cannot take the lock ${path}; try again`);
}

async function linked(from: string, to: string): Promise<boolean> {
  try {
    await link(from, to);
    return true;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
}

/** Moves a dead owner's lock away; a lock that changed hands meanwhile is put back. */
async function removeStale(path: string): Promise<void> {
  await assertDead(path, path);
  const aside = `${path}.${randomUUID()}`;
  try {
    await rename(path, aside);
  } catch {
    return;
  }
  try {
    await assertDead(aside, path);
  } catch (error) {
    await linked(aside, path);
    throw error;
  } finally {
    await rm(aside, { force: true });
  }
}

async function assertDead(file: string, lock: string): Promise<void> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const owner = parseOwner(text);
  if (owner === undefined) return;
  const current = await describeOwner(owner.pid);
  const alive = current.boot === owner.boot && current.startTicks === owner.startTicks;
  if (!alive || current.startTicks === '') return;
  throw new StartupError(
    'DataFolderInUse',
    `the embedded database is open in process ${owner.pid} (${lock}); stop that controller, ` +
      'set another ENTROFLEET_DATA_DIR, or use PostgreSQL through DATABASE_URL',
  );
}

function parseOwner(text: string): Owner | undefined {
  try {
    return ownerSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

async function describeOwner(pid: number): Promise<Owner> {
  const boot = await readFile('/proc/sys/kernel/random/boot_id', 'utf8').catch(() => '');
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  // The command name (field 2) may hold spaces; field 22 is counted from its closing bracket.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return { pid, boot: boot.trim(), startTicks: fields[19] ?? '' };
}
