import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { AgentError, systemCode } from '../errors.ts';
import type { Log } from '../log.ts';
import { answerCompletion, type CompletionContext } from './completion.handler.ts';
import { parseCompletionRequest } from './completion.request.ts';
import { ApiError, badRequest, toApiError } from './openai.error.ts';
import { servedName } from './served.model.ts';

const BODY_BYTES_MAX = 1024 * 1024;
const RETRY_AFTER_SECONDS = '1';

export interface HttpServerOptions extends CompletionContext {
  readonly host: string;
  /** 0: any free port. */
  readonly port: number;
  readonly log: Log;
}

export interface HttpServer {
  /** Where clients reach the API, e.g. `http://127.0.0.1:8081`. */
  readonly endpoint: string;
  /** Takes no more requests; running ones get so long to finish. */
  close(graceMs: number): Promise<void>;
}

type Handler = (
  options: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
) => Promise<void> | void;

const ROUTES: Readonly<Record<string, Handler>> = {
  'GET /healthz': health,
  'GET /health': health,
  'GET /readyz': ready,
  'GET /v1/models': listModels,
  'POST /v1/completions': complete,
};

/**
 * Serves the OpenAI-compatible API.
 * @throws AgentError `PortUnavailable` naming address and port.
 */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { host, port } = options;
  const server = createServer((request, response) => void answer(options, request, response));
  server.listen(port, host);
  try {
    await once(server, 'listening');
  } catch (error) {
    const reason = systemCode(error) ?? String(error);
    throw new AgentError(
      'PortUnavailable',
      `the HTTP API cannot listen on ${host}:${port} (${reason}); set HOST or PORT`,
    );
  }
  const address = server.address();
  const actual = typeof address === 'object' && address !== null ? address.port : port;
  const name = host.includes(':') ? `[${host}]` : host;
  return { endpoint: `http://${name}:${actual}`, close: (graceMs) => close(server, graceMs) };
}

async function close(server: Server, graceMs: number): Promise<void> {
  const closed = once(server, 'close');
  server.close();
  server.closeIdleConnections();
  const timer = setTimeout(() => server.closeAllConnections(), graceMs);
  await closed;
  clearTimeout(timer);
}

async function answer(
  options: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  try {
    await route(request)(options, request, response);
  } catch (error) {
    if (response.destroyed) return;
    const shaped = toApiError(error);
    if (shaped.status >= 500 && shaped.status !== 503) options.log.error(`HTTP: ${shaped.message}`);
    if (response.headersSent) {
      response.destroy();
      return;
    }
    const busy = shaped.status === 429 || shaped.status === 503;
    if (busy) response.setHeader('retry-after', RETRY_AFTER_SECONDS);
    send(response, shaped.status, shaped.body());
  }
}

function route(request: IncomingMessage): Handler {
  const path = (request.url ?? '/').split('?')[0] ?? '/';
  const handler = ROUTES[`${request.method} ${path}`];
  if (handler !== undefined) return handler;
  const known = Object.keys(ROUTES).some((key) => key.endsWith(` ${path}`));
  throw new ApiError({
    status: known ? 405 : 404,
    type: 'invalid_request_error',
    message: `${request.method} ${path} is not served here; see ${Object.keys(ROUTES).join(', ')}`,
  });
}

/** The agent is alive, whether or not it has a model. */
function health(options: HttpServerOptions, _: IncomingMessage, response: ServerResponse): void {
  const model = options.slot.current;
  send(response, 200, { status: 'ok', model: model === null ? null : servedName(model.target) });
}

/** The device answers completions. */
function ready(options: HttpServerOptions, _: IncomingMessage, response: ServerResponse): void {
  const model = options.slot.current;
  if (model !== null) send(response, 200, { status: 'serving' });
  else send(response, 503, { status: 'no model is active' });
}

function listModels(
  options: HttpServerOptions,
  _: IncomingMessage,
  response: ServerResponse,
): void {
  const model = options.slot.current;
  const entry = model === null ? [] : [{ id: servedName(model.target), target: model.target }];
  send(response, 200, {
    object: 'list',
    data: entry.map(({ id, target }) => ({
      id,
      object: 'model',
      created: 0,
      owned_by: 'entrofleet',
      artifact: target.artifact.id,
    })),
  });
}

async function complete(
  options: HttpServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  await answerCompletion(options, parseCompletionRequest(await readJson(request)), response);
}

async function readJson(request: IncomingMessage): Promise<unknown> {
  const pieces: Buffer[] = [];
  let sizeBytes = 0;
  for await (const piece of request) {
    const bytes = Buffer.isBuffer(piece) ? piece : Buffer.from(String(piece));
    sizeBytes += bytes.length;
    if (sizeBytes > BODY_BYTES_MAX) {
      const message = `the request is larger than ${BODY_BYTES_MAX} bytes`;
      throw new ApiError({ status: 413, type: 'invalid_request_error', message });
    }
    pieces.push(bytes);
  }
  try {
    return JSON.parse(Buffer.concat(pieces).toString('utf8'));
  } catch {
    throw badRequest('the request body is not JSON');
  }
}

function send(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}
