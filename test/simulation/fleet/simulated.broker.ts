import type { SeededRandom } from './seeded.random.ts';
import type { VirtualTime } from './virtual.time.ts';

export interface BrokerFaults {
  /** Probability that a message is lost, from 0 to 1, as after a cut connection. */
  loss: number;
  duplicate: number;
  /** Longest time that a message takes; later ones may come before it. */
  delayMs: number;
}

export interface BrokerMessage {
  readonly topic: string;
  readonly payload: string;
}

type Handler = (message: BrokerMessage) => void;

/** One side of a connection: what it hears, and whether it is cut off at the moment. */
export interface Connection {
  readonly name: string;
  connected: boolean;
  readonly filters: Map<string, Handler>;
  readonly onConnected: Set<() => void>;
}

/**
 * An MQTT broker as both sides see it on bad days: messages get lost, doubled, late and out of
 * order, retained ones are forgotten when it restarts, and clients are cut off from it.
 */
export class SimulatedBroker {
  faults: BrokerFaults = { loss: 0, duplicate: 0, delayMs: 5 };
  readonly #time: VirtualTime;
  readonly #random: SeededRandom;
  readonly #retained = new Map<string, string>();
  readonly #connections = new Set<Connection>();

  constructor(options: { time: VirtualTime; random: SeededRandom }) {
    this.#time = options.time;
    this.#random = options.random;
  }

  connect(name: string): Connection {
    const connection = { name, connected: true, filters: new Map(), onConnected: new Set() };
    this.#connections.add(connection as Connection);
    return connection as Connection;
  }

  /** The process behind the connection is gone. */
  drop(connection: Connection): void {
    connection.connected = false;
    this.#connections.delete(connection);
  }

  cut(connection: Connection): void {
    connection.connected = false;
  }

  heal(connection: Connection): void {
    if (connection.connected || !this.#connections.has(connection)) return;
    connection.connected = true;
    for (const [filter, handler] of connection.filters) this.#replay(connection, filter, handler);
    for (const notify of connection.onConnected) notify();
  }

  /** A restart with its persistence lost: nothing is retained any more. */
  forget(): void {
    this.#retained.clear();
  }

  subscribe(connection: Connection, filter: string, handler: Handler): () => void {
    connection.filters.set(filter, handler);
    if (connection.connected) this.#replay(connection, filter, handler);
    return () => {
      if (connection.filters.get(filter) === handler) connection.filters.delete(filter);
    };
  }

  /** @returns false when the sender is cut off and nothing was sent. */
  publish(
    from: Connection,
    message: BrokerMessage,
    options: { retain?: boolean | undefined } = {},
  ): boolean {
    if (!from.connected) return false;
    const { loss, duplicate } = this.faults;
    if (this.#random.chance(loss)) return true;
    if (options.retain === true) {
      if (message.payload === '') this.#retained.delete(message.topic);
      else this.#retained.set(message.topic, message.payload);
    }
    for (const to of this.#connections) {
      for (const [filter, handler] of to.filters) {
        if (!matches(filter, message.topic)) continue;
        this.#deliver(to, handler, message);
        if (this.#random.chance(duplicate)) this.#deliver(to, handler, message);
      }
    }
    return true;
  }

  #deliver(to: Connection, handler: Handler, message: BrokerMessage): void {
    const delayMs = 1 + Math.floor(this.#random.next() * this.faults.delayMs);
    if (this.#random.chance(this.faults.loss)) return;
    this.#time.after(delayMs, () => {
      const isHeard = to.connected && this.#connections.has(to);
      if (isHeard && [...to.filters.values()].includes(handler)) handler(message);
    });
  }

  #replay(connection: Connection, filter: string, handler: Handler): void {
    for (const [topic, payload] of this.#retained) {
      if (matches(filter, topic)) this.#deliver(connection, handler, { topic, payload });
    }
  }
}

function matches(filter: string, topic: string): boolean {
  if (filter === topic) return true;
  const wanted = filter.split('/');
  const given = topic.split('/');
  return (
    wanted.length === given.length &&
    wanted.every((level, at) => level === '+' || level === given[at])
  );
}
