import { mkdtemp, open, rm } from 'node:fs/promises';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { connectPacket, subscribePacket, WireClient } from './mqtt.wire.ts';

const MESSAGES = 100;
const MESSAGE_BYTES = 256 * 1024;
const UNDER_WAY_BYTES = 5e8;
const READ_BYTES = 256 * 1024;
const DISK_BYTES = 1024 * 1024 * 1024;
/** As much as an agent writes between two syncs. */
const SYNC_BYTES = 8 * 1024 * 1024;

/**
 * One publisher, subscribers that only count bytes, at most once, so that they need not even
 * acknowledge: what the broker can hand out at most, in bytes per second.
 */
export async function brokerEgress(port: number, subscribers: number): Promise<number> {
  const count = { bytes: 0 };
  const sockets = Array.from({ length: subscribers }, (_, i) =>
    countingSubscriber({ port, clientId: `egress-${i}`, filter: 'egress/+', count }),
  );
  await sleep(1000);
  let taken = 0;
  const publisher = await WireClient.connect({
    port,
    clientId: 'egress',
    onTaken: () => {
      taken++;
    },
  });
  const message = Buffer.alloc(MESSAGE_BYTES, 7);
  const expectedBytes = MESSAGES * message.length * subscribers;
  count.bytes = 0;
  const startMs = performance.now();
  for (let sent = 0; count.bytes < expectedBytes; ) {
    // So few under way that the broker queues nothing and drops nothing.
    const underWayBytes = sent * message.length * subscribers - count.bytes;
    const isRoom = sent - taken < 8 && underWayBytes < UNDER_WAY_BYTES;
    if (sent < MESSAGES && isRoom) publisher.publish(`egress/${sent++}`, message);
    else await sleep(1);
  }
  const seconds = (performance.now() - startMs) / 1000;
  publisher.close();
  for (const socket of sockets) socket.destroy();
  return Math.round(expectedBytes / seconds);
}

function countingSubscriber(use: {
  port: number;
  clientId: string;
  filter: string;
  count: { bytes: number };
}): Socket {
  const { port, clientId, filter, count } = use;
  const onread = {
    buffer: Buffer.allocUnsafe(READ_BYTES),
    callback: (size: number) => {
      count.bytes += size;
      return true;
    },
  };
  const socket = connect({ port, host: '127.0.0.1', onread });
  socket.write(connectPacket({ port, clientId }));
  socket.write(subscribePacket({ filter, packetId: 1, atMostOnce: true }));
  return socket;
}

/** What the disk takes that all agents share here, synced as they do, in bytes per second. */
export async function diskRate(): Promise<number> {
  const folder = await mkdtemp(join(tmpdir(), 'entrofleet-disk-rate-'));
  const file = await open(join(folder, 'bytes'), 'w');
  const bytes = Buffer.alloc(SYNC_BYTES, 7);
  const startMs = performance.now();
  for (let at = 0; at < DISK_BYTES; at += bytes.length) {
    await file.write(bytes, 0, bytes.length, at);
    await file.datasync();
  }
  const seconds = (performance.now() - startMs) / 1000;
  await file.close();
  await rm(folder, { recursive: true });
  return Math.round(DISK_BYTES / seconds);
}
