import type { Writable } from 'node:stream';

/** PUBACK of MQTT 5 (section 3.4) with reason code 0, which may be left out. */
const PUBACK = { firstByte: 0x40, remainingLength: 2 } as const;

interface Deferred {
  readonly messageId: number;
  readonly stream: Writable;
  isDone: boolean;
}

/**
 * Acknowledges messages when they are dealt with, in the order in which they came (MQTT 5,
 * section 4.6). MQTT.js would read no further message until the one before is acknowledged.
 */
export class Acknowledgements {
  readonly #stream: () => Writable;
  #deferred: Deferred[] = [];
  #isScheduled = false;

  /** @param stream of the connection as it is now; an old one takes no acknowledgement any more. */
  constructor(stream: () => Writable) {
    this.#stream = stream;
  }

  /** @param work never rejects. */
  defer(messageId: number, work: Promise<unknown>): void {
    const entry: Deferred = { messageId, stream: this.#stream(), isDone: false };
    this.#deferred.push(entry);
    void work.then(() => {
      entry.isDone = true;
      this.#schedule();
    });
  }

  /** What is settled in one turn of the event loop goes out in one write. */
  #schedule(): void {
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      this.#send();
    });
  }

  #send(): void {
    const stream = this.#stream();
    const current = this.#deferred.filter((entry) => entry.stream === stream);
    const open = current.findIndex((entry) => !entry.isDone);
    const settled = open === -1 ? current : current.slice(0, open);
    this.#deferred = current.slice(settled.length);
    if (settled.length === 0 || stream.destroyed) return;
    const { firstByte, remainingLength } = PUBACK;
    const packets = settled.map(({ messageId }) =>
      Buffer.from([firstByte, remainingLength, messageId >> 8, messageId & 0xff]),
    );
    stream.write(Buffer.concat(packets));
  }
}
