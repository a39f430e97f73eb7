import { randomUUID } from 'node:crypto';
import type { Labels, ObjectMeta, Owner, Selector } from '@entrofleet/protocol';
import { labelsSchema, ownerSchema } from '@entrofleet/protocol';
import { type Kysely, type Selectable, sql } from 'kysely';
import type { z } from 'zod';
import type { Clock } from '../adapters/clock.ts';
import type { ObjectTable, ObjectTableName, Schema } from '../adapters/db.schema.ts';
import type { Database } from '../adapters/db.ts';
import { Conflict, NotFound } from '../errors.ts';
import type { FieldRequirement } from './field.selector.ts';
import { fieldSql } from './field.sql.ts';
import type { ObjectChange, ObjectPage, StoredObject } from './object.types.ts';
import { pageToken, readPageToken } from './page.token.ts';
import { isSameJson } from './same.json.ts';
import { selectorSql } from './selector.sql.ts';

/** Two writers of one object each succeed within a few tries; more means a loop. */
export const WRITE_TRIES = 20;
const LIST_LIMIT = 500;

export interface ObjectKind<Spec, Status> {
  /** As messages name it, e.g. `model`. */
  readonly kind: string;
  readonly table: ObjectTableName;
  readonly spec: z.ZodType<Spec>;
  readonly status: z.ZodType<Status>;
}

/**
 * Kubernetes-like objects in one table. Concurrency is optimistic: a write succeeds only on the
 * `resourceVersion` it was computed from.
 */
export class ObjectStore<Spec, Status> {
  readonly #database: Database;
  readonly #clock: Clock;
  readonly #kind: ObjectKind<Spec, Status>;

  constructor(database: Database, clock: Clock, kind: ObjectKind<Spec, Status>) {
    this.#database = database;
    this.#clock = clock;
    this.#kind = kind;
  }

  get table(): ObjectTableName {
    return this.#kind.table;
  }

  /** Objects from their rows, wherever those were kept, in their order. */
  fromRows(rows: readonly Selectable<ObjectTable>[]): Promise<StoredObject<Spec, Status>[]> {
    return this.read(rows);
  }

  /** @throws Conflict `AlreadyExists`. */
  async create(object: {
    name: string;
    labels: Labels;
    spec: Spec;
    status: Status;
    owner?: Owner | null;
  }): Promise<StoredObject<Spec, Status>> {
    const row = await this.#database.query
      .insertInto(this.#kind.table)
      .values({
        name: object.name,
        uid: randomUUID(),
        labels: JSON.stringify(object.labels),
        generation: 1,
        created_at: this.#clock.now(),
        spec: JSON.stringify(object.spec),
        status: JSON.stringify(await this.pack(object.status)),
        ...ownerColumn(object.owner ?? undefined),
      })
      .onConflict((conflict) => conflict.column('name').doNothing())
      .returningAll()
      .executeTakeFirst();
    if (row !== undefined) return this.#readOne(row);
    throw new Conflict('AlreadyExists', `${this.#kind.kind} "${object.name}" exists already`);
  }

  async find(name: string): Promise<StoredObject<Spec, Status> | undefined> {
    const row = await this.#database.query
      .selectFrom(this.#kind.table)
      .selectAll()
      .where('name', '=', name)
      .executeTakeFirst();
    return row === undefined ? undefined : this.#readOne(row);
  }

  /** @throws NotFound */
  async get(name: string): Promise<StoredObject<Spec, Status>> {
    const object = await this.find(name);
    if (object === undefined) throw new NotFound({ kind: this.#kind.kind, name });
    return object;
  }

  /**
   * Objects in the order of names, at most `limit` (default and most: 500).
   * @throws BadRequest for a bad `continue` token.
   */
  async list(
    options: {
      selector?: Selector | undefined;
      fields?: readonly FieldRequirement[] | undefined;
      limit?: number | undefined;
      continue?: string | undefined;
    } = {},
  ): Promise<ObjectPage<Spec, Status>> {
    const limit = Math.min(options.limit ?? LIST_LIMIT, LIST_LIMIT);
    let query = this.#database.query.selectFrom(this.#kind.table).selectAll();
    if (options.selector !== undefined) query = query.where(selectorSql(options.selector));
    if (options.fields !== undefined) query = query.where(fieldSql(options.fields));
    if (options.continue !== undefined) {
      query = query.where('name', '>', readPageToken(options.continue));
    }
    const rows = await query
      .orderBy('name')
      .limit(limit + 1)
      .execute();
    const items = await this.read(rows.slice(0, limit));
    const last = items.at(-1);
    if (rows.length <= limit || last === undefined) return { items };
    return { items, continue: pageToken(last.metadata.name) };
  }

  /** Every object that matches, page by page. */
  async *all(selector?: Selector): AsyncGenerator<StoredObject<Spec, Status>> {
    let token: string | undefined;
    do {
      const page = await this.list({ selector, continue: token });
      yield* page.items;
      token = page.continue;
    } while (token !== undefined);
  }

  /**
   * Reads, lets `change` decide, writes; starts over when another write came between. `generation`
   * grows when the spec changes. A change that changes nothing is not written.
   *
   * @param change gives `undefined` to leave the object as it is; it may run several times.
   * @throws NotFound, or Conflict `ResourceVersionConflict` when `resourceVersion` is given and
   * not current.
   */
  async update(
    name: string,
    change: (current: StoredObject<Spec, Status>) => ObjectChange<Spec, Status> | undefined,
    options: { resourceVersion?: string | undefined } = {},
  ): Promise<StoredObject<Spec, Status>> {
    for (let tries = 0; tries < WRITE_TRIES; tries++) {
      const current = await this.get(name);
      const version = current.metadata.resourceVersion;
      if (options.resourceVersion !== undefined && options.resourceVersion !== version) {
        throw this.#conflict(name, options.resourceVersion, version);
      }
      const next = change(current);
      if (next === undefined || !differs(current, next)) return current;
      const written = await this.write(this.#database.query, current, next);
      if (written !== undefined) return written;
    }
    throw tooManyWriters(this.#kind.kind, name);
  }

  /**
   * Replaces spec and, where given, labels.
   * @throws as {@link update}.
   */
  async updateSpec(
    name: string,
    next: { spec: Spec; labels?: Labels; resourceVersion?: string | undefined },
  ): Promise<StoredObject<Spec, Status>> {
    const { spec, labels, resourceVersion } = next;
    return this.update(name, () => (labels === undefined ? { spec } : { spec, labels }), {
      resourceVersion,
    });
  }

  /**
   * Changes the status only.
   * @param change gives `undefined` to leave it; it may run several times.
   * @throws NotFound
   */
  async updateStatus(
    name: string,
    change: (current: StoredObject<Spec, Status>) => Status | undefined,
  ): Promise<StoredObject<Spec, Status>> {
    return this.update(name, (current) => {
      const status = change(current);
      return status === undefined ? undefined : { status };
    });
  }

  /**
   * @param permit may throw to keep the object; what is deleted is what it was shown.
   * @throws NotFound, or Conflict as {@link update}.
   */
  async delete(
    name: string,
    options: {
      resourceVersion?: string | undefined;
      permit?: (current: StoredObject<Spec, Status>) => void;
    } = {},
  ): Promise<StoredObject<Spec, Status>> {
    for (let tries = 0; tries < WRITE_TRIES; tries++) {
      const current = await this.get(name);
      const version = current.metadata.resourceVersion;
      if (options.resourceVersion !== undefined && options.resourceVersion !== version) {
        throw this.#conflict(name, options.resourceVersion, version);
      }
      options.permit?.(current);
      const row = await this.#database.query
        .deleteFrom(this.#kind.table)
        .where('name', '=', name)
        .where('resource_version', '=', version)
        .returningAll()
        .executeTakeFirst();
      if (row !== undefined) return this.#readOne(row);
    }
    throw tooManyWriters(this.#kind.kind, name);
  }

  /** Names of what custom resources of a namespace own, in order. */
  async namesOwnedBy(namespace: string): Promise<string[]> {
    const rows = await this.#database.query
      .selectFrom(this.#kind.table)
      .select('name')
      .where(sql<string>`owner ->> 'namespace'`, '=', namespace)
      .orderBy('name')
      .execute();
    return rows.map(({ name }) => name);
  }

  /**
   * Writes what changes, on the version it was computed from and no other, whether or not it differs.
   * @param query may be a transaction.
   * @returns the object as it is then, or `undefined` when another write came between.
   */
  protected async write(
    query: Kysely<Schema>,
    current: StoredObject<Spec, Status>,
    next: ObjectChange<Spec, Status>,
  ): Promise<StoredObject<Spec, Status> | undefined> {
    const { name, generation, resourceVersion } = current.metadata;
    const status = next.status === undefined ? undefined : await this.pack(next.status);
    const specChanges = next.spec !== undefined && !isSameJson(next.spec, current.spec);
    const row = await query
      .updateTable(this.#kind.table)
      .set({
        resource_version: sql`nextval('resource_versions')`,
        generation: generation + (specChanges ? 1 : 0),
        ...(next.labels === undefined ? {} : { labels: JSON.stringify(next.labels) }),
        ...(next.spec === undefined ? {} : { spec: JSON.stringify(next.spec) }),
        ...(status === undefined ? {} : { status: JSON.stringify(status) }),
        ...ownerColumn(next.owner),
      })
      .where('name', '=', name)
      .where('resource_version', '=', resourceVersion)
      .returningAll()
      .executeTakeFirst();
    return row === undefined ? undefined : this.#readOne(row);
  }

  /** A status as its row has it. */
  async pack(status: Status): Promise<unknown> {
    return status;
  }

  /** The objects of rows, in their order. */
  protected async read(
    rows: readonly Selectable<ObjectTable>[],
  ): Promise<StoredObject<Spec, Status>[]> {
    return rows.map((row) => ({
      metadata: metadataOf(row),
      spec: this.#kind.spec.parse(row.spec),
      status: this.#kind.status.parse(row.status),
    }));
  }

  async #readOne(row: Selectable<ObjectTable>): Promise<StoredObject<Spec, Status>> {
    const [object] = await this.read([row]);
    if (object === undefined) throw new NotFound({ kind: this.#kind.kind, name: row.name });
    return object;
  }

  #conflict(name: string, given: string, current: string): Conflict {
    return new Conflict(
      'ResourceVersionConflict',
      `${this.#kind.kind} "${name}" is at resourceVersion ${current}, not ${given}; ` +
        'read it again and repeat your change',
    );
  }
}

export function metadataOf(row: Omit<Selectable<ObjectTable>, 'spec' | 'status'>): ObjectMeta {
  return {
    name: row.name,
    uid: row.uid,
    labels: labelsSchema.parse(row.labels),
    generation: row.generation,
    resourceVersion: String(row.resource_version),
    creationTimestamp: new Date(row.created_at).toISOString(),
    owner: ownerSchema.nullable().parse(row.owner ?? null),
  };
}

/** Devices have no such column: it is written only where an owner is set or taken away. */
function ownerColumn(owner: Owner | null | undefined): { owner?: string | null } {
  if (owner === undefined) return {};
  return { owner: owner === null ? null : JSON.stringify(owner) };
}

export function tooManyWriters(kind: string, name: string): Conflict {
  return new Conflict(
    'TooManyWriters',
    `${kind} "${name}" was changed ${WRITE_TRIES} times meanwhile; try again`,
  );
}

/** Does the change change anything? */
export function differs<Spec, Status>(
  current: StoredObject<Spec, Status>,
  next: ObjectChange<Spec, Status>,
): boolean {
  return (
    (next.labels !== undefined && !isSameJson(next.labels, current.metadata.labels)) ||
    (next.spec !== undefined && !isSameJson(next.spec, current.spec)) ||
    (next.status !== undefined && !isSameJson(next.status, current.status)) ||
    (next.owner !== undefined && !isSameJson(next.owner, current.metadata.owner))
  );
}
