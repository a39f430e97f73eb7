import { connect, type Socket } from 'node:net';
import { Duplex } from 'node:stream';

/** Bytes taken from the socket at a time: a chunk and what its neighbour has begun with. */
const READ_BYTES = 512 * 1024;
/** Smaller packets are copied: lending costs a turn of the loop each. */
const LENT_BYTES_MIN = 16 * 1024;
/** MQTT 5, section 3.3: type 3, with the quality of service in bits 1 and 2. */
const PUBLISH = 0x30;
const TYPE_AND_QOS2 = 0xf4;
/** Section 1.5.5: so many digits of a packet's length at most, after its first byte. */
const LENGTH_DIGITS_MAX = 4;

/**
 * A broker's TCP connection that gives whole packets, each as one buffer. The socket reads into
 * memory that is used again and again: a buffer for each read, joined to another for each packet,
 * keeps the garbage collector busier than everything else a download does.
 *
 * A large publication lies in that memory until {@link release} is called; nothing is read
 * meanwhile.
 */
export class PacketStream extends Duplex {
  readonly #socket: Socket;
  readonly #packetBytesMax: number;
  readonly #read = Buffer.allocUnsafeSlow(READ_BYTES);
  /** Bytes of `#read` from `#at` to `#end` have not been handed out. */
  #at = 0;
  #end = 0;
  /** A packet that began in an earlier read. */
  #joined = Buffer.alloc(0);
  #joinedBytes = 0;
  /** A publication in `#read` or `#joined` that somebody still looks at. */
  #lent: Buffer | undefined;
  #isWanted = true;

  constructor(use: { host: string; port: number; packetBytesMax: number }) {
    super({ decodeStrings: true });
    this.#packetBytesMax = use.packetBytesMax;
    const callback = (size: number): boolean => {
      this.#at = 0;
      this.#end = size;
      return this.#handOut();
    };
    const onread = { buffer: this.#read, callback };
    this.#socket = connect({ host: use.host, port: use.port, noDelay: true, onread });
    this.#socket.on('error', (error) => this.destroy(error));
    this.#socket.on('end', () => this.push(null));
    this.#socket.on('close', () => this.destroy());
  }

  /** A publication's payload is not looked at any more; those that were copied do not matter. */
  release(payload: Uint8Array): void {
    if (this.#lent?.buffer !== payload.buffer) return;
    this.#lent = undefined;
    this.#goOn();
  }

  override _read(): void {
    if (this.#isWanted) return;
    this.#isWanted = true;
    this.#goOn();
  }

  override _write(bytes: Buffer, _: BufferEncoding, done: (error?: Error | null) => void): void {
    this.#socket.write(bytes, done);
  }

  /** MQTT.js writes a packet field by field. */
  override _writev(
    writes: readonly { readonly chunk: Buffer }[],
    done: (error?: Error | null) => void,
  ): void {
    this.#socket.write(Buffer.concat(writes.map(({ chunk }) => chunk)), done);
  }

  override _final(done: () => void): void {
    this.#socket.end(done);
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  #goOn(): void {
    if (!this.destroyed && this.#handOut()) this.#socket.resume();
  }

  /** @returns true when everything read has been handed out, so that more can be read. */
  #handOut(): boolean {
    while (this.#lent === undefined && this.#isWanted && !this.destroyed) {
      const packet = this.#nextPacket();
      if (packet === undefined) return !this.destroyed;
      this.#lent = isLendable(packet) ? packet : undefined;
      this.#isWanted = this.push(this.#lent ?? Buffer.from(packet));
    }
    return false;
  }

  #nextPacket(): Buffer | undefined {
    if (this.#joinedBytes > 0) return this.#nextJoined();
    const rest = this.#read.subarray(this.#at, this.#end);
    const sizeBytes = this.#sizeOf(rest);
    if (sizeBytes !== undefined && sizeBytes <= rest.length) {
      this.#at += sizeBytes;
      return rest.subarray(0, sizeBytes);
    }
    if (!this.destroyed) this.#join(rest.length, sizeBytes ?? rest.length);
    return undefined;
  }

  /** Adds what was read to the packet that began before it. */
  #nextJoined(): Buffer | undefined {
    while (this.#at < this.#end) {
      const sizeBytes = this.#sizeOf(this.#joined.subarray(0, this.#joinedBytes));
      if (this.destroyed) return undefined;
      // One byte at a time while not even the length is there.
      const neededBytes = sizeBytes ?? this.#joinedBytes + 1;
      const lackingBytes = neededBytes - this.#joinedBytes;
      this.#join(Math.min(lackingBytes, this.#end - this.#at), neededBytes);
      if (sizeBytes === undefined || this.#joinedBytes < sizeBytes) continue;
      this.#joinedBytes = 0;
      return this.#joined.subarray(0, sizeBytes);
    }
    return undefined;
  }

  #join(moreBytes: number, neededBytes: number): void {
    if (this.#joined.length < neededBytes) {
      const larger = Buffer.allocUnsafeSlow(neededBytes);
      this.#joined.copy(larger, 0, 0, this.#joinedBytes);
      this.#joined = larger;
    }
    this.#read.copy(this.#joined, this.#joinedBytes, this.#at, this.#at + moreBytes);
    this.#joinedBytes += moreBytes;
    this.#at += moreBytes;
  }

  /** `undefined` while not enough is there to tell, or when the packet is too large. */
  #sizeOf(bytes: Buffer): number | undefined {
    const sizeBytes = packetBytes(bytes);
    if (sizeBytes === undefined || sizeBytes <= this.#packetBytesMax) return sizeBytes;
    const limit = `of at most ${this.#packetBytesMax}`;
    this.destroy(new Error(`the broker sent a packet of ${sizeBytes} bytes instead ${limit}`));
    return undefined;
  }
}

/** Only who is given a publication at most once or at least once says when it is done with. */
function isLendable(packet: Buffer): boolean {
  return packet.length >= LENT_BYTES_MIN && ((packet[0] ?? 0) & TYPE_AND_QOS2) === PUBLISH;
}

/** Size of the packet that begins here; `undefined` while its length is not there (2.1.4). */
function packetBytes(bytes: Buffer): number | undefined {
  let length = 0;
  for (let digit = 0; digit < LENGTH_DIGITS_MAX; digit++) {
    const byte = bytes[1 + digit];
    if (byte === undefined) return undefined;
    length += (byte & 0x7f) * 128 ** digit;
    if (byte < 0x80) return 2 + digit + length;
  }
  // A fifth digit is an error of the broker's; MQTT.js closes the connection over it.
  return 2 + LENGTH_DIGITS_MAX + length;
}
