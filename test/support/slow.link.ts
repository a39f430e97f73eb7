import { once } from 'node:events';
import { connect, createServer, type Server, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const PIECE_BYTES = 16 * 1024;

/** A TCP link to a server on loopback that is slow towards the client, and counts. */
export interface SlowLink {
  readonly url: string;
  /** Bytes that were handed to the client so far, over all of its connections. */
  readonly bytesToClient: number;
  /** From now on the link is as fast as it gets. */
  unlimit(): void;
  close(): Promise<void>;
}

/**
 * Puts a link of so many bytes a second in front of a broker. A client behind it is in the middle of
 * a download for as long as a test needs, on any machine.
 */
export async function slowLink(options: {
  readonly toPort: number;
  readonly bytesPerSecond: number;
  /** Of a link that was closed and is there again. Default: any free one. */
  readonly port?: number;
}): Promise<SlowLink> {
  const state = { bytesToClient: 0, bytesPerSecond: options.bytesPerSecond };
  const sockets = new Set<Socket>();
  const server: Server = createServer({ allowHalfOpen: false }, (client) => {
    const upstream = connect(options.toPort, '127.0.0.1');
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => {
        sockets.delete(socket);
        client.destroy();
        upstream.destroy();
      });
    }
    client.pipe(upstream);
    void carry({ from: upstream, to: client, state });
  });
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  return {
    url: `mqtt://127.0.0.1:${port}`,
    get bytesToClient() {
      return state.bytesToClient;
    },
    unlimit: () => {
      state.bytesPerSecond = Number.POSITIVE_INFINITY;
    },
    close: async () => {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

async function carry(link: {
  readonly from: Socket;
  readonly to: Socket;
  readonly state: { bytesToClient: number; readonly bytesPerSecond: number };
}): Promise<void> {
  const { from, to, state } = link;
  try {
    for await (const data of from) {
      for (let at = 0; at < data.length; at += PIECE_BYTES) {
        const piece: Buffer = data.subarray(at, at + PIECE_BYTES);
        if (to.destroyed) return;
        state.bytesToClient += piece.length;
        if (!to.write(piece)) await Promise.race([once(to, 'drain'), once(to, 'close')]);
        const pauseMs = (1000 * piece.length) / state.bytesPerSecond;
        if (pauseMs > 0) await sleep(pauseMs);
      }
    }
  } catch {
    // A cut connection is what this link is for; both ends see it by themselves.
  }
}
