import { execFile } from 'node:child_process';
import { open, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);
const SOURCE = 'entrofleet-chaos-';
const PIECE = Buffer.alloc(64 * 1024, 1);

/** A file system in memory that can be filled to its last byte. */
export interface SmallDisk {
  readonly folder: string;
  fill(): Promise<void>;
  empty(): Promise<void>;
  unmount(): Promise<void>;
}

/** @returns `undefined` where this process may not mount; root may. */
export async function mountSmallDisk(
  folder: string,
  sizeMebibytes: number,
): Promise<SmallDisk | undefined> {
  await unmountForgotten();
  const options = ['-t', 'tmpfs', '-o', `size=${sizeMebibytes}m`];
  try {
    await run('mount', [...options, `${SOURCE}${process.pid}`, folder]);
  } catch {
    return undefined;
  }
  const ballast = join(folder, 'ballast');
  return {
    folder,
    fill: () => fill(ballast),
    empty: () => rm(ballast, { force: true }),
    unmount: async () => {
      await run('umount', ['--lazy', folder]);
    },
  };
}

async function fill(path: string): Promise<void> {
  const file = await open(path, 'w');
  try {
    for (let sizeBytes = PIECE.length; sizeBytes > 0; ) {
      try {
        const { bytesWritten } = await file.write(PIECE, 0, sizeBytes);
        if (bytesWritten === 0) return;
      } catch {
        sizeBytes = Math.floor(sizeBytes / 2);
      }
    }
  } finally {
    await file.close();
  }
}

/** A run that was killed could not unmount; the name tells whose each disk is. */
async function unmountForgotten(): Promise<void> {
  const mounts = await readFile('/proc/self/mounts', 'utf8').catch(() => '');
  for (const line of mounts.split('\n')) {
    const [source = '', folder = ''] = line.split(' ');
    if (!source.startsWith(SOURCE)) continue;
    const owner = await readFile(`/proc/${source.slice(SOURCE.length)}/comm`).catch(
      () => undefined,
    );
    if (owner === undefined) await run('umount', ['--lazy', folder]);
  }
}
