import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { promisify } from 'node:util';
import { createGunzip } from 'node:zlib';
import { ImportError } from './import.error.ts';

const run = promisify(execFile);
const TAR_BLOCK_BYTES = 512;

/** A package version whose content is known beforehand. */
export interface PinnedPackage {
  readonly name: string;
  readonly version: string;
  /** Subresource integrity of the tarball, `sha512-<base64>`. */
  readonly integrity: string;
}

/**
 * Fetches a package's tarball through npm, so that the user's registry, proxy and npm cache are
 * honoured. Nothing of the package is run. A tarball that is there and intact is not fetched again.
 * @returns the tarball's path.
 * @throws ImportError `DownloadFailed` or `BadPackage`.
 */
export async function fetchTarball(pinned: PinnedPackage, folder: string): Promise<string> {
  const { name, version, integrity } = pinned;
  const path = join(folder, `${name.replace(/^@/, '').replace('/', '-')}-${version}.tgz`);
  await mkdir(folder, { recursive: true });
  if ((await integrityOf(path)) === integrity) return path;
  await rm(path, { force: true });
  const flags = ['--pack-destination', folder, '--ignore-scripts', '--silent'];
  await run('npm', ['pack', `${name}@${version}`, ...flags]).catch((cause) => {
    throw new ImportError(
      'DownloadFailed',
      `npm could not fetch ${name}@${version}: ${String(cause.stderr || cause.message).trim()}; ` +
        'check the network and the registry (npm ping), or use your own model: make demo MODEL=/path',
      { cause },
    );
  });
  if ((await integrityOf(path)) === integrity) return path;
  await rm(path, { force: true });
  throw new ImportError(
    'BadPackage',
    `the tarball of ${name}@${version} does not have the integrity that is pinned for it; ` +
      'it was thrown away: check the registry that npm uses (npm config get registry)',
  );
}

/**
 * Unpacks one file of a tarball.
 * @param limitBytes the largest size accepted.
 * @throws ImportError `BadPackage`.
 */
export async function readTarMember(
  tarball: string,
  member: { path: string; limitBytes: number },
): Promise<Uint8Array> {
  const reader = new TarReader(member);
  await pipeline(createReadStream(tarball), createGunzip(), async (blocks) => {
    for await (const block of blocks) {
      reader.push(block);
      if (reader.found !== undefined) return;
    }
  }).catch((cause: unknown) => {
    // Leaving the loop early counts as an abort.
    if (reader.found !== undefined) return;
    if (cause instanceof ImportError) throw cause;
    throw new ImportError('BadPackage', `${tarball} cannot be unpacked: ${cause}`, { cause });
  });
  if (reader.found !== undefined) return reader.found;
  throw new ImportError('BadPackage', `${tarball} has no complete file ${member.path}`);
}

/** Finds one member of a tar stream (POSIX ustar; longer names and links are skipped). */
class TarReader {
  readonly #member: { path: string; limitBytes: number };
  #pending: Buffer = Buffer.alloc(0);
  #skipBytes = 0;
  #content: { bytes: Buffer; done: number } | undefined;
  found: Uint8Array | undefined;

  constructor(member: { path: string; limitBytes: number }) {
    this.#member = member;
  }

  push(block: Buffer): void {
    let rest: Buffer = Buffer.concat([this.#pending, block]);
    while (rest.length > 0 && this.found === undefined) {
      if (this.#content !== undefined) {
        rest = this.#take(rest, this.#content);
      } else if (this.#skipBytes > 0) {
        const skipped = Math.min(this.#skipBytes, rest.length);
        this.#skipBytes -= skipped;
        rest = rest.subarray(skipped);
      } else if (rest.length < TAR_BLOCK_BYTES) {
        break;
      } else {
        this.#enter(rest.subarray(0, TAR_BLOCK_BYTES));
        rest = rest.subarray(TAR_BLOCK_BYTES);
      }
    }
    this.#pending = rest;
  }

  #take(block: Buffer, content: { bytes: Buffer; done: number }): Buffer {
    const copied = block.copy(content.bytes, content.done);
    content.done += copied;
    if (content.done === content.bytes.length) this.found = content.bytes;
    return block.subarray(copied);
  }

  #enter(header: Buffer): void {
    const name = header.toString('utf8', 0, 100).replace(/\0.*$/s, '');
    const size = Number.parseInt(header.toString('latin1', 124, 136).replace(/\0.*$/s, ''), 8) || 0;
    const isFile = header[156] === 0x30 || header[156] === 0;
    if (!isFile || name !== this.#member.path) {
      this.#skipBytes = Math.ceil(size / TAR_BLOCK_BYTES) * TAR_BLOCK_BYTES;
      return;
    }
    if (size > this.#member.limitBytes) {
      throw new ImportError('BadPackage', `${name} has ${size} bytes, more than expected`);
    }
    this.#content = { bytes: Buffer.alloc(size), done: 0 };
  }
}

async function integrityOf(path: string): Promise<string | undefined> {
  const hash = createHash('sha512');
  try {
    await pipeline(createReadStream(path), hash);
  } catch {
    return undefined;
  }
  return `sha512-${hash.digest('base64')}`;
}
