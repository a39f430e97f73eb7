import { Inject, Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { Database } from '../adapters/db.ts';
import type { WatchedKind } from './change.ts';
import type { VersionObservation } from './version.horizon.ts';

/** The key of the lock in migrations/0005_watch.sql. */
const WRITERS_LOCK = 7_246_114;

/** What the database tells about the sequence of versions. */
@Injectable()
export class VersionStore {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** Two statements, in this order: who draws later than the first is not waited for. */
  async observe(): Promise<VersionObservation> {
    const { query } = this.database;
    const drawn = await sql<{ last: unknown }>`
      select case when is_called then last_value else 0 end as last from resource_versions
    `.execute(query);
    const holders = await sql<{ writer: string }>`
      select virtualtransaction as writer from pg_locks
      where locktype = 'advisory' and classid = 0 and objid = ${sql.lit(WRITERS_LOCK)}
        and objsubid = 1
        and database = (select oid from pg_database where datname = current_database())
    `.execute(query);
    return {
      last: Number(drawn.rows[0]?.last ?? 0),
      writers: holders.rows.map(({ writer }) => writer),
    };
  }

  /** Up to which version deletions of a kind are forgotten. */
  async floor(kind: WatchedKind): Promise<number> {
    const row = await this.database.query
      .selectFrom('watch_floors')
      .select('resource_version')
      .where('kind', '=', kind)
      .executeTakeFirst();
    return Number(row?.resource_version ?? 0);
  }

  /** Forgets deletions that are older, and those beyond the latest `most` of a kind. */
  async prune(options: { olderThanMs: number; most: number }): Promise<void> {
    const seconds = options.olderThanMs / 1000;
    await sql`
      with ranked as (
        select kind, resource_version, deleted_at,
          row_number() over (partition by kind order by resource_version desc) as place
        from tombstones
      ), gone as (
        delete from tombstones t using ranked r
        where t.kind = r.kind and t.resource_version = r.resource_version
          and (r.place > ${options.most} or r.deleted_at < now() - make_interval(secs => ${seconds}))
        returning t.kind, t.resource_version
      )
      update watch_floors f
      set resource_version = greatest(f.resource_version, pruned.last)
      from (select kind, max(resource_version) as last from gone group by kind) pruned
      where f.kind = pruned.kind
    `.execute(this.database.query);
  }
}
