import { once } from 'node:events';
import { connect, createServer } from 'node:net';

const given = new Set<number>();

/** A TCP port that is free on 127.0.0.1 and that this process was not given before. */
export async function freePort(): Promise<number> {
  for (;;) {
    const server = createServer().listen(0, '127.0.0.1');
    await once(server, 'listening');
    const address = server.address();
    server.close();
    await once(server, 'close');
    if (address === null || typeof address === 'string' || given.has(address.port)) continue;
    given.add(address.port);
    return address.port;
  }
}

/** True when something accepts TCP connections on 127.0.0.1:`port`. */
export async function accepts(port: number): Promise<boolean> {
  const socket = connect(port, '127.0.0.1');
  try {
    await once(socket, 'connect');
    return true;
  } catch {
    return false;
  } finally {
    socket.destroy();
  }
}

/** Sends raw bytes to 127.0.0.1:`port` and gives the first piece of the answer, if one comes. */
export async function ask(port: number, request: string): Promise<string | undefined> {
  const socket = connect(port, '127.0.0.1');
  try {
    socket.write(request);
    const [answer] = await once(socket, 'data', { signal: AbortSignal.timeout(5000) });
    return String(answer);
  } catch {
    return undefined;
  } finally {
    socket.destroy();
  }
}
