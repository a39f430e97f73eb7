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
    const live = await this.database.query
      .selectFrom(store.table)
      .selectAll()
      .where('resource_version', '>', String(range.after))
      .where('resource_version', '<=', String(range.upTo))
      .orderBy('resource_version')
      .limit(range.limit)
      .execute();
    // Each of the two is complete up to its own end, so their first ones are complete together.
    const first = [
      ...live.map((row) => ({ row, isDeleted: false })),
      ...deleted.map((row) => ({ row, isDeleted: true })),
    ]
      .toSorted((a, b) => Number(a.row.resource_version) - Number(b.row.resource_version))
      .slice(0, range.limit);
    const objects = await store.fromRows(first.map(({ row }) => row));
    return first.map(({ row, isDeleted }, i) => ({
      key: row.name,
      version: Number(row.resource_version),
      createdVersion: Number(row.created_version),
      isDeleted,
      object: objects[i],
    }));
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

  /** Rows as they last were, at the version of their deletion. */
  private async deletions(
    store: WatchedStore,
    range: VersionRange,
  ): Promise<Selectable<ObjectTable>[]> {
    const rows = await this.database.query
      .selectFrom('tombstones')
      .select(['resource_version', 'document'])
      .where('kind', '=', store.table)
      .where('resource_version', '>', String(range.after))
      .where('resource_version', '<=', String(range.upTo))
      .orderBy('resource_version')
      .limit(range.limit)
      .execute();
    return rows.map(({ document, resource_version }) => ({
      ...(document as Selectable<ObjectTable>),
      resource_version,
    }));
  }
}
