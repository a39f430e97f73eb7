import { afterEach, expect, it, vi } from 'vitest';
import { SystemClock } from '../../apps/controller/src/adapters/clock.ts';
import { Database } from '../../apps/controller/src/adapters/db.ts';
import { Log } from '../../apps/controller/src/adapters/log.ts';
import { readConfig } from '../../apps/controller/src/config.ts';
import { postgresqlPrograms, startPostgresql } from '../support/postgresql.ts';

const programs = await postgresqlPrograms();
if (programs === undefined) console.warn('PostgreSQL is not installed: skipping its clock');

const HOUR_MS = 3_600_000;
const nowMs = Date.now;
afterEach(() => vi.restoreAllMocks());

it.skipIf(programs === undefined)(
  'goes by the clock of the database, however wrong that of this machine is',
  async () => {
    if (programs === undefined) return;
    const service = await startPostgresql(programs);
    const log = new Log('error');
    for (const wrongByMs of [0, HOUR_MS, -HOUR_MS]) {
      vi.spyOn(Date, 'now').mockImplementation(() => nowMs() + wrongByMs);
      const database = await Database.open(readConfig({ DATABASE_URL: service.url }), log);
      await database.whenReady();
      const differenceMs = new SystemClock(database).now().getTime() - nowMs();
      await database.close();
      expect(Math.abs(differenceMs)).toBeLessThan(2000);
    }
    await service.stop();
  },
);
