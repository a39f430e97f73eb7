import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../adapters/db.ts';

/** How far those that follow changes have come, by name; migrations/0021_owner.sql explains it. */
@Injectable()
export class WatermarkStore {
  constructor(@Inject(Database) private readonly database: Database) {}

  async find(name: string): Promise<number | undefined> {
    const row = await this.database.query
      .selectFrom('watermarks')
      .select('resource_version')
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? undefined : Number(row.resource_version);
  }

  async save(name: string, version: number): Promise<void> {
    const values = { name, resource_version: String(version) };
    await this.database.query
      .insertInto('watermarks')
      .values(values)
      .onConflict((conflict) => conflict.column('name').doUpdateSet(values))
      .execute();
  }
}
