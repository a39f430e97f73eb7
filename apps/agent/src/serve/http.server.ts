import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { AgentError, systemCode } from '../errors.ts';
import type { Log } from '../log.ts';
import { apiRoutes } from './api.routes.ts';
import { allowedMethods, findRoute, type Route } from './http.routes.ts';
import { type ApiError, badRequest, toApiError, unavailable } from './openai.error.ts';
import { type RequestScope, sendJson } from './request.scope.ts';
import type { TextContext } from './text.handler.ts';

const RETRY_AFTER_SECONDS = '1';
/** Status in metrics of a request whose client left first, as nginx counts it. */
const CLIENT_GONE = 499;
/** For answers that say why they end, after the time to finish is over. */
const FAREWELL_MS = 500;

export interface HttpTimeouts {
  /** For the head of a request. */
  readonly headMs: number;
  /** For a whole request, its body included. */
  readonly requestMs: number;
  /** Between two requests on one connection. */
  readonly idleMs: number;
  /** Without the client taking anything of an answer. */
  readonly writeStallMs: number;
}

export const HTTP_TIMEOUTS: HttpTimeouts = {
  headMs: 10_000,
  requestMs: 60_000,
  idleMs: 15_000,
  writeStallMs: 60_000,
};

export interface HttpServerOptions extends Omit<TextContext, 'writeStallMs'> {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  /** Connections at the same time; more are closed at once. */
  readonly connections: number;
  readonly log: Log;
  readonly timeouts?: HttpTimeouts;
}

/**
 * Serves the OpenAI-compatible API.
 * @throws AgentError `PortUnavailable` naming address and port.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const server = new HttpServer(options);
  await server.listen();
  return server;
}

export class HttpServer {
  readonly #options: HttpServerOptions;
  readonly #server: Server;
  readonly #routes: readonly Route[];
  readonly #stallMs: number;
  readonly #running = new Set<AbortController>();
  #draining = false;

  constructor(options: HttpServerOptions) {
    this.#options = options;
    const timeouts = options.timeouts ?? HTTP_TIMEOUTS;
    const { writeStallMs } = timeouts;
    this.#stallMs = writeStallMs;
    this.#routes = apiRoutes({ ...options, writeStallMs, isDraining: () => this.#draining });
    this.#server = createServer({
      headersTimeout: timeouts.headMs,
      requestTimeout: timeouts.requestMs,
      keepAliveTimeout: timeouts.idleMs,
      connectionsCheckingInterval: Math.min(5000, timeouts.headMs),
    });
    this.#server.maxConnections = options.connections;
    this.#server.on('request', (request, response) => void this.#answer(request, response));
    this.#server.on('clientError', refuseBadly);
  }

  async listen(): Promise<void> {
    const { host, port } = this.#options;
    this.#server.listen(port, host);
    try {
      await once(this.#server, 'listening');
    } catch (error) {
      const reason = systemCode(error) ?? String(error);
      const message = `the HTTP API cannot listen on ${host}:${port} (${reason}); set HOST or PORT`;
      throw new AgentError('PortUnavailable', message);
    }
  }

  /** Where clients reach the API, e.g. `http://127.0.0.1:8081`. */
  get isListening(): boolean {
    return this.#server.listening;
  }

  get endpoint(): string {
    const { host, port } = this.#options;
    const address = this.#server.address();
    const actual = typeof address === 'object' && address !== null ? address.port : port;
    return `http://${host.includes(':') ? `[${host}]` : host}:${actual}`;
  }

  /** Takes no more requests; running ones get so long to finish, then are told why they end. */
  async close(graceMs: number): Promise<void> {
    this.#draining = true;
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeIdleConnections();
    const ending = setTimeout(() => {
      const reason = unavailable('the agent is ending; ask again later', 'shutting_down');
      for (const running of this.#running) running.abort(reason);
    }, graceMs);
    const cutting = setTimeout(() => this.#server.closeAllConnections(), graceMs + FAREWELL_MS);
    await closed;
    clearTimeout(ending);
    clearTimeout(cutting);
  }

  async #answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const arrivedMs = performance.now();
    const ending = new AbortController();
    this.#running.add(ending);
    const { signal } = ending;
    const id = randomUUID();
    const method = request.method ?? '';
    let route = 'other';
    response.once('close', () => {
      ending.abort(new Error('the client has gone'));
      this.#running.delete(ending);
      // A connection that was busy when the server closed is kept open for a next request.
      if (this.#draining) setImmediate(() => this.#server.closeIdleConnections());
      const code = response.writableFinished ? response.statusCode : CLIENT_GONE;
      const seconds = (performance.now() - arrivedMs) / 1000;
      this.#options.metrics.requestEnded({ route, method: countedMethod(method), code, seconds });
      this.#options.log.debug(`${method} ${route} ${code} ${seconds.toFixed(3)} s ${id}`);
    });
    response.setHeader('x-request-id', id);
    if (this.#draining) response.shouldKeepAlive = false;
    try {
      const path = (request.url ?? '/').split('?')[0] ?? '/';
      if (method === 'OPTIONS') return this.#sayOptions(response, path);
      const found = findRoute(this.#routes, { method, path });
      route = found.route.path;
      const { parameter } = found;
      if (this.#draining && route.startsWith('/v1/')) throw draining();
      await found.route.handle({ id, request, response, signal, arrivedMs, parameter });
    } catch (error) {
      this.#refuse({ id, request, response, signal, arrivedMs, parameter: '' }, error);
    }
    // The answer is written; a client that does not take it must not keep the connection.
    if (!response.writableFinished) response.setTimeout(this.#stallMs, () => response.destroy());
  }

  #sayOptions(response: ServerResponse, path: string): void {
    const allowed = path === '*' ? ['GET', 'HEAD', 'POST'] : allowedMethods(this.#routes, path);
    const status = allowed.length === 0 ? 404 : 204;
    response.writeHead(status, allowed.length === 0 ? {} : { allow: allowed.join(', ') }).end();
  }

  #refuse(scope: RequestScope, error: unknown): void {
    const { request, response, signal, id } = scope;
    // A client that leaves in the middle of its request is not there to be told.
    if (response.destroyed || request.errored !== null) {
      response.destroy();
      return;
    }
    const shaped = toApiError(signal.aborted ? signal.reason : error);
    if (shaped.status >= 500 && shaped.status !== 503) {
      this.#options.log.error(`HTTP ${id}: ${shaped.message}`);
    }
    if (response.headersSent) {
      response.destroy();
      return;
    }
    // The rest of a body that was not read would be read for nothing.
    if (!request.complete) response.shouldKeepAlive = false;
    this.#setHeaders(scope, shaped);
    sendJson(response, shaped.status, shaped.body());
  }

  #setHeaders({ request, response }: RequestScope, { status }: ApiError): void {
    if (status === 429 || status === 503) response.setHeader('retry-after', RETRY_AFTER_SECONDS);
    if (status === 405) {
      const path = (request.url ?? '/').split('?')[0] ?? '/';
      response.setHeader('allow', allowedMethods(this.#routes, path).join(', '));
    }
  }
}

function draining(): ApiError {
  return unavailable('the agent is ending; ask again later', 'shutting_down');
}

/** Methods that anyone may make up must not make up time series. */
function countedMethod(method: string): string {
  return ['GET', 'HEAD', 'POST', 'OPTIONS', 'PUT', 'DELETE', 'PATCH'].includes(method)
    ? method
    : 'other';
}

const STATUS_OF_CODE: Readonly<Record<string, string>> = {
  HPE_HEADER_OVERFLOW: '431 Request Header Fields Too Large',
  ERR_HTTP_REQUEST_TIMEOUT: '408 Request Timeout',
};

/** Answers what is no HTTP request, or did not come in time. */
function refuseBadly(error: Error, socket: Socket): void {
  const code = systemCode(error) ?? '';
  if (!socket.writable || code === 'ECONNRESET') {
    socket.destroy();
    return;
  }
  const status = STATUS_OF_CODE[code] ?? '400 Bad Request';
  const body = JSON.stringify(badRequest(`the request cannot be read: ${status}`).body());
  socket.end(
    `HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-type: application/json\r\n` +
      `content-length: ${Buffer.byteLength(body)}\r\n\r\n${body}`,
  );
}
