export interface EnqueueOptions {
  /** Start at once, also when the key waits for its next attempt after a failure. */
  readonly now?: boolean;
}

/**
 * Brings the object with this key one step further. It re-reads everything, because a key may
 * come twice, late, or after the work is done. It gives up soon after `signal` aborts.
 * @returns keys of the same queue to be handled, by any process, before this one comes again.
 * @throws Stalled: not tried again. Waiting: left to the sweep. Anything else: tried again.
 */
export type KeyHandler = (
  key: string,
  signal: AbortSignal,
) => Promise<readonly string[] | undefined>;

/** How many keys of a queue are in which state. */
export interface KeyCounts {
  /** Anybody may take them now. */
  readonly waiting: number;
  readonly active: number;
  /** Until their next attempt. */
  readonly delayed: number;
  /** Until the keys that they named have been handled. */
  readonly blocked: number;
  /** Given up and kept. */
  readonly failed: number;
}

/** What became of a key that was handed out: `failed` ones are tried again or given up. */
export type KeyOutcome = 'handled' | 'waiting' | 'failed' | 'returned';

export interface HandledKey {
  readonly queue: string;
  readonly outcome: KeyOutcome;
  readonly seconds: number;
}

/** Whether a process may take keys now, and when that changes. */
export interface Gate {
  isOpen(): boolean;
  /** The listener's promise resolves when the keys that were taken before are done with. */
  whenChanged(listener: (isOpen: boolean) => void | Promise<void>): void;
}

export interface ConsumeOptions {
  readonly concurrency?: number;
  /** While it is closed, nothing is taken, and what was taken but not begun is given back. */
  readonly gate?: Gate;
}

/** Keys of objects that need work. Losing all of it costs one sweep interval, no more. */
export abstract class KeyQueue {
  /**
   * Never waits and never fails: while the queue is away, keys are kept in memory. A key that is
   * waiting already is not added; one that is being handled is handled once more afterwards.
   */
  abstract enqueue(queue: string, key: string, options?: EnqueueOptions): void;

  /** In one process a key is never handled twice at the same time. */
  abstract consume(queue: string, handler: KeyHandler, options?: ConsumeOptions): void;

  /** @throws when the queue does not answer now. */
  abstract ping(): Promise<void>;

  /** @throws when the queue does not answer soon. */
  abstract counts(queue: string): Promise<KeyCounts>;

  /**
   * Takes no more keys, aborts the handlers, waits for them a while, and gives back what they did
   * not finish: another process may take it at once, and no attempt is counted. Keys can still be
   * enqueued.
   */
  abstract release(): Promise<void>;

  /** Releases, then ends the connection. */
  abstract close(): Promise<void>;
}
