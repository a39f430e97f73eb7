/** What one turn may send; larger chunks are paid for in the turns after. */
const QUANTUM_BYTES = 256 * 1024;

/**
 * Deficit round robin (Shreedhar and Varghese, 1995): of keys that always have something to send,
 * none gets more bytes than another by more than a quantum and its largest message.
 */
export class FairTurns<Key> {
  /** Bytes each key may still send in its turn; in the order of turns. */
  readonly #credits = new Map<Key, number>();

  add(key: Key): void {
    if (!this.#credits.has(key)) this.#credits.set(key, QUANTUM_BYTES);
  }

  delete(key: Key): void {
    this.#credits.delete(key);
  }

  /** Keys from the one whose turn it is; who has overdrawn pays and goes to the end of the line. */
  *inTurn(): Generator<Key> {
    for (const [key, credit] of this.#credits) {
      if (credit > 0) yield key;
      else this.#toTheEnd(key, credit);
    }
  }

  spend(key: Key, bytes: number): void {
    const credit = (this.#credits.get(key) ?? 0) - bytes;
    if (credit > 0) this.#credits.set(key, credit);
    else this.#toTheEnd(key, credit);
  }

  #toTheEnd(key: Key, credit: number): void {
    this.#credits.delete(key);
    this.#credits.set(key, credit + QUANTUM_BYTES);
  }
}
