import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

export interface ScriptedRequest {
  readonly method: string;
  readonly path: string;
  readonly query: URLSearchParams;
  readonly token: string | undefined;
  readonly body: unknown;
  readonly response: ServerResponse;
}

/** An HTTP server on loopback that answers as a test says, and remembers what it was asked. */
export interface ScriptedApiServer {
  readonly url: string;
  /** In the order of arrival, without what can not be compared. */
  readonly asked: Omit<ScriptedRequest, 'response'>[];
  /** Answers every request from now on. */
  answer: (request: ScriptedRequest) => void;
  close(): Promise<void>;
}

export async function scriptedApiServer(
  answer: (request: ScriptedRequest) => void = ({ response }) => void sendStatus(response, 500),
): Promise<ScriptedApiServer> {
  const asked: ScriptedApiServer['asked'] = [];
  const server = createServer((request, response) => {
    void read(request).then((read) => {
      asked.push(read);
      script.answer({ ...read, response });
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const script: ScriptedApiServer = {
    url: `http://127.0.0.1:${port}`,
    asked,
    answer,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, 'close');
    },
  };
  return script;
}

async function read(request: IncomingMessage): Promise<Omit<ScriptedRequest, 'response'>> {
  const chunks: Buffer[] = [];
  for await (const chunk of request) chunks.push(chunk);
  const text = Buffer.concat(chunks).toString();
  const url = new URL(request.url ?? '', 'http://x');
  return {
    method: request.method ?? '',
    path: url.pathname,
    query: url.searchParams,
    token: request.headers.authorization?.replace(/^Bearer /, ''),
    body: text === '' ? undefined : JSON.parse(text),
  };
}

export function sendJson(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { 'content-type': 'application/json' });
  response.end(JSON.stringify(body));
}

/** A failure in the form of the API server. */
export function sendStatus(response: ServerResponse, code: number, reason = ''): void {
  const message = `scripted failure ${code}`;
  sendJson(response, { kind: 'Status', apiVersion: 'v1', code, reason, message }, code);
}
