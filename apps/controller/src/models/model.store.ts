import { type Model, modelSpecSchema, modelStatusSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import type { Selectable } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import type { ObjectTable } from '../adapters/db.schema.ts';
import { Database } from '../adapters/db.ts';
import { ObjectStore } from '../objects/object.store.ts';
import { countsOf } from './variant.plan.ts';

@Injectable()
export class ModelStore extends ObjectStore<Model['spec'], Model['status']> {
  constructor(@Inject(Database) database: Database, @Inject(Clock) clock: Clock) {
    super(database, clock, {
      kind: 'model',
      table: 'models',
      spec: modelSpecSchema,
      status: modelStatusSchema,
    });
  }

  /** Counts follow from the variants, so they are not stored. */
  override async pack({ counts, ...status }: Model['status']): Promise<unknown> {
    return status;
  }

  protected override async read(rows: readonly Selectable<ObjectTable>[]): Promise<Model[]> {
    const models = await super.read(rows);
    return models.map(({ status, ...model }) => ({
      ...model,
      status: { ...status, counts: countsOf(status.variants) },
    }));
  }
}
