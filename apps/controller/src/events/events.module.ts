import { Global, Module } from '@nestjs/common';
import { EventController } from './event.controller.ts';
import { EventStore } from './event.store.ts';

@Global()
@Module({ controllers: [EventController], providers: [EventStore], exports: [EventStore] })
export class EventsModule {}
