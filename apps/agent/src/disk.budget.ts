import type { ArtifactRef } from '@entrofleet/protocol';
import type { ChunkStore } from './chunk.store.ts';
import { planCollection } from './collection.plan.ts';
import { AgentError } from './errors.ts';

/**
 * What artifacts may take on this device's disk. Within it, those that nobody runs any more stay:
 * the next one may share chunks with them, or they may be wanted again.
 */
export class DiskBudget {
  readonly #store: ChunkStore;
  readonly #budgetBytes: number | null;

  readonly #option: string;

  /**
   * @param use.budgetBytes null: no limit, and nothing stays that is not in use.
   * @param use.option what sets the budget; DISK_BUDGET_MIB unless told.
   */
  constructor(use: {
    readonly store: ChunkStore;
    readonly budgetBytes: number | null;
    readonly option?: string;
  }) {
    this.#option = use.option ?? 'DISK_BUDGET_MIB';
    this.#store = use.store;
    this.#budgetBytes = use.budgetBytes;
  }

  /** Deletes what may not stay beside the artifacts in use. @returns bytes given back. */
  async collect(keep: readonly string[]): Promise<number> {
    if (this.#budgetBytes === null) return this.#store.collect(keep);
    await this.#store.markUsed(keep);
    return this.#shrink(keep, this.#budgetBytes);
  }

  /**
   * Makes room for the rest of an artifact that is to be fetched.
   * @returns bytes given back.
   * @throws AgentError `DiskFull` when the artifacts in use leave too little of the budget.
   */
  async makeRoom(ref: ArtifactRef, keep: readonly string[]): Promise<number> {
    const budgetBytes = this.#budgetBytes;
    if (budgetBytes === null) return 0;
    const neededBytes = ref.sizeBytes - (await this.#store.bytesOf(ref.id));
    const stays = [...keep, ref.id];
    const given = await this.#shrink(stays, budgetBytes - neededBytes);
    const stored = await this.#store.stored();
    const usedBytes = stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    if (usedBytes + neededBytes <= budgetBytes) return given;
    throw new AgentError(
      'DiskFull',
      `artifact ${ref.id.slice(0, 12)} needs ${neededBytes} more bytes, artifacts in use take ` +
        `${usedBytes}, and the budget is ${budgetBytes}; raise ${this.#option} or choose a ` +
        'smaller variant',
    );
  }

  async #shrink(keep: readonly string[], allowedBytes: number): Promise<number> {
    const stored = await this.#store.stored();
    const before = stored.reduce((sum, { sizeBytes }) => sum + sizeBytes, 0);
    const { remove, leftBytes } = planCollection({ stored, keep, allowedBytes });
    for (const id of remove) await this.#store.remove(id);
    return before - leftBytes;
  }
}
