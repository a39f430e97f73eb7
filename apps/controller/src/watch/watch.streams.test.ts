import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { Database } from '../adapters/db.ts';
import { Log } from '../adapters/log.ts';
import { Metrics } from '../adapters/metrics.ts';
import { readConfig } from '../config.ts';
import type { HttpResponse } from '../http/http.types.ts';
import { ChangeFeed } from './change.feed.ts';
import type { Change } from './change.ts';
import { VersionStore } from './version.store.ts';
import type { WatchSubject } from './watch.messages.ts';
import { WatchStreams } from './watch.streams.ts';

const OBJECT_BYTES = 64 * 1024;
const PAGES = 4000;

/** More than the sockets between can hold: each page is one large object. */
function endlessSubject(read: { pages: number }): WatchSubject {
  const text = 'x'.repeat(OBJECT_BYTES);
  const page = (number: number): Change => {
    const object = { metadata: { name: `d${number}` }, text };
    return { key: `d${number}`, version: 0, createdVersion: 0, isDeleted: false, object };
  };
  return {
    source: { kind: 'devices', changes: async () => [] },
    keysAt: async () => [],
    list: async (token = '0') => {
      read.pages++;
      const next = Number(token) + 1;
      return {
        items: [page(next)],
        ...(next < PAGES ? { continue: String(next) } : {}),
      };
    },
  };
}

describe('WatchStreams', () => {
  let database: Database;
  let server: Server;
  let streams: WatchStreams;
  let sockets: Socket[];
  let read: { pages: number };

  beforeAll(async () => {
    database = await Database.inMemory(new Log('error'));
  });
  afterAll(() => database.close());
  beforeEach(async () => {
    read = { pages: 0 };
    sockets = [];
    const config = readConfig({ WATCH_STALL_SECONDS: '1' });
    streams = new WatchStreams(
      new ChangeFeed(new VersionStore(database)),
      config,
      new Log('error'),
      new Metrics(),
    );
    server = createServer((_, answer) => {
      const response: HttpResponse = Object.assign(Object.create(answer), {
        once: answer.once.bind(answer),
        destroy: () => void answer.destroy(),
        set: () => response,
      });
      void streams
        .open(endlessSubject(read), { resourceVersion: undefined, response })
        .then((file) => file.getStream().pipe(answer));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
  });
  afterEach(async () => {
    for (const socket of sockets) socket.destroy();
    await new Promise((resolve) => server.close(resolve));
  });

  async function client(): Promise<Socket> {
    const { port } = server.address() as AddressInfo;
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    await once(socket, 'connect');
    socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
    return socket;
  }

  it('cuts a client that takes nothing, and reads nothing ahead for it', async () => {
    const [answer] = [once(server, 'request')];
    await client();
    const [, response] = await answer;
    await once(response, 'close');
    // A few megabytes fill the buffers of the sockets; the rest was never read.
    expect(read.pages).toBeGreaterThan(0);
    expect(read.pages).toBeLessThan(PAGES / 4);
    const { pages } = read;
    await new Promise((resolve) => setTimeout(resolve, 300));
    expect(read.pages).toBe(pages);
  });

  it('serves a client that takes its time in small steps', async () => {
    const socket = await client();
    let bytes = 0;
    while (bytes < 300 * OBJECT_BYTES) {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) await once(socket, 'readable');
      else bytes += chunk.length;
    }
    expect(socket.destroyed).toBe(false);
  });

  it('is full at some point, and has room again', async () => {
    const open = () => {
      let close = () => undefined as unknown;
      const response = {
        once: (_: 'close', listener: () => void) => {
          close = listener;
        },
        set: () => undefined,
      } as unknown as HttpResponse;
      const subject = endlessSubject(read);
      return streams.open(subject, { resourceVersion: undefined, response }).then(() => close);
    };
    const closers = await Promise.all(Array.from({ length: 1000 }, open));
    await expect(open()).rejects.toMatchObject({ status: 503, reason: 'TooManyWatches' });
    closers[0]?.();
    await open();
  });
});
