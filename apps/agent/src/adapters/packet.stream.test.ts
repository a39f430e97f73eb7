import { once } from 'node:events';
import { type AddressInfo, createServer, type Socket } from 'node:net';
import { setImmediate as turn } from 'node:timers/promises';
import { expect, it, onTestFinished } from 'vitest';
import { PacketStream } from './packet.stream.ts';

const PACKET_BYTES_MAX = 2 * 1024 * 1024;
const PUBLISH_QOS1 = 0x32;
const PUBLISH_QOS2 = 0x34;

async function connected(): Promise<{ stream: PacketStream; broker: Socket }> {
  const server = createServer({ noDelay: true }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const stream = new PacketStream({ host: '127.0.0.1', port, packetBytesMax: PACKET_BYTES_MAX });
  const [broker] = (await once(server, 'connection')) as [Socket];
  onTestFinished(() => {
    stream.destroy();
    broker.destroy();
    server.close();
  });
  return { stream, broker };
}

/** A packet as a broker sends it, whose body is all of one byte. */
function packet(use: { first: number; sizeBytes: number; fill: number }): Buffer {
  const length: number[] = [];
  for (let rest = use.sizeBytes; ; rest >>= 7) {
    length.push(rest > 127 ? (rest & 127) | 128 : rest);
    if (rest <= 127) break;
  }
  return Buffer.concat([
    Buffer.from([use.first, ...length]),
    Buffer.alloc(use.sizeBytes, use.fill),
  ]);
}

it.each([1, 2, 3, 4099, 300_001, 5_000_000])(
  'gives whole packets however %i bytes at a time cut them',
  async (pieceBytes) => {
    const { stream, broker } = await connected();
    const large = pieceBytes < 100 ? [20_000] : [20_000, 262_200, 262_150, 1_500_000, 600_000];
    const sizes = [0, 2, 127, 128, 5000, ...large, 16_383, 16_384, 3, 30_000, 0];
    const sent = sizes.map((sizeBytes, i) =>
      packet({ first: PUBLISH_QOS1, sizeBytes, fill: i + 1 }),
    );
    const got: Buffer[] = [];
    stream.on('data', (bytes: Buffer) => {
      // As the bus does: looked at a moment later, then let go.
      void turn().then(() => {
        got.push(Buffer.from(bytes));
        stream.release(bytes);
      });
    });
    const all = Buffer.concat(sent);
    for (let at = 0; at < all.length; at += pieceBytes) {
      broker.write(all.subarray(at, at + pieceBytes));
      if (pieceBytes > 1000 || at % 1000 === 0) await turn();
    }
    await expect.poll(() => got.length, { timeout: 10_000 }).toBe(sent.length);
    expect(got.every((bytes, i) => bytes.equals(sent[i] ?? Buffer.alloc(0)))).toBe(true);
  },
);

it('keeps a large publication as it is until that one is released, whatever else is', async () => {
  const { stream, broker } = await connected();
  const got: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => got.push(bytes));
  const small = packet({ first: PUBLISH_QOS1, sizeBytes: 100, fill: 1 });
  const large = packet({ first: PUBLISH_QOS1, sizeBytes: 300_000, fill: 2 });
  const next = packet({ first: PUBLISH_QOS1, sizeBytes: 300_000, fill: 3 });
  broker.write(Buffer.concat([small, large, next, next]));
  await expect.poll(() => got.length).toBe(2);
  const [first = small, second = small] = got;
  stream.release(first);
  for (let i = 0; i < 20; i++) await turn();
  expect(got.length).toBe(2);
  expect(second.equals(large)).toBe(true);
  stream.release(second);
  await expect.poll(() => got.length).toBe(3);
  expect(got[2]?.equals(next)).toBe(true);
});

it('waits for nobody with what it copies: small packets, and such as are delivered later', async () => {
  const { stream, broker } = await connected();
  const got: Buffer[] = [];
  stream.on('data', (bytes: Buffer) => got.push(bytes));
  const sent = [
    packet({ first: PUBLISH_QOS1, sizeBytes: 50, fill: 1 }),
    packet({ first: PUBLISH_QOS2, sizeBytes: 400_000, fill: 2 }),
    packet({ first: 0xd0, sizeBytes: 0, fill: 0 }),
    packet({ first: PUBLISH_QOS2, sizeBytes: 400_000, fill: 3 }),
  ];
  broker.write(Buffer.concat(sent));
  await expect.poll(() => got.length).toBe(sent.length);
  expect(got.every((bytes, i) => bytes.equals(sent[i] ?? Buffer.alloc(0)))).toBe(true);
});

it('closes the connection over a packet that is larger than any may be', async () => {
  const { stream, broker } = await connected();
  broker.on('error', () => undefined);
  const failed = once(stream, 'error');
  const head = packet({ first: PUBLISH_QOS1, sizeBytes: PACKET_BYTES_MAX, fill: 0 });
  broker.write(head.subarray(0, 100));
  expect(String((await failed)[0])).toContain(`${head.length} bytes instead of at most`);
  expect(stream.destroyed).toBe(true);
});

it('writes what is given to it piece by piece, in order', async () => {
  const { stream, broker } = await connected();
  const got: Buffer[] = [];
  broker.on('data', (bytes: Buffer) => got.push(bytes));
  stream.cork();
  for (const text of ['one ', 'packet ', 'in pieces']) stream.write(text);
  stream.uncork();
  stream.end(' and the end');
  await once(broker, 'end');
  expect(Buffer.concat(got).toString()).toBe('one packet in pieces and the end');
});

it('ends with the connection', async () => {
  const { stream, broker } = await connected();
  stream.resume();
  broker.end();
  await once(stream, 'close');
  expect(stream.destroyed).toBe(true);
});
