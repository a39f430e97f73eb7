import { connect, type Socket } from 'node:net';

/**
 * The few packets of MQTT 5 that a simulated device needs, written and read by hand: ten thousand
 * connections of a full client would be what is measured. Section numbers are of MQTT 5.0.
 */
const PACKET = {
  connack: 2,
  publish: 3,
  puback: 4,
  suback: 9,
} as const;
const CONNECT = 0x10;
const PUBLISH = 0x30;
const SUBSCRIBE = 0x82;
const UNSUBSCRIBE = 0xa2;
const QOS1 = 0x02;
const RETAIN = 0x01;
const CLEAN_START = 0x02;
const WILL_QOS1_RETAINED = 0x04 | 0x08 | 0x20;
const NO_PROPERTIES = Buffer.from([0]);

export interface WireOptions {
  readonly port: number;
  readonly clientId: string;
  readonly will?: { readonly topic: string; readonly payload: string };
  /** Messages that the broker may have under way to us. */
  readonly receiveMaximum?: number;
  readonly onMessage?: (topic: string, payload: Buffer) => void;
  /** Called with the packet id of each publication that the broker has taken. */
  readonly onTaken?: (packetId: number) => void;
}

/** One connection to a broker on loopback. */
export class WireClient {
  readonly #options: WireOptions;
  readonly #socket: Socket;
  readonly #connected = Promise.withResolvers<void>();
  #pieces: Buffer[] = [];
  #bufferedBytes = 0;
  #neededBytes = 2;
  #packetId = 0;
  bytesReceived = 0;
  isClosed = false;

  private constructor(options: WireOptions) {
    this.#options = options;
    this.#socket = connect({ port: options.port, host: '127.0.0.1', noDelay: true });
    this.#socket.on('data', (piece) => this.#take(piece));
    this.#socket.once('connect', () => this.#socket.write(connectPacket(options)));
    this.#socket.once('error', (error) => this.#connected.reject(error));
    this.#socket.once('close', () => {
      this.isClosed = true;
      this.#connected.reject(new Error(`${options.clientId}: the broker closed the connection`));
    });
    this.#connected.promise.catch(() => undefined);
  }

  static async connect(options: WireOptions): Promise<WireClient> {
    const client = new WireClient(options);
    await client.#connected.promise;
    return client;
  }

  /** At least once. @returns the packet id. */
  publish(topic: string, payload: Buffer | string, options: { retain?: boolean } = {}): number {
    this.#packetId = (this.#packetId % 0xffff) + 1;
    const bytes = typeof payload === 'string' ? Buffer.from(payload) : payload;
    const head = Buffer.concat([text(topic), short(this.#packetId), NO_PROPERTIES]);
    const flags = PUBLISH | QOS1 | (options.retain === true ? RETAIN : 0);
    this.#socket.cork();
    this.#socket.write(Buffer.concat([fixedHeader(flags, head.length + bytes.length), head]));
    this.#socket.write(bytes);
    this.#socket.uncork();
    return this.#packetId;
  }

  subscribe(filter: string): void {
    this.#packetId = (this.#packetId % 0xffff) + 1;
    this.#socket.write(subscribePacket({ filter, packetId: this.#packetId }));
  }

  unsubscribe(filter: string): void {
    this.#packetId = (this.#packetId % 0xffff) + 1;
    this.#send(UNSUBSCRIBE, [short(this.#packetId), NO_PROPERTIES, text(filter)]);
  }

  close(): void {
    this.#socket.destroy();
  }

  #send(firstByte: number, parts: Buffer[]): void {
    const body = Buffer.concat(parts);
    this.#socket.write(Buffer.concat([fixedHeader(firstByte, body.length), body]));
  }

  /** Pieces of a large packet are joined once, when it is complete. */
  #take(piece: Buffer): void {
    this.bytesReceived += piece.length;
    this.#pieces.push(piece);
    this.#bufferedBytes += piece.length;
    if (this.#bufferedBytes < this.#neededBytes) return;
    let bytes = this.#pieces.length === 1 ? piece : Buffer.concat(this.#pieces);
    let needed = packetBytes(bytes);
    while (needed !== undefined && needed <= bytes.length) {
      this.#read(bytes.subarray(0, needed));
      bytes = bytes.subarray(needed);
      needed = packetBytes(bytes);
    }
    this.#pieces = bytes.length === 0 ? [] : [bytes];
    this.#bufferedBytes = bytes.length;
    this.#neededBytes = needed ?? bytes.length + 1;
  }

  #read(packet: Buffer): void {
    const kind = (packet[0] ?? 0) >> 4;
    const { at } = variableInteger(packet, 1);
    if (kind === PACKET.connack) {
      const reason = packet[at + 1] ?? 0;
      if (reason === 0) this.#connected.resolve();
      else this.#connected.reject(new Error(`the broker refused the connection: ${reason}`));
    }
    if (kind === PACKET.puback) this.#options.onTaken?.(packet.readUInt16BE(at));
    if (kind === PACKET.publish) this.#readPublication(packet, at);
  }

  #readPublication(packet: Buffer, at: number): void {
    const topicEnd = at + 2 + packet.readUInt16BE(at);
    const topic = packet.toString('latin1', at + 2, topicEnd);
    const isQos1 = ((packet[0] ?? 0) & QOS1) !== 0;
    const idEnd = topicEnd + (isQos1 ? 2 : 0);
    const properties = variableInteger(packet, idEnd);
    this.#options.onMessage?.(topic, packet.subarray(properties.at + properties.value));
    if (!isQos1) return;
    const id = packet.subarray(topicEnd, idEnd);
    this.#socket.write(Buffer.from([PACKET.puback << 4, 2, id[0] ?? 0, id[1] ?? 0]));
  }
}

/** Section 3.8; at least once unless it says otherwise. */
export function subscribePacket(use: {
  readonly filter: string;
  readonly packetId: number;
  readonly atMostOnce?: boolean;
}): Buffer {
  const qos = Buffer.from([use.atMostOnce === true ? 0 : 1]);
  const body = Buffer.concat([short(use.packetId), NO_PROPERTIES, text(use.filter), qos]);
  return Buffer.concat([fixedHeader(SUBSCRIBE, body.length), body]);
}

/** Section 3.1; no keep-alive, as the simulated devices report all the time. */
export function connectPacket({ clientId, will, receiveMaximum }: WireOptions): Buffer {
  const flags = CLEAN_START | (will === undefined ? 0 : WILL_QOS1_RETAINED);
  const properties =
    receiveMaximum === undefined
      ? NO_PROPERTIES
      : Buffer.concat([Buffer.from([3, 0x21]), short(receiveMaximum)]);
  const parts = [text('MQTT'), Buffer.from([5, flags]), short(0), properties, text(clientId)];
  if (will !== undefined) parts.push(NO_PROPERTIES, text(will.topic), text(will.payload));
  const body = Buffer.concat(parts);
  return Buffer.concat([fixedHeader(CONNECT, body.length), body]);
}

/** Section 2.1, with the length as a variable byte integer (1.5.5). */
function fixedHeader(firstByte: number, lengthBytes: number): Buffer {
  const bytes = [firstByte];
  let rest = lengthBytes;
  do {
    const digit = rest % 128;
    rest = Math.floor(rest / 128);
    bytes.push(rest > 0 ? digit | 0x80 : digit);
  } while (rest > 0);
  return Buffer.from(bytes);
}

/** Length of the packet that begins here, `undefined` when its length is not there yet. */
function packetBytes(bytes: Buffer): number | undefined {
  for (let at = 1; at < Math.min(5, bytes.length); at++) {
    if (((bytes[at] ?? 0) & 0x80) !== 0) continue;
    const { value } = variableInteger(bytes, 1);
    return at + 1 + value;
  }
  return undefined;
}

function variableInteger(bytes: Buffer, start: number): { value: number; at: number } {
  let value = 0;
  let at = start;
  for (let factor = 1; ; factor *= 128) {
    const digit = bytes[at++] ?? 0;
    value += (digit & 0x7f) * factor;
    if ((digit & 0x80) === 0) return { value, at };
  }
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value);
  return Buffer.concat([short(bytes.length), bytes]);
}

function short(value: number): Buffer {
  return Buffer.from([value >> 8, value & 0xff]);
}
