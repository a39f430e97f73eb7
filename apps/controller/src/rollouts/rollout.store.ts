import {
  type Member,
  type MemberState,
  memberSchema,
  type Rollout,
  rolloutSpecSchema,
  rolloutStatusSchema,
} from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { type Kysely, sql } from 'kysely';
import { Clock } from '../adapters/clock.ts';
import type { Schema } from '../adapters/db.schema.ts';
import { Database } from '../adapters/db.ts';
import { BadRequest, NotFound } from '../errors.ts';
import { differs, ObjectStore, tooManyWriters, WRITE_TRIES } from '../objects/object.store.ts';
import type { ObjectChange } from '../objects/object.types.ts';
import { pageToken, readPageToken } from '../objects/page.token.ts';
import { mapInSlices } from '../objects/sliced.work.ts';
import { type MemberChanges, memberChanges, type PlacedMember } from './member.changes.ts';
import type { RolloutClaim } from './ownership.plan.ts';

const LIST_LIMIT = 500;

/** A rollout with all its members, as it was read. */
export interface RolloutRecord {
  readonly rollout: Rollout;
  readonly placed: readonly PlacedMember[];
}

export interface RolloutChange extends ObjectChange<Rollout['spec'], Rollout['status']> {
  /** All of them, in the order in which they go; absent: they stay. */
  readonly members?: readonly Member[];
}

export interface MemberQuery {
  readonly state?: MemberState | undefined;
  readonly limit?: number | undefined;
  readonly continue?: string | undefined;
}

/** Rollouts and their members; `resourceVersion` changes with the members, too. */
@Injectable()
export class RolloutStore extends ObjectStore<Rollout['spec'], Rollout['status']> {
  constructor(
    @Inject(Database) private readonly database: Database,
    @Inject(Clock) clock: Clock,
  ) {
    super(database, clock, {
      kind: 'rollout',
      table: 'rollouts',
      spec: rolloutSpecSchema,
      status: rolloutStatusSchema,
    });
  }

  /** What every rollout claims. */
  async claims(): Promise<RolloutClaim[]> {
    const rows = await this.database.query
      .selectFrom('rollouts')
      .select([
        'name',
        'created_at',
        sql<unknown>`spec -> 'selector'`.as('selector'),
        sql<boolean>`status -> 'conditions' @> '[{"type": "Accepted", "status": "False"}]'`.as(
          'isTurnedDown',
        ),
      ])
      .orderBy('name')
      .execute();
    return rows.map((row) => ({
      name: row.name,
      creationTimestamp: new Date(row.created_at).toISOString(),
      selector: rolloutSpecSchema.shape.selector.parse(row.selector),
      isTurnedDown: row.isTurnedDown,
    }));
  }

  /** What is read of a rollout that changes meanwhile cannot be saved: see {@link save}. */
  async findRecord(name: string): Promise<RolloutRecord | undefined> {
    const rollout = await this.find(name);
    if (rollout === undefined) return undefined;
    const rows = await this.database.query
      .selectFrom('rollout_members')
      .select(['position', 'document'])
      .where('rollout', '=', name)
      .orderBy('position')
      .execute();
    const placed = await mapInSlices(rows, ({ position, document }) => ({
      position,
      member: memberSchema.parse(document),
    }));
    return { rollout, placed };
  }

  /**
   * Members in the order in which they go, at most `limit` (default and most: 500).
   * @throws NotFound, or BadRequest for a bad `continue` token.
   */
  async members(
    name: string,
    options: MemberQuery = {},
  ): Promise<{ items: Member[]; continue?: string }> {
    await this.get(name);
    const limit = Math.min(options.limit ?? LIST_LIMIT, LIST_LIMIT);
    let query = this.database.query
      .selectFrom('rollout_members')
      .select(['position', 'document'])
      .where('rollout', '=', name);
    if (options.state !== undefined) query = query.where('state', '=', options.state);
    if (options.continue !== undefined) {
      query = query.where('position', '>', positionOf(options.continue));
    }
    const rows = await query
      .orderBy('position')
      .limit(limit + 1)
      .execute();
    const page = rows.slice(0, limit);
    const items = page.map((row) => memberSchema.parse(row.document));
    const last = page.at(-1);
    if (rows.length <= limit || last === undefined) return { items };
    return { items, continue: pageToken(String(last.position)) };
  }

  /**
   * Writes spec, status and the members that changed, all or nothing.
   * @returns the rollout as it is then, or `undefined` when somebody changed it, or deleted it,
   * since the record was read.
   */
  async save(record: RolloutRecord, change: RolloutChange): Promise<Rollout | undefined> {
    const { members, ...object } = change;
    const rows = await memberChanges(
      record.placed,
      members ?? record.placed.map((placed) => placed.member),
    );
    const isSame = rows.written.length === 0 && rows.removed.length === 0;
    if (isSame && !differs(record.rollout, object)) return record.rollout;
    return this.database.query.transaction().execute(async (transaction) => {
      const written = await this.write(transaction, record.rollout, object);
      // The row of the rollout stays locked until the end, so nobody else writes its members.
      if (written !== undefined) await writeMembers(transaction, written.metadata.name, rows);
      return written;
    });
  }

  /**
   * Reads, lets `change` decide, saves; starts over when another write came between.
   * @throws NotFound
   */
  async updateRecord(
    name: string,
    change: (rollout: Rollout, members: readonly Member[]) => RolloutChange,
  ): Promise<Rollout> {
    for (let tries = 0; tries < WRITE_TRIES; tries++) {
      const record = await this.findRecord(name);
      if (record === undefined) throw new NotFound({ kind: 'rollout', name });
      const members = record.placed.map((placed) => placed.member);
      const saved = await this.save(record, change(record.rollout, members));
      if (saved !== undefined) return saved;
    }
    throw tooManyWriters('rollout', name);
  }
}

/** One statement for all rows, however many there are. */
async function writeMembers(
  transaction: Kysely<Schema>,
  rollout: string,
  { written, removed }: MemberChanges,
): Promise<void> {
  if (removed.length > 0) {
    await sql`
      delete from rollout_members where rollout = ${rollout} and device in
        (select jsonb_array_elements_text(${JSON.stringify(removed)}::jsonb))
    `.execute(transaction);
  }
  if (written.length === 0) return;
  const rows = written.map(({ position, member }) => ({
    device: member.device,
    position,
    state: member.state,
    document: member,
  }));
  await sql`
    insert into rollout_members (rollout, device, position, state, document)
    select ${rollout}, device, position, state, document
    from jsonb_to_recordset(${JSON.stringify(rows)}::jsonb)
      as row (device text, position integer, state text, document jsonb)
    on conflict (rollout, device) do update set
      position = excluded.position,
      state = excluded.state,
      document = excluded.document,
      resource_version = nextval('resource_versions')
  `.execute(transaction);
}

/** @throws BadRequest */
function positionOf(token: string): number {
  const position = Number(readPageToken(token));
  if (Number.isSafeInteger(position)) return position;
  throw new BadRequest('the continue token is one of another list', 'BadContinue');
}
