import { createHash } from 'node:crypto';
import { type Target, targetSchema } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { Database } from '../adapters/db.ts';

/** Targets held in memory; a fleet has one for each variant that is being rolled out. */
const HELD_MAX = 1000;

/** A target as the status of a device has it: where it is, and what people search for. */
export interface StoredTarget {
  readonly digest: string;
  readonly model: string;
  readonly variant: string;
  readonly artifact: { readonly id: string };
}

/** What devices shall run, stored once each. A target never changes under its digest. */
@Injectable()
export class TargetStore {
  readonly #held = new Map<string, Target>();
  readonly #digests = new WeakMap<Target, string>();

  constructor(@Inject(Database) private readonly database: Database) {}

  /** Makes sure that the target is stored; not for use within a transaction. */
  async keep(target: Target): Promise<StoredTarget> {
    const digest = this.#digestOf(target);
    if (!this.#held.has(digest)) {
      await this.database.query
        .insertInto('targets')
        .values({ digest, document: JSON.stringify(target) })
        .onConflict((conflict) => conflict.doNothing())
        .execute();
      this.#hold(digest, target);
    }
    const { model, variant, artifact } = target;
    return { digest, model, variant, artifact: { id: artifact.id } };
  }

  /** The targets with these digests; the same digest gives the same object. */
  async find(digests: Iterable<string>): Promise<ReadonlyMap<string, Target>> {
    const wanted = new Set(digests);
    const missing = [...wanted].filter((digest) => !this.#held.has(digest));
    const found = new Map<string, Target>();
    for (const digest of wanted) {
      const target = this.#held.get(digest);
      if (target !== undefined) found.set(digest, target);
    }
    if (missing.length === 0) return found;
    const rows = await this.database.query
      .selectFrom('targets')
      .selectAll()
      .where('digest', 'in', missing)
      .execute();
    for (const { digest, document } of rows) {
      const target = targetSchema.parse(document);
      found.set(digest, target);
      this.#hold(digest, target);
    }
    return found;
  }

  #digestOf(target: Target): string {
    const known = this.#digests.get(target);
    if (known !== undefined) return known;
    const digest = createHash('sha256').update(JSON.stringify(target)).digest('hex');
    this.#digests.set(target, digest);
    return digest;
  }

  #hold(digest: string, target: Target): void {
    this.#held.set(digest, target);
    this.#digests.set(target, digest);
    for (const oldest of this.#held.keys()) {
      if (this.#held.size <= HELD_MAX) break;
      this.#held.delete(oldest);
    }
  }
}
