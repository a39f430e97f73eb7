import { Inject, Injectable } from '@nestjs/common';
import { type Selectable, sql } from 'kysely';
import type { ObjectTable, ObjectTableName } from '../adapters/db.schema.ts';
import { Database } from '../adapters/db.ts';
import { type ObjectFilter, objectFilterSql } from '../objects/object.filter.sql.ts';
import type { StoredObject } from '../objects/object.types.ts';
import type { Change, VersionRange } from './change.ts';

/** The store of one kind, as far as watching needs it. */
export interface WatchedStore {
  readonly table: ObjectTableName;
  fromRows(rows: readonly Selectable<ObjectTable>[]): Promise<StoredObject<unknown, unknown>[]>;
}

/** What changed in the tables of objects. */
@Injectable()
export class ObjectChanges {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** As ChangeSource wants it. */
  async read(store: WatchedStore, range: VersionRange): Promise<Change[]> {
    const deleted = await this.deletions(store, range);
    const rows = await this.database.query
      .selectFrom(store.table)
      .selectAll()
      .where('resource_version', '>', String(range.after))
      .where('resource_version', '<=', String(range.upTo))
      .orderBy('resource_version')
      .limit(range.limit)
      .execute();
    const live = await changesOf(store, rows);
    // Each of the two is complete up to its own end, so their first ones are complete together.
    return [...live, ...deleted].toSorted((a, b) => a.version - b.version).slice(0, range.limit);
  }

  /**
   * Names of objects that were there at a version and match, or have changed since: whether those
   * matched then, nobody knows.
   */
  async namesAt(store: WatchedStore, version: number, filter: ObjectFilter): Promise<string[]> {
    const rows = await this.database.query
      .selectFrom(store.table)
      .select('name')
      .where('created_version', '<=', String(version))
      .where((where) =>
        where.or([
          where('resource_version', '>', String(version)),
          sql<boolean>`${objectFilterSql(filter)}`,
        ]),
      )
      .execute();
    return rows.map(({ name }) => name);
  }

  private async deletions(store: WatchedStore, range: VersionRange): Promise<Change[]> {
    const rows = await this.database.query
      .selectFrom('tombstones')
      .select(['resource_version', 'document'])
      .where('kind', '=', store.table)
      .where('resource_version', '>', String(range.after))
      .where('resource_version', '<=', String(range.upTo))
      .orderBy('resource_version')
      .limit(range.limit)
      .execute();
    const last = rows.map((row) => ({
      ...(row.document as Selectable<ObjectTable>),
      resource_version: String(row.resource_version),
    }));
    const changes = await changesOf(store, last);
    return changes.map((change) => ({ ...change, isDeleted: true }));
  }
}

async function changesOf(
  store: WatchedStore,
  rows: readonly Selectable<ObjectTable>[],
): Promise<Change[]> {
  const objects = await store.fromRows(rows);
  return rows.map((row, at) => ({
    key: row.name,
    version: Number(row.resource_version),
    createdVersion: Number(row.created_version),
    isDeleted: false,
    object: objects[at],
  }));
}
