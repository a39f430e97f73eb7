import { randomUUID } from 'node:crypto';
import { LIMITS } from '@entrofleet/protocol';
import {
  connect,
  type IClientOptions,
  type IConnackPacket,
  type IPublishPacket,
  type MqttClient,
} from 'mqtt';
import { messageOf } from '../errors.ts';
import { type Log, maskSecrets } from './log.ts';
import { Acknowledgements } from './mqtt.acknowledgements.ts';

const CONNECT_TIMEOUT_MS = 10_000;
const KEEPALIVE_SECONDS = 20;
const RECONNECT_MS = { first: 250, last: 5000 };
const GOODBYE_MS = 2000;
/**
 * Messages that we may have taken and not acknowledged; more wait at the broker. It is what bounds
 * the messages that wait in memory for the database.
 */
const RECEIVE_MAXIMUM = 4096;
/** MQTT 5, section 3.1.2.11.3: what a broker that names no receive maximum takes. */
const RECEIVE_MAXIMUM_DEFAULT = 65_535;
const PUBLISH_HEADER_BYTES = 512;
const SUBSCRIPTION_REFUSED = 128;

export interface Publication {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  readonly retain?: boolean;
}

/** A message is acknowledged at once, or when the promise is settled. */
export type MessageHandler = (
  topic: string,
  payload: Uint8Array,
) => Promise<void> | undefined | void;

/** The message was not handed to the broker; whoever sent it sends it again when it is due. */
export class BusError extends Error {
  readonly reason: 'BrokerUnavailable' | 'MessageTooLarge';

  constructor(reason: BusError['reason'], message: string) {
    super(message);
    this.name = 'BusError';
    this.reason = reason;
  }
}

/** The broker. It may be away at any moment; filters hold over reconnects. */
export abstract class MessageBus {
  abstract readonly connected: boolean;
  abstract subscribe(filter: string, handler: MessageHandler): void;
  /** Called after every connect, when all filters are subscribed again. */
  abstract onConnected(handler: () => void): void;
  /**
   * At least once (QoS 1): resolves when the broker has the message.
   * @throws BusError
   */
  abstract publish(message: Publication): Promise<void>;
  /** @throws when the broker is not connected now. */
  abstract ping(): Promise<void>;
  abstract close(): Promise<void>;
}

/**
 * {@link MessageBus} over MQTT 5 (MQTT.js). Every session starts clean: what counts is retained by
 * the broker or said again by the devices.
 */
export class MqttBus extends MessageBus {
  readonly #url: string;
  readonly #log: Log;
  readonly #client: MqttClient;
  readonly #handlers = new Map<string, MessageHandler>();
  readonly #connectedHandlers = new Set<() => void>();
  readonly #waiting: (() => void)[] = [];
  readonly #acknowledgements: Acknowledgements;
  #unacknowledged = 0;
  #receiveMaximum = RECEIVE_MAXIMUM_DEFAULT;
  #maximumPacketBytes = Number.POSITIVE_INFINITY;
  #delayMs = RECONNECT_MS.first;
  #trouble = 'not connected yet';
  #lastComplaint = '';
  #closing = false;

  constructor(options: { url: string; log: Log }) {
    super();
    this.#url = maskSecrets(options.url);
    this.#log = options.log;
    this.#client = connect(options.url, clientOptions());
    this.#acknowledgements = new Acknowledgements(() => this.#client.stream);
    this.#client.on('connect', (packet) => void this.#welcome(packet));
    this.#client.handleMessage = (packet, done) => this.#take(packet, done);
    this.#client.on('error', (error) => this.#complain(describe(error)));
    this.#client.on('disconnect', (packet) => {
      this.#complain(`the broker ended the session, reason code ${packet.reasonCode ?? 'unknown'}`);
    });
    this.#client.on('close', () => this.#prepareReconnect());
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  subscribe(filter: string, handler: MessageHandler): void {
    this.#handlers.set(filter, handler);
    if (this.#client.connected) void this.#subscribeNow([filter]);
  }

  onConnected(handler: () => void): void {
    this.#connectedHandlers.add(handler);
  }

  async publish(message: Publication): Promise<void> {
    const { topic, payload, retain = false } = message;
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : asBuffer(payload);
    if (bytes.length + PUBLISH_HEADER_BYTES > this.#maximumPacketBytes) {
      throw new BusError(
        'MessageTooLarge',
        `${topic}: ${bytes.length} bytes, but the broker ${this.#url} takes packets of ` +
          `${this.#maximumPacketBytes}; raise its max_packet_size`,
      );
    }
    // A broker may end the session of a client that exceeds its receive maximum.
    while (this.#unacknowledged >= this.#receiveMaximum) {
      await new Promise<void>((resolve) => this.#waiting.push(resolve));
    }
    if (!this.#client.connected) throw new BusError('BrokerUnavailable', this.#trouble);
    this.#unacknowledged++;
    try {
      await this.#client.publishAsync(topic, bytes, { qos: 1, retain });
    } catch (error) {
      throw new BusError('BrokerUnavailable', messageOf(error));
    } finally {
      this.#unacknowledged--;
      this.#waiting.shift()?.();
    }
  }

  async ping(): Promise<void> {
    if (!this.#client.connected) throw new BusError('BrokerUnavailable', this.#trouble);
  }

  async close(): Promise<void> {
    this.#closing = true;
    const timeout = new Promise((resolve) => setTimeout(resolve, GOODBYE_MS).unref());
    await Promise.race([this.#client.endAsync(!this.#client.connected), timeout]);
  }

  async #welcome(packet: IConnackPacket): Promise<void> {
    this.#delayMs = RECONNECT_MS.first;
    this.#lastComplaint = '';
    this.#trouble = 'the connection was lost';
    this.#receiveMaximum = packet.properties?.receiveMaximum ?? RECEIVE_MAXIMUM_DEFAULT;
    this.#maximumPacketBytes = packet.properties?.maximumPacketSize ?? Number.POSITIVE_INFINITY;
    this.#log.info('broker connected', { url: this.#url });
    await this.#subscribeNow([...this.#handlers.keys()]);
    if (this.#client.connected) for (const handler of this.#connectedHandlers) handler();
  }

  async #subscribeNow(filters: readonly string[]): Promise<void> {
    if (filters.length === 0) return;
    try {
      const grants = await this.#client.subscribeAsync([...filters], { qos: 1 });
      const refused = grants.filter((grant) => grant.qos >= SUBSCRIPTION_REFUSED);
      if (refused.length === 0) return;
      const names = refused.map((grant) => grant.topic).join(', ');
      this.#complain(`it refuses to let us read ${names}; check its access rules`);
    } catch (error) {
      // A connection lost meanwhile subscribes again when it is back.
      if (this.#client.connected) this.#complain(describe(error));
    }
  }

  /** MQTT.js reads on and acknowledges in `done`; with an error it only reads on. */
  #take(packet: IPublishPacket, done: (error?: Error) => void): void {
    const payload =
      typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    const underway = this.#dispatch(packet.topic, payload);
    const { messageId } = packet;
    if (underway.length === 0 || packet.qos !== 1 || messageId === undefined) {
      done();
      return;
    }
    this.#acknowledgements.defer(messageId, Promise.all(underway));
    done(new Error('acknowledged later'));
  }

  /** @returns what is still to be done before the message may be acknowledged. */
  #dispatch(topic: string, payload: Uint8Array): Promise<void>[] {
    const underway: Promise<void>[] = [];
    const complain = (error: unknown) =>
      this.#log.error('message handler failed', { topic, error: messageOf(error) });
    for (const [filter, handler] of this.#handlers) {
      if (!filterMatches(filter, topic)) continue;
      try {
        const work = handler(topic, payload);
        if (work !== undefined) underway.push(work.catch(complain));
      } catch (error) {
        complain(error);
      }
    }
    return underway;
  }

  /** Doubles the wait up to its bound and spreads it. */
  #prepareReconnect(): void {
    this.#client.options.reconnectPeriod = Math.round(this.#delayMs * (0.5 + Math.random()));
    this.#delayMs = Math.min(RECONNECT_MS.last, this.#delayMs * 2);
    for (const wake of this.#waiting.splice(0)) wake();
    if (this.#lastComplaint === '') this.#complain('the connection was closed');
  }

  /** One line for a trouble, however often it is met again. */
  #complain(reason: string): void {
    if (this.#closing || reason === this.#lastComplaint) return;
    this.#lastComplaint = reason;
    this.#trouble = `broker ${this.#url} (MQTT_URL): ${reason}`;
    this.#log.warn('broker not usable; trying again', { url: this.#url, error: reason });
  }
}

function clientOptions(): IClientOptions {
  return {
    protocolVersion: 5,
    clientId: `entrofleet-controller-${randomUUID()}`,
    clean: true,
    keepalive: KEEPALIVE_SECONDS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: RECONNECT_MS.first,
    // A broker that refuses us today may be configured to take us tomorrow.
    reconnectOnConnackError: true,
    resubscribe: false,
    queueQoSZero: false,
    properties: {
      sessionExpiryInterval: 0,
      receiveMaximum: RECEIVE_MAXIMUM,
      // Twice what we accept, so that a message that is too large is seen and logged.
      maximumPacketSize: 2 * LIMITS.messageBytes,
    },
  };
}

/** MQTT 5, section 4.7, with the prefix of shared subscriptions (4.8.2). */
export function filterMatches(filter: string, topic: string): boolean {
  const levels = filter.replace(/^\$share\/[^/]+\//, '').split('/');
  const parts = topic.split('/');
  return levels.length === parts.length && levels.every((l, i) => l === '+' || l === parts[i]);
}

function asBuffer(bytes: Uint8Array): Buffer {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

/** Node reports a refused dual-stack connection as an AggregateError without a message. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join(', ');
  return messageOf(error) || 'unknown error';
}
