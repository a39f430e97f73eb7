import type { FleetEvent } from '@entrofleet/protocol';
import { fieldsMatch } from '../objects/field.selector.ts';
import type { WatchSubject } from '../watch/watch.messages.ts';
import type { EventFilter, EventStore } from './event.store.ts';

/** Events as they come; they never change, and that old ones are collected is told to nobody. */
export function eventSubject(events: EventStore, filter: EventFilter): WatchSubject {
  return {
    source: { kind: 'events', changes: (range) => events.changes(range) },
    isAppendOnly: true,
    matches: (event) => passes(event as FleetEvent, filter),
    keysAt: async () => [],
    list: async () => {
      const { items } = await events.listVersions({ ...filter, continue: undefined });
      return { items: items.toReversed() };
    },
  };
}

function passes(event: FleetEvent, filter: EventFilter): boolean {
  const { kind = event.object.kind, name = event.object.name, since = event.at } = filter;
  return (
    event.object.kind === kind &&
    event.object.name === name &&
    Date.parse(event.at) >= Date.parse(since) &&
    fieldsMatch(filter.fields ?? [], event)
  );
}
