import { type Rollout, rolloutSpecSchema, rolloutStatusSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { ObjectStore } from '../objects/object.store.ts';
import type { RolloutClaim } from './ownership.plan.ts';

@Injectable()
export class RolloutStore extends ObjectStore<Rollout['spec'], Rollout['status']> {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(Clock) clock: Clock,
  ) {
    super(database, clock, {
      kind: 'rollout',
      table: 'rollouts',
      spec: rolloutSpecSchema,
      status: rolloutStatusSchema,
    });
  }

  /** What every rollout claims, without its members, of which there may be many. */
  async claims(): Promise<RolloutClaim[]> {
    const rows = await this.database.query
      .selectFrom('rollouts')
      .select([
        'name',
        'created_at',
        sql<unknown>`spec -> 'selector'`.as('selector'),
        sql<boolean>`status -> 'conditions' @> '[{"type": "Accepted", "status": "False"}]'`.as(
          'isTurnedDown',
        ),
      ])
      .orderBy('name')
      .execute();
    return rows.map((row) => ({
      name: row.name,
      creationTimestamp: new Date(row.created_at).toISOString(),
      selector: rolloutSpecSchema.shape.selector.parse(row.selector),
      isTurnedDown: row.isTurnedDown,
    }));
  }
}
