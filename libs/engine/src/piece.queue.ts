/**
 * Hands items from a producer that cannot wait to a consumer that may be slow. The producer asks
 * {@link full} before it makes more.
 */
export class PieceQueue<Item> implements AsyncIterable<Item> {
  readonly #capacity: number;
  readonly #onTaken: () => void;
  readonly #items: Item[] = [];
  #wake: () => void = () => undefined;
  #ended = false;
  #failure: { readonly error: unknown } | null = null;

  /** @param options.onTaken called when a full queue has room again. */
  constructor(options: { capacity: number; onTaken: () => void }) {
    this.#capacity = options.capacity;
    this.#onTaken = options.onTaken;
  }

  get full(): boolean {
    return this.#items.length >= this.#capacity;
  }

  push(item: Item): void {
    this.#items.push(item);
    this.#wake();
  }

  /** Nothing comes after what is in the queue. */
  end(): void {
    this.#ended = true;
    this.#wake();
  }

  /** The consumer gets the error at once; what it has not taken is dropped. */
  fail(error: unknown): void {
    this.#items.length = 0;
    this.#failure ??= { error };
    this.#wake();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<Item> {
    for (;;) {
      if (this.#failure !== null) throw this.#failure.error;
      const wasFull = this.full;
      const item = this.#items.shift();
      if (item !== undefined) {
        if (wasFull) this.#onTaken();
        yield item;
      } else if (this.#ended) {
        return;
      } else {
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
      }
    }
  }
}
