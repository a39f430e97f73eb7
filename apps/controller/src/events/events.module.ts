import { Global, Module } from '@nestjs/common';
import { EventController } from './event.controller.ts';
import { EventStore } from './event.store.ts';
import { EventSweep } from './event.sweep.ts';

@Global()
@Module({
  controllers: [EventController],
  providers: [EventStore, EventSweep],
  exports: [EventStore],
})
export class EventsModule {}
