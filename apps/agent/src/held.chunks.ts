import type { ChunkArrivals, ChunkRange } from '@entrofleet/artifact';
import type { Bitmap } from '@entrofleet/protocol';

interface Waiter {
  readonly ranges: readonly ChunkRange[];
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Lets others wait for chunks of a download that is going on. */
export class HeldChunks implements ChunkArrivals {
  readonly #held: Bitmap;
  readonly #waiters = new Set<Waiter>();
  #ended: Error | null = null;

  /** @param held verified chunks on disk; who adds to it calls {@link grown}. */
  constructor(held: Bitmap) {
    this.#held = held;
  }

  has({ first, end }: ChunkRange): boolean {
    for (let index = first; index < end; index++) if (!this.#held.has(index)) return false;
    return true;
  }

  async anyOf(ranges: readonly ChunkRange[], signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    if (ranges.some((range) => this.has(range))) return;
    if (this.#ended !== null) throw this.#ended;
    const { promise, resolve, reject } = Promise.withResolvers<void>();
    const waiter = { ranges, resolve, reject };
    const abort = () => reject(signal.reason);
    this.#waiters.add(waiter);
    signal.addEventListener('abort', abort, { once: true });
    try {
      await promise;
    } finally {
      this.#waiters.delete(waiter);
      signal.removeEventListener('abort', abort);
    }
  }

  /** There are more chunks than before. */
  grown(): void {
    for (const { ranges, resolve } of this.#waiters) {
      if (ranges.some((range) => this.has(range))) resolve();
    }
  }

  /** No more will come here: whoever still waits for one waits in vain. */
  end(reason: Error): void {
    this.#ended ??= reason;
    for (const { reject } of this.#waiters) reject(this.#ended);
  }
}
