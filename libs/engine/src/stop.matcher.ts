/**
 * Cuts a stream of text at the first of some stop strings. Text that may be the beginning of one
 * is held back.
 */
export class StopMatcher {
  readonly #stops: readonly string[];
  #held = '';

  constructor(stops: readonly string[]) {
    this.#stops = stops.filter((stop) => stop !== '');
  }

  /** @returns text that may be shown, and whether a stop string has been met. */
  push(text: string): { text: string; stopped: boolean } {
    const all = this.#held + text;
    const starts = this.#stops.map((stop) => all.indexOf(stop)).filter((at) => at >= 0);
    if (starts.length > 0) {
      this.#held = '';
      return { text: all.slice(0, Math.min(...starts)), stopped: true };
    }
    const heldLength = Math.max(0, ...this.#stops.map((stop) => overlap(all, stop)));
    this.#held = all.slice(all.length - heldLength);
    return { text: all.slice(0, all.length - heldLength), stopped: false };
  }

  /** @returns what was held back and turned out to be no stop string. */
  flush(): string {
    const text = this.#held;
    this.#held = '';
    return text;
  }
}

/** Length of the longest end of `text` that is a beginning of `stop`. */
function overlap(text: string, stop: string): number {
  let length = Math.min(text.length, stop.length - 1);
  while (length > 0 && !text.endsWith(stop.slice(0, length))) length--;
  return length;
}
