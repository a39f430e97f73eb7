import { type Revision, type RolloutSpec, revisionSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';

export interface NewRevision extends Pick<Revision, 'revision' | 'outcome'> {
  readonly spec: RolloutSpec;
  readonly artifactIds: readonly string[];
}

/** What rollouts were asked to do, as many revisions of each as its spec keeps besides the last. */
@Injectable()
export class RevisionStore {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /**
   * Records a revision or what has become of it. One that was complete stays so, whatever joins
   * late; those before it that were not ended are superseded. Doing it twice changes nothing more.
   */
  async record(rollout: string, change: NewRevision): Promise<void> {
    const { revision, outcome, ...rest } = change;
    const now = this.clock.instant();
    const document = JSON.stringify({ ...rest, createdAt: now, updatedAt: now });
    await sql`
      insert into rollout_revisions (rollout, revision, outcome, document)
      select name, ${revision}, ${outcome}, ${document}::jsonb from rollouts where name = ${rollout}
      on conflict (rollout, revision) do update set
        outcome = case when excluded.outcome = 'InProgress' and rollout_revisions.outcome = 'Complete'
          then 'Complete' else excluded.outcome end,
        document = excluded.document ||
          jsonb_build_object('createdAt', rollout_revisions.document -> 'createdAt')
    `.execute(this.database.query);
    await sql`
      update rollout_revisions set outcome = 'Superseded'
      where rollout = ${rollout} and revision < ${revision} and outcome = 'InProgress'
    `.execute(this.database.query);
    await sql`
      delete from rollout_revisions
      where rollout = ${rollout} and revision not in (
        select revision from rollout_revisions where rollout = ${rollout}
        order by revision desc limit ${change.spec.revisionHistoryLimit + 1})
    `.execute(this.database.query);
  }

  /** Latest first. */
  async list(rollout: string): Promise<Revision[]> {
    const rows = await this.database.query
      .selectFrom('rollout_revisions')
      .select(['revision', 'outcome', 'document'])
      .where('rollout', '=', rollout)
      .orderBy('revision', 'desc')
      .execute();
    return rows.map(({ revision, outcome, document }) =>
      revisionSchema.parse({ ...(document as object), revision, outcome }),
    );
  }
}
