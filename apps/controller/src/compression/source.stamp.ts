import { readdir, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

/** Tells states of files apart by size, time and inode: their content would take long to hash. */
export async function fileStamps(paths: readonly string[]): Promise<unknown[]> {
  return Promise.all(
    paths.map(async (path) => {
      const { size, mtimeMs, ino } = await stat(path);
      return [path, size, mtimeMs, ino];
    }),
  );
}

/** {@link fileStamps} of a folder's files with such names. */
export async function folderStamps(path: string, name: RegExp = /^/): Promise<unknown[]> {
  const folder = await realpath(path);
  const names = (await readdir(folder)).filter((found) => name.test(found)).sort();
  return fileStamps(names.map((name) => join(folder, name)));
}
