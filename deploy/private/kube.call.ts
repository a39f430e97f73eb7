import { once } from 'node:events';
import { request } from 'node:https';
import { text } from 'node:stream/consumers';

const CALL_TIMEOUT_MS = 10_000;

export interface KubeAnswer {
  readonly status: number;
  /** Parsed when it is JSON, else the text. */
  readonly body: unknown;
}

/**
 * One call of the API server, whose certificate must be signed by `ca` (PEM).
 * @throws Error of the network, or when no answer comes within 10 s.
 */
export async function callKube(use: {
  readonly method?: 'GET' | 'POST';
  readonly url: string;
  readonly ca: string;
  readonly token: string;
  readonly body?: unknown;
}): Promise<KubeAnswer> {
  const { method = 'GET', url, ca, token, body } = use;
  const call = request(url, {
    method,
    ca,
    agent: false,
    headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
    signal: AbortSignal.timeout(CALL_TIMEOUT_MS),
  });
  call.end(body === undefined ? undefined : JSON.stringify(body));
  const [response] = await once(call, 'response');
  const answer = await text(response);
  const isJson = String(response.headers['content-type']).includes('json');
  return { status: response.statusCode, body: isJson ? JSON.parse(answer) : answer };
}
