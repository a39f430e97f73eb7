import { expect, test } from 'vitest';
import { loadAddon, NativeUnavailable } from './addon.loader.ts';

const PLACE = { packageFolder: '/opt/native', target: 'linux-arm64' };
const BUILT = '/opt/native/build/linux-arm64/entrofleet.node';
const PREBUILT = '/opt/native/prebuilds/linux-arm64/entrofleet.node';

/** A `require` on a machine that has only these files. */
const machineWith =
  (...paths: string[]) =>
  (path: string): string => {
    if (!paths.includes(path)) throw new Error(`Cannot find module '${path}'\nRequire stack: ...`);
    return `addon of ${path}`;
  };

test('what was compiled here comes before what came with the package', () => {
  const both = machineWith(BUILT, PREBUILT);
  expect(loadAddon({ ...PLACE, load: both })).toBe(`addon of ${BUILT}`);
});

test('what came with the package serves where nothing was compiled', () => {
  expect(loadAddon({ ...PLACE, load: machineWith(PREBUILT) })).toBe(`addon of ${PREBUILT}`);
});

test('a machine with neither learns what was tried and how to build it', () => {
  expect(() => loadAddon({ ...PLACE, load: machineWith() })).toThrow(
    new NativeUnavailable(
      `no native addon for linux-arm64 could be loaded:
  Cannot find module '${BUILT}'
  Cannot find module '${PREBUILT}'
build it with "make -C /opt/native" (needs g++ and make)`,
    ),
  );
});
