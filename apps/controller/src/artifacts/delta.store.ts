import { type ArtifactRef, type DeltaRef, LIMITS } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../adapters/db.ts';
import { type DeltaPair, type DeltaRecord, deltaRecordSchema } from './delta.record.ts';

/** Deltas between artifacts. Their files lie beside the artifacts', under their own ids. */
@Injectable()
export class DeltaStore {
  constructor(@Inject(Database) private readonly database: Database) {}

  async find({ base, target }: DeltaPair): Promise<DeltaRecord | undefined> {
    const row = await this.database.query
      .selectFrom('artifact_deltas')
      .select('document')
      .where('base', '=', base)
      .where('target', '=', target)
      .executeTakeFirst();
    return row === undefined ? undefined : deltaRecordSchema.parse(row.document);
  }

  async save({ base, target }: DeltaPair, record: DeltaRecord): Promise<void> {
    const id = record.state === 'Ready' ? record.ref.id : null;
    const document = JSON.stringify(record);
    await this.database.query
      .insertInto('artifact_deltas')
      .values({ base, target, id, document })
      .onConflict((conflict) => conflict.columns(['base', 'target']).doUpdateSet({ id, document }))
      .execute();
  }

  async remove({ base, target }: DeltaPair): Promise<void> {
    await this.database.query
      .deleteFrom('artifact_deltas')
      .where('base', '=', base)
      .where('target', '=', target)
      .execute();
  }

  /** What it takes to fetch the delta with this id. */
  async findRef(id: string): Promise<ArtifactRef | undefined> {
    const row = await this.database.query
      .selectFrom('artifact_deltas')
      .select('document')
      .where('id', '=', id)
      .limit(1)
      .executeTakeFirst();
    const record = row && deltaRecordSchema.parse(row.document);
    return record?.state === 'Ready' ? record.ref : undefined;
  }

  /** Deltas that give an artifact, the smallest first; at most as many as a target may name. */
  async offers(target: string): Promise<DeltaRef[]> {
    const rows = await this.database.query
      .selectFrom('artifact_deltas')
      .select(['base', 'document'])
      .where('target', '=', target)
      .where('id', 'is not', null)
      .execute();
    const offers = rows.flatMap(({ base, document }): DeltaRef[] => {
      const record = deltaRecordSchema.parse(document);
      return record.state === 'Ready' ? [{ baseArtifactId: base, file: record.ref }] : [];
    });
    return offers
      .sort((a, b) => a.file.sizeBytes - b.file.sizeBytes)
      .slice(0, LIMITS.deltasPerTarget);
  }

  /** All rows, and the ids of those that have a file. */
  keys(): Promise<(DeltaPair & { readonly id: string | null })[]> {
    return this.database.query
      .selectFrom('artifact_deltas')
      .select(['base', 'target', 'id'])
      .execute();
  }
}
