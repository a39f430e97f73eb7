import { randomUUID } from 'node:crypto';
import { link, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname } from 'node:path';
import { z } from 'zod';
import { StartupError } from '../errors.ts';

const FREE = '{}';
const TRIES_MAX = 100;

const ownerSchema = z.object({ pid: z.int().min(1), boot: z.string(), startTicks: z.string() });
type Owner = z.infer<typeof ownerSchema>;

/**
 * Keeps a second process off the embedded database, which would corrupt it. The lock names its
 * owner by pid, boot and process start, so a lock left by a killed process, or one whose pid was
 * given to another process since, is taken over.
 *
 * Locks are files `<path>.<n>` with rising numbers, and the highest one counts; `<path>` itself, as
 * older versions wrote it, counts as number 0. A lock is taken by creating the next number, which
 * one process only can do, and removed only when a higher one is there; so nobody ever has to take
 * away a lock that might have come alive, however many start at once.
 *
 * @returns a function that gives the lock back.
 * @throws StartupError `DataFolderInUse` while the owner is alive.
 */
export async function lockFile(path: string): Promise<() => Promise<void>> {
  const draft = `${path}.draft-${randomUUID()}`;
  await writeFile(draft, JSON.stringify(await describeOwner(process.pid)));
  try {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      const [latest = 0] = await lockNumbers(path);
      const holder = await readFile(numbered(path, latest), 'utf8').catch(() => undefined);
      // It was removed since it was listed: a higher one is there, or nobody ever locked.
      if (holder === undefined && latest > 0) continue;
      await assertDead(holder ?? FREE, numbered(path, latest));
      const number = latest + 1;
      if (await tookOver({ path, draft, number })) return () => giveBack(numbered(path, number));
    }
  } finally {
    await rm(draft, { force: true });
  }
  throw new StartupError('DataFolderInUse', `the lock ${path} keeps changing; try again`);
}

const numbered = (path: string, number: number): string =>
  number === 0 ? path : `${path}.${number}`;

/** Numbers of the locks that are there, the highest one first. */
async function lockNumbers(path: string): Promise<number[]> {
  const prefix = `${basename(path)}.`;
  return (await readdir(dirname(path)))
    .map((name) => (name.startsWith(prefix) ? name.slice(prefix.length) : ''))
    .filter((text) => /^[1-9]\d{0,14}$/.test(text))
    .map(Number)
    .sort((a, b) => b - a);
}

/** Linking, unlike creating and writing, never shows a lock without its content. */
async function tookOver(of: { path: string; draft: string; number: number }): Promise<boolean> {
  const { path, draft, number } = of;
  try {
    await link(draft, numbered(path, number));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'EEXIST') return false;
    throw error;
  }
  const numbers = await lockNumbers(path);
  // The number may have been used and removed since we looked: then a higher one is there.
  const isHighest = numbers[0] === number;
  const obsolete = isHighest ? [...numbers.slice(1), 0] : [number];
  for (const old of obsolete) await rm(numbered(path, old), { force: true });
  return isHighest;
}

/** The number stays, so that numbers only rise. */
async function giveBack(path: string): Promise<void> {
  const free = `${path}-free`;
  await writeFile(free, FREE);
  await rename(free, path);
}

/** A lock that cannot be read as one was written by a process that died half-way. */
async function assertDead(holder: string, path: string): Promise<void> {
  const owner = parseOwner(holder);
  if (owner === undefined) return;
  const current = await describeOwner(owner.pid);
  const alive = current.boot === owner.boot && current.startTicks === owner.startTicks;
  if (!alive || current.startTicks === '') return;
  throw new StartupError(
    'DataFolderInUse',
    `the embedded database is open in process ${owner.pid} (${path}); stop that controller, ` +
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
