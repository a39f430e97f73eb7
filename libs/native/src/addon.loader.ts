/** The addon could not be loaded; the message tells each place that was tried, and how to build it. */
export class NativeUnavailable extends Error {
  readonly reason = 'NativeUnavailable';
}

/** A folder of the package that may hold the addon, best first. */
const FOLDERS = ['build', 'prebuilds'] as const;

/**
 * Loads the addon that was compiled here or, failing that, the one that came with the package.
 * @param load Loads a file by its path, and throws when it cannot: a `require`.
 * @throws NativeUnavailable when there is neither, or none that this system can load.
 */
export function loadAddon<Addon>(use: {
  readonly packageFolder: string;
  /** `process.platform` and `process.arch`, joined: linux-arm64. */
  readonly target: string;
  readonly load: (path: string) => Addon;
}): Addon {
  const failures: unknown[] = [];
  for (const folder of FOLDERS) {
    try {
      return use.load(`${use.packageFolder}/${folder}/${use.target}/entrofleet.node`);
    } catch (failure) {
      failures.push(failure);
    }
  }
  const reasons = failures.map((failure) => `\n  ${firstLine(failure)}`).join('');
  throw new NativeUnavailable(
    `no native addon for ${use.target} could be loaded:${reasons}\n` +
      `build it with "make -C ${use.packageFolder}" (needs g++ and make)`,
  );
}

function firstLine(failure: unknown): string {
  const text = failure instanceof Error ? failure.message : String(failure);
  return text.split('\n', 1)[0] ?? '';
}
