import type { Target } from '@entrofleet/protocol';
import { Inject, Injectable } from '@nestjs/common';
import { DeltaStore } from '../artifacts/delta.store.ts';

/** Names to devices the deltas that there are of what they are asked for. */
@Injectable()
export class DeltaOffers {
  constructor(@Inject(DeltaStore) private readonly deltas: DeltaStore) {}

  /** Changes for the same target share one object afterwards too. */
  async addTo<C extends { readonly target: Target | null }>(changes: readonly C[]): Promise<C[]> {
    const offered = new Map<Target, Target>();
    for (const { target } of changes) {
      if (target === null || offered.has(target)) continue;
      const deltas = await this.deltas.offers(target.artifact.id);
      offered.set(target, deltas.length === 0 ? target : { ...target, deltas });
    }
    return changes.map((change) =>
      change.target === null
        ? change
        : { ...change, target: offered.get(change.target) ?? change.target },
    );
  }
}
