import { execFile } from 'node:child_process';
import { chown, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { freePort } from '../../deploy/private/loopback.port.ts';

const run = promisify(execFile);
const DEBIAN_FOLDER = '/usr/lib/postgresql';

export interface PrivatePostgresql {
  readonly url: string;
  stop(): Promise<void>;
}

/** Folder of PostgreSQL's programs as Debian installs them, or `undefined` without them. */
export async function postgresqlPrograms(): Promise<string | undefined> {
  const versions = await readdir(DEBIAN_FOLDER).catch(() => []);
  const newest = versions
    .map(Number)
    .filter(Number.isInteger)
    .sort((a, b) => b - a)[0];
  return newest === undefined ? undefined : join(DEBIAN_FOLDER, String(newest), 'bin');
}

/**
 * A private PostgreSQL on a loopback port; the caller stops it. It refuses to run as root.
 * @param tls files of the server's certificate; without them it has no TLS.
 */
export async function startPostgresql(
  programs: string,
  tls?: { readonly certificatePath: string; readonly keyPath: string },
): Promise<PrivatePostgresql> {
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-postgresql-'));
  const port = await freePort();
  const isRoot = process.getuid?.() === 0;
  if (isRoot) {
    const { stdout } = await run('id', ['-u', 'postgres']);
    await chown(folder, Number(stdout), -1);
  }
  const call = (program: string, ...options: string[]) => {
    const path = join(programs, program);
    return isRoot
      ? run('runuser', ['-u', 'postgres', '--', path, ...options], { cwd: folder })
      : run(path, options, { cwd: folder });
  };
  const data = join(folder, 'data');
  await call('initdb', '-D', data, '-U', 'entrofleet', '-A', 'trust', '--no-sync');
  const server = `-p ${port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off`;
  if (tls !== undefined) {
    // It reads a key that is its own and nobody else's only.
    const { uid } = await stat(data);
    for (const [name, path] of Object.entries({ crt: tls.certificatePath, key: tls.keyPath })) {
      await writeFile(join(data, `server.${name}`), await readFile(path), { mode: 0o600 });
      await chown(join(data, `server.${name}`), uid, -1);
    }
  }
  const security = tls === undefined ? '' : ' -c ssl=on';
  await call(
    'pg_ctl',
    '-D',
    data,
    '-o',
    server + security,
    '-l',
    join(folder, 'log'),
    '-w',
    'start',
  );
  return {
    url: `postgres://entrofleet@127.0.0.1:${port}/postgres`,
    stop: async () => {
      await call('pg_ctl', '-D', data, '-m', 'immediate', '-w', 'stop');
      await rm(folder, { recursive: true, force: true });
    },
  };
}
