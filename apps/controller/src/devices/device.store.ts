import { type Desired, type Device, deviceSchema, deviceStatusSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { type Selectable, sql } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import type { ObjectTable } from '../adapters/db.schema.ts';
import { Database } from '../adapters/db.ts';
import { ObjectStore } from '../objects/object.store.ts';
import { deviceOf, deviceRow } from './device.rows.ts';
import { TargetStore } from './target.store.ts';

/** A desired state to be recorded, when the one before is still at `seenRevision`. */
export interface DesiredChange extends Omit<Desired, 'schemaVersion' | 'revision' | 'issuedAt'> {
  readonly seenRevision: number;
  /** What the device ran when it was asked; not told to the device, which knows it. */
  readonly previous: Device['status']['previous'];
}

export interface PenaltyChange {
  readonly device: string;
  readonly penalty: Device['status']['penalty'];
}

@Injectable()
export class DeviceStore extends ObjectStore<Device['spec'], Device['status']> {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(Clock) clock: Clock,
    @Inject(TargetStore) private readonly targets: TargetStore,
  ) {
    super(database, clock, {
      kind: 'device',
      table: 'devices',
      spec: deviceSchema.shape.spec,
      status: deviceStatusSchema,
    });
  }

  /**
   * Records desired states, each with a revision above all that the device has seen and with what
   * the device ran then, unless it is not at `seenRevision` any more or gone.
   * @returns the new revisions by device.
   */
  async setDesired(
    changes: readonly DesiredChange[],
    words: Pick<Desired, 'schemaVersion' | 'issuedAt'>,
  ): Promise<ReadonlyMap<string, number>> {
    const rows = [];
    for (const { seenRevision, previous = null, ...wanted } of changes) {
      const target = wanted.target && (await this.targets.keep(wanted.target));
      const desired = { ...wanted, ...words, target };
      rows.push({ device: wanted.device, seen: seenRevision, desired, previous });
    }
    const revision = sql`coalesce((status #>> '{desired,revision}')::integer, 0)`;
    const observed = sql`coalesce((status #>> '{report,observedRevision}')::integer, 0)`;
    // Rows are locked in one order, so that two statements over many devices never wait for each
    // other in a circle.
    const { rows: written } = await sql<{ name: string; revision: number }>`
      with change as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
          as change (device text, seen integer, desired jsonb, previous jsonb)
      ), held as materialized (
        select name from devices where name in (select device from change) order by name for update
      )
      update devices set
        status = status || jsonb_build_object(
          'desired', change.desired ||
            jsonb_build_object('revision', greatest(${revision}, ${observed}) + 1),
          'previous', change.previous),
        resource_version = nextval('resource_versions')
      from change
      where name = change.device and name in (select name from held) and ${revision} = change.seen
      returning name, (status #>> '{desired,revision}')::integer as revision
    `.execute(this.database.query);
    return new Map(written.map((row) => [row.name, row.revision]));
  }

  /**
   * Records what failing costs devices; `null`: they are well again. A failure that is counted
   * already is not counted again, and devices that are gone are left out.
   */
  async setPenalties(changes: readonly PenaltyChange[]): Promise<void> {
    await sql`
      with change as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(changes)}::jsonb)
          as change (device text, penalty jsonb)
      ), held as materialized (
        select name from devices where name in (select device from change) order by name for update
      )
      update devices set
        status = jsonb_set(status, '{penalty}', coalesce(change.penalty, 'null')),
        resource_version = nextval('resource_versions')
      from change
      where name = change.device and name in (select name from held)
        and case when change.penalty is null then status ->> 'penalty' is not null
          else (status #>> '{penalty,revision}') is distinct from (change.penalty ->> 'revision') end
    `.execute(this.database.query);
  }

  /** Devices that are there, yet speak of an older desired state than the one of `before`. */
  async laggards(before: Date): Promise<Device[]> {
    const rows = await this.database.query
      .selectFrom('devices')
      .selectAll()
      .where(sql<boolean>`status @> '{"online": true}'`)
      .where(
        sql<boolean>`(status #>> '{desired,revision}')::integer >
          coalesce((status #>> '{report,observedRevision}')::integer, 0)`,
      )
      .where(sql<boolean>`(status #>> '{desired,issuedAt}')::timestamptz < ${before}`)
      .orderBy('name')
      .execute();
    return this.read(rows);
  }

  /** Those of the devices that are known, in no order. */
  async findAll(names: readonly string[]): Promise<Device[]> {
    if (names.length === 0) return [];
    const rows = await this.database.query
      .selectFrom('devices')
      .selectAll()
      .where('name', 'in', names)
      .execute();
    return this.read(rows);
  }

  override async pack(status: Device['status']): Promise<unknown> {
    const { desired } = status;
    if (desired === null || desired.target === null) return status;
    return { ...status, desired: { ...desired, target: await this.targets.keep(desired.target) } };
  }

  protected override async read(rows: readonly Selectable<ObjectTable>[]): Promise<Device[]> {
    if (rows.length === 0) return [];
    const known = rows.map(deviceRow);
    const targets = await this.targets.find(
      known.flatMap(({ status }) => status.desired?.target?.digest ?? []),
    );
    const seen = await this.database.query
      .selectFrom('device_liveness')
      .select(['device', 'last_seen'])
      .where(
        'device',
        'in',
        rows.map((row) => row.name),
      )
      .execute();
    const lastSeen = new Map(seen.map((row) => [row.device, row.last_seen]));
    return known.map((device) =>
      deviceOf(device, { targets, lastSeen: lastSeen.get(device.row.name) }),
    );
  }
}
