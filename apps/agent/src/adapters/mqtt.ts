import { type Presence, SCHEMA_VERSION, topics } from '@entrofleet/protocol';
import { connect, type IClientOptions, type MqttClient } from 'mqtt';
import type { Bus, MessageHandler, Publication, Subscription } from '../bus.ts';
import type { Log } from '../log.ts';

export interface MqttBusOptions {
  readonly url: string;
  readonly device: string;
  readonly boot: number;
  readonly log: Log;
  /** Largest message taken from the broker. */
  readonly maximumPacketBytes: number;
  /** Messages the broker may have under way to us before we acknowledge one. */
  readonly receiveMaximum: number;
  /** The agent's own unless told. */
  readonly clientId?: string;
  /** The device's own presence unless told; null: none. */
  readonly presence?: BrokerPresence | null;
}

/** What is retained about a connection, its will included. */
export interface BrokerPresence {
  readonly topic: string;
  readonly message: (online: boolean) => object;
}

export type MqttPublication = Omit<Publication, 'payload'> & {
  readonly payload: string | Uint8Array;
};

const CONNECT_TIMEOUT_MS = 10_000;
const KEEPALIVE_SECONDS = 20;
const RECONNECT_MIN_MS = 250;
const RECONNECT_MAX_MS = 30_000;
const ACKNOWLEDGE_TIMEOUT_MS = 10_000;
const GOODBYE_TIMEOUT_MS = 2_000;

/**
 * The bus over MQTT 5 (MQTT.js). Every session starts clean: desired states are retained and
 * chunks are asked for again, so nothing needs to be kept by the broker. Presence is the will.
 */
export class MqttBus implements Bus {
  readonly #options: MqttBusOptions;
  readonly #client: MqttClient;
  readonly #handlers = new Map<string, MessageHandler>();
  readonly #connectedHandlers = new Set<() => void>();
  #delayMs = RECONNECT_MIN_MS;
  #lastComplaint = '';
  #ending = false;

  constructor(options: MqttBusOptions) {
    this.#options = options;
    this.#client = connect(options.url, clientOptions(options));
    this.#client.on('connect', () => void this.#welcome());
    // The next packet is read once this one is dealt with: a slow disk slows the broker down
    // instead of filling the memory.
    this.#client.handleMessage = (packet, done) => {
      const payload = Buffer.isBuffer(packet.payload)
        ? packet.payload
        : Buffer.from(packet.payload);
      this.#dispatch(packet.topic, payload).then(
        () => done(),
        () => done(),
      );
    };
    this.#client.on('error', (error) => this.#complain(describe(error)));
    this.#client.on('disconnect', ({ reasonCode }) => {
      this.#complain(closingReason(reasonCode ?? 0, options.device));
    });
    this.#client.on('close', () => this.#prepareReconnect());
  }

  get connected(): boolean {
    return this.#client.connected;
  }

  publish(message: Publication): boolean {
    if (!this.#client.connected) return false;
    void this.#send(message);
    return true;
  }

  /** A connection that is lost or mute while the broker's word is awaited counts as a refusal. */
  async publishAcknowledged(message: MqttPublication): Promise<boolean> {
    if (!this.#client.connected) return false;
    const lost = Promise.withResolvers<boolean>();
    const onClose = () => lost.resolve(false);
    this.#client.once('close', onClose);
    try {
      const late = elapsed(ACKNOWLEDGE_TIMEOUT_MS).then(() => false);
      return await Promise.race([this.#send(message), lost.promise, late]);
    } finally {
      this.#client.off('close', onClose);
    }
  }

  subscribe(filter: string, handler: MessageHandler): Subscription {
    this.#handlers.set(filter, handler);
    if (this.#client.connected) void this.#subscribeNow([filter]);
    return {
      close: () => {
        if (this.#handlers.get(filter) !== handler) return;
        this.#handlers.delete(filter);
        if (this.#client.connected) this.#client.unsubscribe(filter);
      },
    };
  }

  onConnected(handler: () => void): Subscription {
    this.#connectedHandlers.add(handler);
    return { close: () => this.#connectedHandlers.delete(handler) };
  }

  /** Says goodbye: presence offline, then a clean disconnect. */
  async end(): Promise<void> {
    this.#ending = true;
    const presence = presenceOf(this.#options);
    if (this.#client.connected && presence !== null) {
      const goodbye = this.#client
        .publishAsync(presence.topic, presenceText(presence, false), { qos: 1, retain: true })
        .catch(() => undefined);
      await Promise.race([goodbye, elapsed(GOODBYE_TIMEOUT_MS)]);
    }
    await Promise.race([
      this.#client.endAsync(!this.#client.connected),
      elapsed(GOODBYE_TIMEOUT_MS),
    ]);
  }

  async #send(message: MqttPublication): Promise<boolean> {
    const expiry = message.expirySeconds;
    try {
      const { topic, payload } = message;
      const bytes = typeof payload === 'string' ? payload : Buffer.from(payload);
      await this.#client.publishAsync(topic, bytes, {
        qos: 1,
        retain: message.retain ?? false,
        ...(expiry === undefined ? {} : { properties: { messageExpiryInterval: expiry } }),
      });
      return true;
    } catch (error) {
      if (!this.#ending) this.#options.log.debug(`not sent: ${describe(error)}`);
      return false;
    }
  }

  async #welcome(): Promise<void> {
    const { log, url, device } = this.#options;
    this.#delayMs = RECONNECT_MIN_MS;
    this.#lastComplaint = '';
    log.info(`connected to the broker ${redacted(url)} as ${device}`);
    const presence = presenceOf(this.#options);
    if (presence !== null) {
      this.publish({
        topic: presence.topic,
        payload: presenceText(presence, true),
        retain: true,
      });
    }
    await this.#subscribeNow([...this.#handlers.keys()]);
    if (this.#client.connected) for (const handler of this.#connectedHandlers) handler();
  }

  async #subscribeNow(filters: readonly string[]): Promise<void> {
    if (filters.length === 0) return;
    try {
      const grants = await this.#client.subscribeAsync([...filters], { qos: 1 });
      const refused = grants.filter((grant) => grant.qos >= 128).map((grant) => grant.topic);
      if (refused.length > 0) this.#complain(`the broker refused to let us read ${refused}`);
    } catch (error) {
      // A connection lost meanwhile subscribes again when it is back.
      if (this.#client.connected) this.#complain(describe(error));
    }
  }

  async #dispatch(topic: string, payload: Uint8Array): Promise<void> {
    const handler = this.#handlers.get(topic) ?? this.#handlerOf(topic);
    await handler?.(topic, payload);
  }

  #handlerOf(topic: string): MessageHandler | undefined {
    const parts = topic.split('/');
    for (const [filter, handler] of this.#handlers) {
      const levels = filter.split('/');
      const isMatch = levels.every((level, i) => level === '+' || level === parts[i]);
      if (isMatch && levels.length === parts.length) return handler;
    }
    return undefined;
  }

  /** Doubles the wait up to its bound and spreads it, so that a fleet does not return as one. */
  #prepareReconnect(): void {
    const spread = 0.5 + Math.random();
    this.#client.options.reconnectPeriod = Math.round(this.#delayMs * spread);
    this.#delayMs = Math.min(RECONNECT_MAX_MS, this.#delayMs * 2);
    if (!this.#ending) this.#complain('the connection was closed');
  }

  /** One line for a trouble, however often it is met again. */
  #complain(reason: string): void {
    if (this.#lastComplaint !== '' && (reason === this.#lastComplaint || isClosing(reason))) return;
    this.#lastComplaint = reason;
    this.#options.log.warn(
      `broker ${redacted(this.#options.url)}: ${reason}; trying again, serving goes on`,
    );
  }
}

function clientOptions(options: MqttBusOptions): IClientOptions {
  const presence = presenceOf(options);
  return {
    protocolVersion: 5,
    clientId: options.clientId ?? `entrofleet-agent-${options.device}`,
    clean: true,
    keepalive: KEEPALIVE_SECONDS,
    connectTimeout: CONNECT_TIMEOUT_MS,
    reconnectPeriod: RECONNECT_MIN_MS,
    // A broker that refuses us today may be configured to take us tomorrow.
    reconnectOnConnackError: true,
    resubscribe: false,
    queueQoSZero: false,
    properties: {
      sessionExpiryInterval: 0,
      receiveMaximum: options.receiveMaximum,
      maximumPacketSize: options.maximumPacketBytes,
    },
    ...(presence === null
      ? {}
      : {
          will: {
            topic: presence.topic,
            payload: Buffer.from(presenceText(presence, false)),
            qos: 1,
            retain: true,
          },
        }),
  };
}

function presenceOf({ presence, device, boot }: MqttBusOptions): BrokerPresence | null {
  if (presence !== undefined) return presence;
  return {
    topic: topics.presence(device),
    message: (online): Presence => ({ schemaVersion: SCHEMA_VERSION, device, online, boot }),
  };
}

function presenceText(presence: BrokerPresence, online: boolean): string {
  return JSON.stringify(presence.message(online));
}

/** MQTT 5, section 3.14.2.1. */
const SESSION_TAKEN_OVER = 0x8e;

function closingReason(reasonCode: number, device: string): string {
  if (reasonCode === SESSION_TAKEN_OVER) {
    return `another agent connected as ${device}; give each its own ENTROFLEET_DEVICE`;
  }
  return `the broker closed the session with reason code ${reasonCode}`;
}

function isClosing(reason: string): boolean {
  return reason === 'the connection was closed';
}

/** Node reports a refused dual-stack connection as an AggregateError without a message. */
function describe(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(describe).join(', ');
  if (!(error instanceof Error)) return String(error);
  return error.message !== '' ? error.message : error.name;
}

/** The URL as it may be logged: without a password. */
export function redacted(url: string): string {
  const parsed = new URL(url);
  if (parsed.password !== '') parsed.password = '***';
  return parsed.href;
}

function elapsed(timeoutMs: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, timeoutMs).unref());
}
