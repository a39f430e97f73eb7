import { relayPresenceSchema, topics } from '@entrofleet/protocol';
import type { Bus, MessageHandler, Publication, Subscription } from '../bus.ts';
import type { Log } from '../log.ts';
import { RelayChoice, type Side } from './relay.choice.plan.ts';

const CHECK_MS = 500;

interface Listening {
  readonly filter: string;
  readonly handler: MessageHandler;
  at: Subscription;
}

/**
 * The bus that downloads use on a site with a relay: the site's own broker, or the main one as long
 * as the relay is of no use. What listens moves along, and is told to ask again.
 */
export class RelayedBus implements Bus {
  readonly #main: Bus;
  readonly #local: Bus;
  readonly #log: Log;
  readonly #choice: RelayChoice;
  readonly #listening = new Set<Listening>();
  readonly #connectedHandlers = new Set<() => void>();
  #isRelayOnline = false;
  #side: Side = 'Relay';
  #timer: ReturnType<typeof setInterval> | undefined;

  constructor(use: {
    readonly main: Bus;
    readonly local: Bus;
    readonly log: Log;
    readonly patienceMs: number;
  }) {
    this.#main = use.main;
    this.#local = use.local;
    this.#log = use.log;
    this.#choice = new RelayChoice({ patienceMs: use.patienceMs, nowMs: performance.now() });
    use.local.subscribe(topics.relay, (_, payload) => this.#noteRelay(payload));
    for (const [side, bus] of [['Relay', use.local] as const, ['Main', use.main] as const]) {
      bus.onConnected(() => {
        if (side === this.#side) this.#tellConnected();
      });
    }
  }

  get connected(): boolean {
    return this.#bus.connected;
  }

  publish(message: Publication): boolean {
    const isFetching = this.#listening.size > 0;
    if (this.#side === 'Relay' && isFetching) this.#choice.ask(performance.now());
    return this.#bus.publish(message);
  }

  publishAcknowledged(message: Publication): Promise<boolean> {
    return this.#bus.publishAcknowledged(message);
  }

  subscribe(filter: string, handler: MessageHandler): Subscription {
    if (this.#listening.size === 0) this.#begin();
    const listening = { filter, handler, at: this.#bus.subscribe(filter, handler) };
    this.#listening.add(listening);
    return {
      close: () => {
        this.#listening.delete(listening);
        listening.at.close();
        if (this.#listening.size === 0) this.end();
      },
    };
  }

  onConnected(handler: () => void): Subscription {
    this.#connectedHandlers.add(handler);
    return { close: () => this.#connectedHandlers.delete(handler) };
  }

  /** What became of a chunk that arrived. */
  judge(verdict: string): void {
    if (this.#side === 'Relay') this.#choice.judge(verdict, performance.now());
  }

  end(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  get #bus(): Bus {
    return this.#side === 'Relay' ? this.#local : this.#main;
  }

  #begin(): void {
    this.#choice.begin();
    this.#check();
    this.#timer ??= setInterval(() => this.#check(), CHECK_MS);
  }

  #noteRelay(payload: Uint8Array): void {
    try {
      const said = relayPresenceSchema.parse(JSON.parse(Buffer.from(payload).toString()));
      this.#isRelayOnline = said.online;
    } catch {
      this.#isRelayOnline = false;
    }
    if (this.#listening.size > 0) this.#check();
  }

  #check(): void {
    const nowMs = performance.now();
    // What is retained is heard again after each connect.
    if (!this.#local.connected) this.#isRelayOnline = false;
    this.#choice.reach(this.#isRelayOnline, nowMs);
    const side = this.#choice.side(nowMs);
    if (side === this.#side) return;
    this.#side = side;
    const which = side === 'Main' ? 'the main broker: the relay is of no use' : 'the relay';
    this.#log.info(`chunks are fetched from ${which}`);
    for (const listening of this.#listening) {
      listening.at.close();
      listening.at = this.#bus.subscribe(listening.filter, listening.handler);
    }
    if (this.#bus.connected) this.#tellConnected();
  }

  #tellConnected(): void {
    for (const handler of this.#connectedHandlers) handler();
  }
}
