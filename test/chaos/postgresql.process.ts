import { execFile } from 'node:child_process';
import { chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { freePort } from '../../deploy/private/loopback.port.ts';
import { SupervisedProcess } from '../../deploy/private/supervised.process.ts';
import { temporaryFolder } from '../../deploy/private/temporary.folder.ts';

const run = promisify(execFile);
const USER = 'postgres';

export interface PostgresqlProcess {
  readonly port: number;
  readonly process: SupervisedProcess;
  /** Ends it and removes its data. */
  remove(): Promise<void>;
}

/** A private PostgreSQL whose server process can be killed as such. It refuses to run as root. */
export async function startPostgresqlProcess(programs: string): Promise<PostgresqlProcess> {
  const folder = await temporaryFolder('postgresql');
  const isRoot = process.getuid?.() === 0;
  const as = isRoot ? ['setpriv', `--reuid=${USER}`, `--regid=${USER}`, '--init-groups'] : [];
  const home = await mkdtemp(join(tmpdir(), 'entrofleet-chaos-postgresql-'));
  if (isRoot) await chown(home, Number((await run('id', ['-u', USER])).stdout), -1);
  const data = join(home, 'data');
  const port = await freePort();
  const [initdb = '', ...options] = [
    ...as,
    join(programs, 'initdb'),
    ...['-D', data, '-U', 'entrofleet', '-A', 'trust', '--no-sync'],
  ];
  await run(initdb, options, { cwd: home });
  const [first = '', ...rest] = [
    ...as,
    join(programs, 'postgres'),
    ...['-D', data, '-p', String(port), '-c', 'listen_addresses=127.0.0.1'],
    // Kills are not power losses, so what was written is there without a sync.
    ...['-c', 'unix_socket_directories=', '-c', 'fsync=off'],
  ];
  const supervised = new SupervisedProcess({
    name: 'database',
    command: [first, ...rest],
    environment: {},
    logPath: join(folder, 'postgresql.log'),
    isReady: () => answers(port),
    readyTimeoutMs: 30_000,
    stopTimeoutMs: 10_000,
  });
  await supervised.start();
  return {
    port,
    process: supervised,
    remove: async () => {
      await supervised.stop();
      await rm(home, { recursive: true, force: true });
    },
  };
}

/** A server that starts takes connections before it takes statements. */
async function answers(port: number): Promise<boolean> {
  const url = `postgres://entrofleet@127.0.0.1:${port}/postgres`;
  const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2000 });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.end();
    return true;
  } catch {
    return false;
  }
}
