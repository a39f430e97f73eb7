export interface Publication {
  readonly topic: string;
  readonly payload: string;
  readonly retain?: boolean;
  /** The broker drops the message when nobody took it within this time. */
  readonly expirySeconds?: number;
}

/**
 * While a handler's promise is pending the bus may hold further messages back. The payload's memory
 * is the bus's again once it has settled: what is kept longer is copied.
 */
export type MessageHandler = (topic: string, payload: Uint8Array) => void | Promise<void>;

export interface Subscription {
  close(): void;
}

/**
 * The agent's side of the broker. A bus may be offline at any time: what is published then is
 * dropped, because everything the agent says is a whole state that it says again, or that it keeps
 * until it is delivered.
 */
export interface Bus {
  readonly connected: boolean;
  /** @returns false when the bus is offline and the message is dropped. */
  publish(message: Publication): boolean;
  /** @returns false unless the broker has acknowledged the message. */
  publishAcknowledged(message: Publication): Promise<boolean>;
  /** The filter holds for good, over reconnects, until it is closed. */
  subscribe(filter: string, handler: MessageHandler): Subscription;
  /** Called after every connect, when all filters are subscribed again. */
  onConnected(handler: () => void): Subscription;
}
