import { randomUUID } from 'node:crypto';
import { type Device, type DeviceSpec, deviceSpecSchema, type Labels } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { type RawBuilder, sql } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import { Database } from '../adapters/db.ts';
import { DeviceStore } from './device.store.ts';

/** The newest report that was taken in of a device, which need not be the one that is stored. */
export interface HeardUpTo {
  readonly boot: number;
  readonly sequence: number;
}

export interface DeviceRecord {
  readonly device: Device;
  readonly heardUpTo: HeardUpTo;
}

/** A report that says nothing new. */
export interface Beat extends HeardUpTo {
  readonly name: string;
  /** Reports that it stands for. */
  readonly reports: number;
}

/** What a device has become by what it said. */
export interface DeviceNews extends Beat {
  readonly labels: Labels;
  readonly status: Device['status'];
}

/** A statement over many devices takes its locks in the order of names, liveness before device. */
const NEWS_COLUMNS = sql`(
  name text, version bigint, uid uuid, labels jsonb, spec jsonb, status jsonb,
  boot bigint, sequence bigint, reports bigint
)`;

/** Takes in what devices say, many devices in one statement. */
@Injectable()
export class LivenessStore {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(DeviceStore) private readonly devices: DeviceStore,
    @Inject(Clock) private readonly clock: Clock,
  ) {}

  /** The known ones among these devices, by name. */
  async records(names: readonly string[]): Promise<ReadonlyMap<string, DeviceRecord>> {
    if (names.length === 0) return new Map();
    const devices = await this.devices.findAll(names);
    const rows = await this.database.query
      .selectFrom('device_liveness')
      .select(['device', 'boot', 'sequence'])
      .where('device', 'in', names)
      .execute();
    const heard = new Map(
      rows.map(({ device, boot, sequence }) => [
        device,
        { boot: Number(boot), sequence: Number(sequence) },
      ]),
    );
    return new Map(
      devices.map((device) => {
        const { name } = device.metadata;
        return [name, { device, heardUpTo: heard.get(name) ?? { boot: 0, sequence: 0 } }];
      }),
    );
  }

  /**
   * Notes signs of life.
   * @returns the devices of which they were news: not those that are unknown, counted as offline,
   * or further already.
   */
  async beat(beats: readonly Beat[]): Promise<ReadonlySet<string>> {
    if (beats.length === 0) return new Set();
    const { rows } = await sql<{ device: string }>`
      with beat as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(beats)}::jsonb)
          as beat (name text, boot bigint, sequence bigint, reports bigint)
      ), held as materialized (
        select device from device_liveness where device in (select name from beat)
        order by device for update
      )
      update device_liveness as known set
        boot = beat.boot, sequence = beat.sequence, last_seen = ${this.clock.now()},
        reports = known.reports + beat.reports
      from beat join held on held.device = beat.name
      where known.device = beat.name and known.online
        and (known.boot, known.sequence) < (beat.boot, beat.sequence)
      returning known.device
    `.execute(this.database.query);
    return new Set(rows.map((row) => row.device));
  }

  /** @returns the devices that are written: not those that changed since their record was read. */
  async write(
    news: readonly (DeviceNews & { readonly record: DeviceRecord })[],
  ): Promise<ReadonlySet<string>> {
    if (news.length === 0) return new Set();
    const changes = await Promise.all(
      news.map(async ({ record, status, ...rest }) => ({
        ...rest,
        version: record.device.metadata.resourceVersion,
        status: await this.devices.pack(status),
      })),
    );
    return this.#store(
      sql`
      alive as materialized (
        select device, boot, sequence from device_liveness
        where device in (select name from change) order by device for update
      ), held as materialized (
        select devices.name
        from devices join change on change.name = devices.name
          left join alive on device = change.name
        where devices.resource_version = change.version
          and (coalesce(alive.boot, 0), coalesce(alive.sequence, 0))
            <= (change.boot, change.sequence)
        order by devices.name for update of devices
      ), written as (
        update devices set
          labels = change.labels, status = change.status,
          resource_version = nextval('resource_versions')
        from change join held on held.name = change.name
        where devices.name = change.name and devices.resource_version = change.version
        returning devices.name
      )`,
      changes,
    );
  }

  /** @returns the devices that are registered: not those that somebody else was faster with. */
  async register(news: readonly DeviceNews[]): Promise<ReadonlySet<string>> {
    if (news.length === 0) return new Set();
    const spec: DeviceSpec = deviceSpecSchema.parse({ labels: {} });
    const changes = news.map((device) => ({ ...device, uid: randomUUID(), spec }));
    return this.#store(
      sql`
      written as (
        insert into devices (name, uid, labels, generation, created_at, spec, status)
        select name, uid, labels, 1, ${this.clock.now()}, spec, status from change order by name
        on conflict (name) do nothing
        returning name
      )`,
      changes,
    );
  }

  /**
   * Marks devices offline of which nothing has been heard since `before`.
   * @returns them, as they are then.
   */
  async setSilentOffline(before: Date): Promise<Device[]> {
    const { rows } = await sql<{ device: string }>`
      with silent as materialized (
        select device from device_liveness where online and last_seen < ${before}
        order by device for update
      ), quiet as (
        update device_liveness as known set online = false from silent
        where known.device = silent.device and known.online and known.last_seen < ${before}
        returning known.device
      )
      update devices set
        status = status || '{"online": false}'::jsonb,
        resource_version = nextval('resource_versions')
      from quiet where name = device
      returning name as device
    `.execute(this.database.query);
    return this.devices.findAll(rows.map((row) => row.device));
  }

  /** @param written a statement that gives the names it has written of `change`. */
  async #store(
    written: RawBuilder<unknown>,
    changes: readonly object[],
  ): Promise<ReadonlySet<string>> {
    const { rows } = await sql<{ device: string }>`
      with change as materialized (
        select * from jsonb_to_recordset(${JSON.stringify(changes)}::jsonb)
          as change ${NEWS_COLUMNS}
      ), ${written}
      insert into device_liveness as known (device, online, boot, sequence, last_seen, reports)
      select change.name, (change.status ->> 'online')::boolean, change.boot, change.sequence,
        (change.status ->> 'lastSeen')::timestamptz, change.reports
      from change join written on written.name = change.name
      order by change.name
      on conflict (device) do update set
        online = excluded.online, boot = excluded.boot, sequence = excluded.sequence,
        last_seen = excluded.last_seen, reports = known.reports + excluded.reports
      returning device
    `.execute(this.database.query);
    return new Set(rows.map((row) => row.device));
  }
}
