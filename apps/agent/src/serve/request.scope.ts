import type { IncomingMessage, ServerResponse } from 'node:http';

/** One request with its answer, from its head to its end. */
export interface RequestScope {
  readonly id: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted when the client has gone, or when the server ends. */
  readonly signal: AbortSignal;
  /** Monotonic time of its arrival, in milliseconds. */
  readonly arrivedMs: number;
  /** What of its path stands for `{id}` in its route. */
  readonly parameter: string;
}

/** Answers with JSON; a HEAD request gets the head only. */
export function sendJson(response: ServerResponse, status: number, body: object): void {
  const text = JSON.stringify(body);
  response.writeHead(status, {
    'content-type': 'application/json',
    'content-length': Buffer.byteLength(text),
  });
  response.end(text);
}
