import { lstat, mkdir, mkdtemp, open, readdir, rename, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { CliError, codeOf } from './cli.error.ts';

const INDEX_FILE = 'model.safetensors.index.json';

/**
 * Lets `write` fill a folder beside `target`, then gives it the target's name; nothing is left
 * when `write` fails. With `force` the new files replace those of the same name in a folder that
 * exists, and its other files stay.
 * @throws CliError `OutputExists`.
 */
export async function writeFolder(
  target: string,
  options: { force: boolean },
  write: (folder: string) => Promise<void>,
): Promise<void> {
  const path = resolve(target);
  const isMerged = await mustMerge(path, options);
  await mkdir(dirname(path), { recursive: true });
  const staged = await mkdtemp(join(dirname(path), `.${basename(path)}.partial-`));
  try {
    await write(staged);
    if (isMerged) {
      for (const name of await readdir(staged)) await rename(join(staged, name), join(path, name));
      await syncPath(path);
    } else {
      await syncPath(staged);
      await rename(staged, path);
    }
    await syncPath(dirname(path));
  } finally {
    await rm(staged, { recursive: true, force: true });
  }
}

/** Makes a file's or a folder's content durable. */
export async function syncPath(path: string): Promise<void> {
  const handle = await open(path, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

async function mustMerge(path: string, { force }: { force: boolean }): Promise<boolean> {
  const found = await lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return false;
  if (!found.isDirectory()) {
    throw new CliError('OutputExists', `${path} is no folder; name another one with -o`);
  }
  const names = await readdir(path);
  if (names.length === 0) return false;
  if (!force) {
    throw new CliError('OutputExists', `${path} is not empty; name another folder or add --force`);
  }
  if (names.includes(INDEX_FILE)) {
    throw new CliError('OutputExists', `${path} holds a model in shards; name another folder`);
  }
  return true;
}
