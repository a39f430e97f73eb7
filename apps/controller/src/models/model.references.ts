import { Inject, Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { Database } from '../adapters/db.ts';

/** Who still needs a model or an artifact. */
@Injectable()
export class ModelReferences {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** Names of the rollouts that name the model, in order. */
  async rolloutsOf(model: string): Promise<string[]> {
    const rows = await this.database.query
      .selectFrom('rollouts')
      .select('name')
      .where(sql<string>`spec ->> 'model'`, '=', model)
      .orderBy('name')
      .execute();
    return rows.map((row) => row.name);
  }

  /** Ids of all artifacts that a device shall run, runs, or may be sent back to, or a spec names. */
  async artifactsOnDevices(): Promise<Set<string>> {
    const desired = sql<string | null>`status #>> '{desired,target,artifact,id}'`;
    const active = sql<string | null>`status #>> '{report,active,artifactId}'`;
    const rows = await this.database.query
      .selectFrom('devices')
      .select([desired.as('desired'), active.as('active')])
      .execute();
    const previous = sql<string | null>`document #>> '{previous,artifactId}'`;
    const earlier = await this.database.query
      .selectFrom('rollout_members')
      .select(previous.as('previous'))
      .distinct()
      .execute();
    const { rows: named } = await sql<{ id: string }>`
      select distinct jsonb_array_elements_text(spec -> 'artifactIds') as id
      from rollouts where spec ? 'artifactIds'
    `.execute(this.database.query);
    const ids = [
      ...named.map(({ id }) => id),
      ...rows.flatMap((row) => [row.desired, row.active]),
      ...earlier.map((row) => row.previous),
    ];
    return new Set(ids.filter((id) => id !== null));
  }
}
