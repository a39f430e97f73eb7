import type { HeldModel } from './served.model.ts';

/** The right to use a model until it is released. */
export interface Lease<M extends HeldModel> {
  readonly model: M;
  release(): void;
}

interface Occupant<M> {
  readonly model: M;
  leases: number;
  replaced: boolean;
}

/**
 * Holds the model that serves. A switch is one assignment: requests that run finish on the model
 * they began with, which is closed when the last of them has ended.
 */
export class ModelSlot<M extends HeldModel> {
  #occupant: Occupant<M> | null = null;
  #leases = 0;

  get current(): M | null {
    return this.#occupant?.model ?? null;
  }

  /** Leases out, on the current model and on replaced ones. */
  get leases(): number {
    return this.#leases;
  }

  /** @returns a lease on the current model, or `null` when none serves. */
  acquire(): Lease<M> | null {
    const occupant = this.#occupant;
    if (occupant === null) return null;
    occupant.leases++;
    this.#leases++;
    let released = false;
    const release = (): void => {
      if (released) return;
      released = true;
      occupant.leases--;
      this.#leases--;
      closeWhenUnused(occupant);
    };
    return { model: occupant.model, release };
  }

  /** Serves another model, or none, from now on. */
  switchTo(model: M | null): void {
    const before = this.#occupant;
    if (before !== null && before.model === model) return;
    this.#occupant = model === null ? null : { model, leases: 0, replaced: false };
    if (before === null) return;
    before.replaced = true;
    closeWhenUnused(before);
  }
}

function closeWhenUnused(occupant: Occupant<HeldModel>): void {
  if (occupant.replaced && occupant.leases === 0) occupant.model.close();
}
