import type { Change } from './change.ts';

export type ChangeType = 'ADDED' | 'MODIFIED' | 'DELETED';

export interface ViewOptions {
  /** The version from which the client watches. */
  readonly since: number;
  /** Absent: the client wants every object. */
  readonly matches?: ((object: unknown) => boolean) | undefined;
  /** Objects that the client may know at `since`; only needed with `matches`. */
  readonly known?: Iterable<string>;
  /** Each object comes once and stays: nothing is remembered. */
  readonly isAppendOnly?: boolean | undefined;
}

/**
 * What one client knows, to tell it of a change in its own terms: an object that comes to match is
 * ADDED, one that no longer does is DELETED.
 */
export class WatchView {
  readonly #since: number;
  readonly #matches: ViewOptions['matches'];
  /** Without `matches`: only those created after `since`; the client knows all others. */
  readonly #known: Set<string>;
  readonly #isAppendOnly: boolean;

  constructor(options: ViewOptions) {
    this.#since = options.since;
    this.#matches = options.matches;
    this.#known = new Set(options.known);
    this.#isAppendOnly = options.isAppendOnly === true;
  }

  /** Notes an object that the client is told of because it is there. */
  introduce(change: Change): void {
    if (this.#isAppendOnly) return;
    const isCovered = this.#matches === undefined && change.createdVersion <= this.#since;
    if (!isCovered) this.#known.add(change.key);
  }

  /** @returns how to tell the client, or `undefined` when the change is none to it. */
  tell(change: Change): ChangeType | undefined {
    if (this.#isAppendOnly) return this.#matches?.(change.object) === false ? undefined : 'ADDED';
    const isKnown = this.#knows(change);
    if (change.isDeleted || this.#matches?.(change.object) === false) {
      this.#known.delete(change.key);
      return isKnown ? 'DELETED' : undefined;
    }
    if (isKnown) return 'MODIFIED';
    this.#known.add(change.key);
    return 'ADDED';
  }

  #knows(change: Change): boolean {
    if (this.#known.has(change.key)) return true;
    if (change.createdVersion > this.#since) return false;
    // Of one that is gone nobody can tell whether it matched then; that it last did is the best clue.
    return this.#matches === undefined || (change.isDeleted && this.#matches(change.object));
  }
}
