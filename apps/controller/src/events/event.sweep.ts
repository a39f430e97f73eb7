import { Inject, Injectable } from '@nestjs/common';
import { Clock } from '../adapters/clock.ts';
import { CONFIG, type Config } from '../config.ts';
import { Sweep } from '../sweep/sweep.ts';
import { EventStore } from './event.store.ts';

/** Keeps the history of events bounded. */
@Injectable()
export class EventSweep {
  constructor(
    @Inject(Sweep) sweep: Sweep,
    @Inject(CONFIG) config: Config,
    @Inject(Clock) clock: Clock,
    @Inject(EventStore) events: EventStore,
  ) {
    sweep.add('events', () =>
      events.collect(new Date(clock.now().getTime() - config.eventHistoryMs)),
    );
  }
}
