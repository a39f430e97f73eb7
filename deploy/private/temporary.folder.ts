import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';

const REAPER = join(import.meta.dirname, 'reaper.sh');

interface Root {
  readonly path: string;
  readonly reaper: ChildProcess;
}

let root: Promise<Root> | undefined;
let made = 0;

/**
 * Makes a new empty folder under this process's one temporary root. The root is removed when this
 * process ends, also when it is killed with SIGKILL: a small watching process sees to that.
 */
export async function temporaryFolder(name: string): Promise<string> {
  root ??= openRoot();
  const folder = join((await root).path, `${name}-${made++}`);
  await mkdir(folder, { mode: 0o700 });
  return folder;
}

/** Removes everything that `temporaryFolder` has made, now instead of when this process ends. */
export async function removeTemporaryFolders(): Promise<void> {
  if (root === undefined) return;
  const { reaper } = await root;
  root = undefined;
  if (reaper.exitCode !== null) return;
  reaper.ref();
  reaper.stdin?.destroy();
  await once(reaper, 'exit');
}

async function openRoot(): Promise<Root> {
  const reaper = spawn('sh', [REAPER], { stdio: ['pipe', 'pipe', 'ignore'], detached: true });
  const lines = createInterface({ input: reaper.stdout });
  const [path] = await Promise.race([
    once(lines, 'line'),
    once(reaper, 'exit').then(() => {
      throw new Error('no temporary folder could be made; check TMPDIR and the free disk space');
    }),
  ]);
  lines.close();
  // Only the pipe matters from here on: the reaper must not keep this process running.
  reaper.unref();
  unref(reaper.stdin);
  unref(reaper.stdout);
  return { path: String(path), reaper };
}

function unref(stream: object): void {
  if ('unref' in stream && typeof stream.unref === 'function') stream.unref();
}
