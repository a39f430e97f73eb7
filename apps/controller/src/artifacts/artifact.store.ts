import { type Artifact, artifactSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../adapters/db.ts';

const LIST_LIMIT = 500;

/**
 * Encoded files and the evidence about them. A row belongs to one model and variant; rows of
 * different models with the same id share one file.
 */
@Injectable()
export class ArtifactStore {
  constructor(@Inject(Database) private readonly database: Database) {}

  /** Adds the artifact, or replaces the evidence about it. */
  async save(artifact: Artifact): Promise<void> {
    const document = JSON.stringify(artifact);
    await this.database.query
      .insertInto('artifacts')
      .values({
        model: artifact.model,
        variant: artifact.variant,
        id: artifact.id,
        created_at: new Date(artifact.createdAt),
        document,
      })
      .onConflict((conflict) =>
        conflict.columns(['model', 'variant', 'id']).doUpdateSet({ document }),
      )
      .execute();
  }

  /** The artifact with this id that one model's variant refers to. */
  async find(key: { model: string; variant: string; id: string }): Promise<Artifact | undefined> {
    const row = await this.database.query
      .selectFrom('artifacts')
      .select('document')
      .where('model', '=', key.model)
      .where('variant', '=', key.variant)
      .where('id', '=', key.id)
      .executeTakeFirst();
    return row === undefined ? undefined : artifactSchema.parse(row.document);
  }

  /** Any artifact with this id: file, reference and probe are the same in all of them. */
  async findById(id: string): Promise<Artifact | undefined> {
    const row = await this.database.query
      .selectFrom('artifacts')
      .select('document')
      .where('id', '=', id)
      .orderBy('model')
      .orderBy('variant')
      .limit(1)
      .executeTakeFirst();
    return row === undefined ? undefined : artifactSchema.parse(row.document);
  }

  /** In the order of model, variant, id; at most 500. */
  async list(filter: { model?: string | undefined } = {}): Promise<Artifact[]> {
    let query = this.database.query.selectFrom('artifacts').select('document');
    if (filter.model !== undefined) query = query.where('model', '=', filter.model);
    const rows = await query
      .orderBy('model')
      .orderBy('variant')
      .orderBy('id')
      .limit(LIST_LIMIT)
      .execute();
    return rows.map((row) => artifactSchema.parse(row.document));
  }

  /** Keys of all rows. */
  keys(): Promise<{ model: string; variant: string; id: string }[]> {
    return this.database.query.selectFrom('artifacts').select(['model', 'variant', 'id']).execute();
  }

  async remove(key: { model: string; variant: string; id: string }): Promise<void> {
    await this.database.query
      .deleteFrom('artifacts')
      .where('model', '=', key.model)
      .where('variant', '=', key.variant)
      .where('id', '=', key.id)
      .execute();
  }
}
