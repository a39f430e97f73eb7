import { lstat } from 'node:fs/promises';
import { CliError, codeOf } from './cli.error.ts';

/**
 * @throws CliError `OutputExists` when something is at `path` already; with `force` only when
 * that is no file.
 */
export async function assertWritableFile(path: string, options: { force: boolean }): Promise<void> {
  const found = await lstat(path).catch((error: unknown) => {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  });
  if (found === undefined) return;
  if (!found.isFile()) {
    throw new CliError('OutputExists', `${path} is no file; name another one with -o`);
  }
  if (options.force) return;
  throw new CliError('OutputExists', `${path} exists; name another file or add --force`);
}
