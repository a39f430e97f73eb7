/** Something that only the leader may do was about to be done by another. Leave it to the leader. */
export class NotLeader extends Error {
  readonly reason = 'NotLeader';

  constructor() {
    super('this process does not hold the lease of the controller; the leader does this');
    this.name = 'NotLeader';
  }
}

export type LeadershipListener = (isLeader: boolean) => void | Promise<void>;

/**
 * Whether this process may act for the whole controller: sweep, advance rollouts, write to the API
 * server. It answers from local knowledge at once, and errs towards no: at most one process gets a
 * yes at any moment.
 */
export abstract class Leadership {
  /** Ask again right before each effect: a yes can become a no at any moment. */
  abstract isLeader(): boolean;

  /**
   * Calls the listener when the answer changes, with the new one; after a pause of the process that
   * may be late, and `isLeader` says no before. On shutdown others may act as soon as the promises
   * of all listeners have resolved, so such a promise stands for what is still being done.
   * @returns a function that ends it.
   */
  abstract whenChanged(listener: LeadershipListener): () => void;

  /** Acts no more, and lets others as soon as the listeners are done. Nothing brings it back. */
  abstract resign(): Promise<void>;

  /** @throws NotLeader */
  fence(): void {
    if (!this.isLeader()) throw new NotLeader();
  }
}

/** Of a process without the role `kubernetes`: nobody is elected, and everybody may act. */
export class AlwaysLeader extends Leadership {
  isLeader(): boolean {
    return true;
  }

  whenChanged(): () => void {
    return () => undefined;
  }

  async resign(): Promise<void> {}
}
