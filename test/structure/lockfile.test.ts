import { readFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { expect, test } from 'vitest';

interface Lock {
  readonly packages: Readonly<
    Record<string, { readonly optionalDependencies?: Readonly<Record<string, string>> }>
  >;
}

/**
 * npm leaves packages for other platforms out of the lock file when the registry in use does not
 * serve them, and `npm ci` then refuses that lock file wherever the registry does.
 */
test('the lock file knows every optional package, also those for other platforms', async () => {
  const path = resolve(import.meta.dirname, '../../package-lock.json');
  const lock: Lock = JSON.parse(await readFile(path, 'utf8'));
  const missing = Object.entries(lock.packages).flatMap(([parent, entry]) =>
    Object.keys(entry.optionalDependencies ?? {}).filter(
      (name) =>
        lock.packages[`${parent}/node_modules/${name}`] === undefined &&
        lock.packages[`node_modules/${name}`] === undefined,
    ),
  );
  expect(missing).toEqual([]);
});
