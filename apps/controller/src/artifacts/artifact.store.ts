import { type Artifact, artifactSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { sql } from 'kysely';
import { Database } from '../adapters/db.ts';
import { pageToken, readPageToken } from '../objects/page.token.ts';

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

  /** Those of the artifacts that are of the model, in the order of their variants. */
  async ofModel(model: string, ids: readonly string[]): Promise<Artifact[]> {
    if (ids.length === 0) return [];
    const rows = await this.database.query
      .selectFrom('artifacts')
      .select('document')
      .where('model', '=', model)
      .where('id', 'in', ids)
      .orderBy('variant')
      .execute();
    return rows.map((row) => artifactSchema.parse(row.document));
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

  /**
   * In the order of model, variant, id; at most `limit` (default and most: 500).
   * @throws BadRequest for a bad `continue` token.
   */
  async list(
    options: {
      model?: string | undefined;
      limit?: number | undefined;
      continue?: string | undefined;
    } = {},
  ): Promise<{ items: Artifact[]; continue?: string }> {
    const limit = Math.min(options.limit ?? LIST_LIMIT, LIST_LIMIT);
    let query = this.database.query.selectFrom('artifacts').select('document');
    if (options.model !== undefined) query = query.where('model', '=', options.model);
    if (options.continue !== undefined) {
      const [model = '', variant = '', id = ''] = readPageToken(options.continue).split('/');
      query = query.where(sql<boolean>`(model, variant, id) > (${model}, ${variant}, ${id})`);
    }
    const rows = await query
      .orderBy('model')
      .orderBy('variant')
      .orderBy('id')
      .limit(limit + 1)
      .execute();
    const items = rows.slice(0, limit).map((row) => artifactSchema.parse(row.document));
    const last = items.at(-1);
    if (rows.length <= limit || last === undefined) return { items };
    return { items, continue: pageToken(`${last.model}/${last.variant}/${last.id}`) };
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
