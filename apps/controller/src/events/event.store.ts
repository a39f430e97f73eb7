import type { FleetEvent } from '@entrofleet/protocol';
import { eventSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import type { Selectable } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import type { EventTable } from '../adapters/db.schema.ts';
import { Database } from '../adapters/db.ts';

const KEPT_PER_OBJECT = 200;
const LIST_LIMIT = 500;

export type NewEvent = Omit<FleetEvent, 'id' | 'at'>;

/** What happened to objects, for people. Old events of an object make room for new ones. */
@Injectable()
export class EventStore {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** Records an event, unless the object's latest one says the same. */
  async record(event: NewEvent): Promise<void> {
    const { kind, name } = event.object;
    const [latest] = await this.list({ kind, name, limit: 1 });
    if (latest?.reason === event.reason && latest.message === event.message) return;
    const query = this.database.query;
    await query
      .insertInto('events')
      .values({
        at: this.clock.now(),
        kind,
        name,
        type: event.type,
        reason: event.reason,
        message: event.message,
      })
      .execute();
    await query
      .deleteFrom('events')
      .where('kind', '=', kind)
      .where('name', '=', name)
      .where('id', 'not in', (events) =>
        events
          .selectFrom('events')
          .select('id')
          .where('kind', '=', kind)
          .where('name', '=', name)
          .orderBy('id', 'desc')
          .limit(KEPT_PER_OBJECT),
      )
      .execute();
  }

  /** Latest first, at most `limit` (default and most: 500). */
  async list(filter: {
    kind?: FleetEvent['object']['kind'] | undefined;
    name?: string | undefined;
    limit?: number | undefined;
  }): Promise<FleetEvent[]> {
    let query = this.database.query.selectFrom('events').selectAll();
    if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    const limit = Math.min(filter.limit ?? LIST_LIMIT, LIST_LIMIT);
    const rows = await query.orderBy('id', 'desc').limit(limit).execute();
    return rows.map(read);
  }
}

function read(row: Selectable<EventTable>): FleetEvent {
  return eventSchema.parse({
    id: Number(row.id),
    at: new Date(row.at).toISOString(),
    object: { kind: row.kind, name: row.name },
    type: row.type,
    reason: row.reason,
    message: row.message,
  });
}
