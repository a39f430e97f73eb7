import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import { setTimeout as sleep } from 'node:timers/promises';

const PIECE_BYTES = 16 * 1024;

/** How a link treats what is sent over it, in both directions. */
export type LinkCondition =
  | { readonly kind: 'Clear' }
  | { readonly kind: 'Slow'; readonly delayMs: number; readonly bytesPerSecond: number }
  /** Nothing arrives, nobody is told: neither data nor the end of a connection gets through. */
  | { readonly kind: 'Silent' };

/** A TCP link to a server on loopback that can be made bad, as networks are. */
export interface FaultyLink {
  readonly port: number;
  /** Bytes handed to clients so far, over all connections. */
  readonly bytesToClient: number;
  /** Connections taken so far. */
  readonly accepted: number;
  set(condition: LinkCondition): void;
  /** Ends every connection with a reset; new ones are taken. @returns how many there were. */
  reset(): number;
  /**
   * What stands now carries nothing any more and nobody is told, as after a router lost its memory;
   * new connections are good. @returns how many there were.
   */
  abandon(): number;
  close(): Promise<void>;
}

interface LinkState {
  condition: LinkCondition;
  /** Settles when the condition changes. */
  changed: PromiseWithResolvers<void>;
  bytesToClient: number;
  accepted: number;
  readonly connections: Set<Connection>;
}

/** Two sockets, and whether what one says still reaches the other. */
interface Connection {
  readonly sockets: Socket[];
  isAbandoned: boolean;
}

/**
 * Puts a userspace link in front of a server. It needs no rights and no kernel module; what it
 * cannot do is lose single packets, because TCP ends in it.
 */
export async function faultyLink(options: { readonly toPort: number }): Promise<FaultyLink> {
  const state: LinkState = {
    condition: { kind: 'Clear' },
    changed: Promise.withResolvers(),
    bytesToClient: 0,
    accepted: 0,
    connections: new Set(),
  };
  const { connections } = state;
  const server = createServer({ allowHalfOpen: false }, (client) => {
    void join({ client, toPort: options.toPort, state });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const set = (condition: LinkCondition): void => {
    state.condition = condition;
    state.changed.resolve();
    state.changed = Promise.withResolvers();
  };
  return {
    port: typeof address === 'object' && address !== null ? address.port : 0,
    get bytesToClient() {
      return state.bytesToClient;
    },
    get accepted() {
      return state.accepted;
    },
    set,
    reset: () => {
      for (const { sockets } of connections) for (const s of sockets) s.resetAndDestroy();
      return connections.size;
    },
    abandon: () => {
      for (const connection of connections) connection.isAbandoned = true;
      return connections.size;
    },
    close: async () => {
      for (const connection of connections) {
        connection.isAbandoned = false;
        for (const socket of connection.sockets) socket.destroy();
      }
      set({ kind: 'Clear' });
      server.close();
      await once(server, 'close');
    },
  };
}

async function join(use: { client: Socket; toPort: number; state: LinkState }): Promise<void> {
  const { client, toPort, state } = use;
  state.accepted++;
  const connection: Connection = { sockets: [], isAbandoned: false };
  state.connections.add(connection);
  keep(client, connection);
  // The client's own kernel has taken the connection; whether anybody is there it learns later.
  await untilHeard(state, connection);
  if (!client.destroyed) {
    const upstream = connect(toPort, '127.0.0.1');
    keep(upstream, connection);
    const onBytes = (bytes: number) => {
      state.bytesToClient += bytes;
    };
    const ways = [
      { from: client, to: upstream },
      { from: upstream, to: client, onBytes },
    ];
    await Promise.all(ways.map((way) => carry({ ...way, state, connection })));
  }
  state.connections.delete(connection);
}

function keep(socket: Socket, connection: Connection): void {
  connection.sockets.push(socket);
  socket.on('error', () => {});
}

/** Carries one direction until its source ends, then ends the other side too. */
async function carry(way: {
  readonly from: Socket;
  readonly to: Socket;
  readonly state: LinkState;
  readonly connection: Connection;
  readonly onBytes?: (bytes: number) => void;
}): Promise<void> {
  const { from, to, state, connection, onBytes } = way;
  let delivered: Promise<void> = Promise.resolve();
  try {
    for await (const data of from) {
      for (let at = 0; at < data.length; at += PIECE_BYTES) {
        const piece: Buffer = data.subarray(at, at + PIECE_BYTES);
        await untilHeard(state, connection);
        const { condition } = state;
        const delayMs = condition.kind === 'Slow' ? condition.delayMs : 0;
        if (condition.kind === 'Slow')
          await sleep((1000 * piece.length) / condition.bytesPerSecond);
        const dueMs = performance.now() + delayMs;
        onBytes?.(piece.length);
        delivered = delivered.then(() => deliver({ to, piece, dueMs }));
        if (delayMs === 0) await delivered;
      }
    }
  } catch {
    // A cut connection is what this link is for; both ends see it by themselves.
  }
  await delivered;
  await untilHeard(state, connection);
  to.destroySoon();
}

async function deliver(of: { to: Socket; piece: Buffer; dueMs: number }): Promise<void> {
  const { to, piece, dueMs } = of;
  const waitMs = dueMs - performance.now();
  if (waitMs > 0) await sleep(waitMs);
  if (to.destroyed || to.write(piece)) return;
  await Promise.race([once(to, 'drain'), once(to, 'close')]).catch(() => undefined);
}

async function untilHeard(state: LinkState, connection: Connection): Promise<void> {
  while (connection.isAbandoned || state.condition.kind === 'Silent') await state.changed.promise;
}
