import { type Model, modelSpecSchema, modelStatusSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { ObjectStore } from '../objects/object.store.ts';

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
}
