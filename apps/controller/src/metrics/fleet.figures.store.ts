import { rolloutPhaseSchema, variantPhaseSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { type RawBuilder, sql } from 'kysely';
import { Database } from '../adapters/db.ts';

/** How many objects there are, by phase or the like. */
export type Figures = ReadonlyMap<string, number>;

export interface FleetFigures {
  readonly devices: Figures;
  readonly rollouts: Figures;
  /** Rollouts under way with no device at work, by the reason that their condition gives. */
  readonly waitingRollouts: Figures;
  readonly variants: Figures;
}

@Injectable()
export class FleetFiguresStore {
  constructor(@Inject(Database) private readonly database: Database) {}

  async read(): Promise<FleetFigures> {
    return {
      devices: await this.counted(
        ['online', 'offline'],
        sql`select case when online then 'online' else 'offline' end as key, count(*) as count
          from device_liveness group by online`,
      ),
      rollouts: await this.counted(
        rolloutPhaseSchema.options,
        sql`select status ->> 'phase' as key, count(*) as count from rollouts group by 1`,
      ),
      waitingRollouts: await this.counted(
        [],
        sql`select condition ->> 'reason' as key, count(*) as count
          from rollouts, jsonb_array_elements(status -> 'conditions') as condition
          where status ->> 'phase' in ('Progressing', 'RollingBack')
            and condition ->> 'type' = 'Progressing' and condition ->> 'status' = 'False'
          group by 1`,
      ),
      variants: await this.counted(
        variantPhaseSchema.options,
        sql`select variant ->> 'phase' as key, count(*) as count
          from models, jsonb_array_elements(status -> 'variants') as variant group by 1`,
      ),
    };
  }

  /** @param known keys that are 0 when no row has them. */
  private async counted(known: readonly string[], query: RawBuilder<unknown>): Promise<Figures> {
    const { rows } = await (query as RawBuilder<{ key: string; count: string | number }>).execute(
      this.database.query,
    );
    return new Map([
      ...known.map((key) => [key, 0] as const),
      ...rows.map(({ key, count }) => [key, Number(count)] as const),
    ]);
  }
}
