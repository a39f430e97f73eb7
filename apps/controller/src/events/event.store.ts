import type { FleetEvent } from '@entrofleet/protocol';
import { eventSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { type Selectable, sql } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import type { EventTable } from '../adapters/db.schema.ts';
import { Database } from '../adapters/db.ts';
import { BadRequest } from '../errors.ts';
import type { FieldRequirement } from '../objects/field.selector.ts';
import { fieldSql } from '../objects/field.sql.ts';
import { pageToken, readPageToken } from '../objects/page.token.ts';
import type { Change, VersionRange } from '../watch/change.ts';

const KEPT_PER_OBJECT = 200;
const LIST_LIMIT = 500;

export type NewEvent = Omit<FleetEvent, 'id' | 'at'>;

/** Which events a client asks for; what is absent restricts nothing. */
export interface EventFilter {
  readonly kind?: FleetEvent['object']['kind'] | undefined;
  readonly name?: string | undefined;
  /** Instant of the earliest event. */
  readonly since?: string | undefined;
  readonly fields?: readonly FieldRequirement[] | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
}

/** What happened to objects, for people. Old events of an object make room for new ones. */
@Injectable()
export class EventStore {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** Records an event, unless the object's latest one says the same. */
  async record({ object, ...event }: NewEvent): Promise<void> {
    await this.recordAll(object, [event]);
  }

  /** Records what has happened to one object, in order, leaving out what is said twice in a row. */
  async recordAll(
    { kind, name }: FleetEvent['object'],
    told: readonly Omit<NewEvent, 'object'>[],
  ): Promise<void> {
    let [latest]: readonly Omit<NewEvent, 'object'>[] = (await this.list({ kind, name, limit: 1 }))
      .items;
    const at = this.clock.now();
    const rows = [];
    for (const event of told) {
      const { type, reason, message } = event;
      const isSaid = latest?.reason === reason && latest.message === message;
      if (!isSaid) rows.push({ at, kind, name, type, reason, message });
      latest = event;
    }
    // No more than these would be kept anyway.
    const kept = rows.slice(-KEPT_PER_OBJECT);
    if (kept.length === 0) return;
    const query = this.database.query;
    await query.insertInto('events').values(kept).execute();
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

  /**
   * Latest first, at most `limit` (default and most: 500).
   * @throws BadRequest for a bad `continue` token.
   */
  async list(filter: EventFilter): Promise<{ items: FleetEvent[]; continue?: string }> {
    const { items, ...page } = await this.rows(filter);
    return { ...page, items: items.map(read) };
  }

  /** As {@link list}, with the versions that watching needs. */
  async listVersions(filter: EventFilter): Promise<{ items: Change[] }> {
    const { items } = await this.rows(filter);
    return { items: items.map(changeOf) };
  }

  /** Events in the order of their versions. */
  async changes(range: VersionRange): Promise<Change[]> {
    const rows = await this.database.query
      .selectFrom('events')
      .selectAll()
      .where('resource_version', '>', String(range.after))
      .where('resource_version', '<=', String(range.upTo))
      .orderBy('resource_version')
      .limit(range.limit)
      .execute();
    return rows.map(changeOf);
  }

  /** Removes events before a time, also those of objects that are gone. */
  async collect(before: Date): Promise<void> {
    await sql`
      with gone as (delete from events where at < ${before} returning resource_version)
      update watch_floors f
      set resource_version = greatest(f.resource_version, pruned.last)
      from (select max(resource_version) as last from gone) pruned
      where f.kind = 'events' and pruned.last is not null
    `.execute(this.database.query);
  }

  private async rows(
    filter: EventFilter,
  ): Promise<{ items: Selectable<EventTable>[]; continue?: string }> {
    let query = this.database.query.selectFrom('events').selectAll();
    if (filter.kind !== undefined) query = query.where('kind', '=', filter.kind);
    if (filter.name !== undefined) query = query.where('name', '=', filter.name);
    if (filter.since !== undefined) query = query.where('at', '>=', new Date(filter.since));
    if (filter.fields !== undefined) query = query.where(fieldSql(filter.fields));
    if (filter.continue !== undefined) query = query.where('id', '<', idOf(filter.continue));
    const limit = Math.min(filter.limit ?? LIST_LIMIT, LIST_LIMIT);
    const rows = await query
      .orderBy('id', 'desc')
      .limit(limit + 1)
      .execute();
    const items = rows.slice(0, limit);
    const last = items.at(-1);
    if (rows.length <= limit || last === undefined) return { items };
    return { items, continue: pageToken(String(last.id)) };
  }
}

/** @throws BadRequest */
function idOf(token: string): string {
  const id = readPageToken(token);
  if (/^\d{1,15}$/.test(id)) return id;
  throw new BadRequest('the continue token is one of another list', 'BadContinue');
}

function changeOf(row: Selectable<EventTable>): Change {
  const version = Number(row.resource_version);
  const object = read(row);
  return { key: String(row.id), version, createdVersion: version, isDeleted: false, object };
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
