import { type Device, deviceSchema, deviceStatusSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { ObjectStore } from '../objects/object.store.ts';

@Injectable()
export class DeviceStore extends ObjectStore<Device['spec'], Device['status']> {
  constructor(@Inject(Database) database: Database, @Inject(Clock) clock: Clock) {
    super(database, clock, {
      kind: 'device',
      table: 'devices',
      spec: deviceSchema.shape.spec,
      status: deviceStatusSchema,
    });
  }
}
