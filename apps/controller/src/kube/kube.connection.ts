import { type IncomingMessage, Agent as PlainAgent, request as plainRequest } from 'node:http';
import { type RequestOptions, Agent as TlsAgent, request as tlsRequest } from 'node:https';
import { messageOf } from '../errors.ts';
import type { KubeCredentials, KubeReach } from './kube.credentials.ts';
import { KubeError, KubeUnavailable, kubeError } from './kube.error.ts';
import { textLines } from './text.lines.ts';

/** Well over the 1.5 MiB that etcd takes of an object. */
const LINE_BYTES = 4 * 1024 * 1024;
const BODY_BYTES = 64 * 1024 * 1024;
const KEEP_ALIVE_MS = 30_000;

export interface KubeCall {
  readonly method: 'GET' | 'POST' | 'PUT' | 'PATCH';
  readonly path: string;
  readonly query?: Readonly<Record<string, string | undefined>>;
  /** Sent as JSON; a PATCH is a JSON merge patch (RFC 7396). */
  readonly body?: object;
}

/**
 * Requests to the API server. The library's own requests have no deadline, open a connection each
 * and hide why a watch failed; so only credentials are taken from it, and the HTTP is here.
 */
export class KubeConnection {
  readonly #credentials: KubeCredentials;
  readonly #agents = {
    plain: new PlainAgent({ keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS }),
    tls: new TlsAgent({ keepAlive: true, keepAliveMsecs: KEEP_ALIVE_MS }),
  };
  readonly #open = new Set<AbortController>();

  constructor(credentials: KubeCredentials) {
    this.#credentials = credentials;
  }

  /**
   * What `read` makes of the JSON that is answered.
   * @throws KubeError, `KubeUnavailable` when the whole answer is not there in time or `read` throws.
   */
  async call<T>(
    call: KubeCall,
    options: { readonly deadlineMs: number; readonly read: (answer: unknown) => T },
  ): Promise<T> {
    const name = `${call.method} ${call.path}`;
    const abort = this.#begin();
    try {
      const answer = await within(options.deadlineMs, abort, async () => {
        const response = await this.#request(call, abort.signal);
        return { status: response.statusCode ?? 0, body: await textOf(response) };
      });
      if (answer.status >= 300) throw kubeError({ call: name, ...answer });
      return options.read(JSON.parse(answer.body));
    } catch (cause) {
      abort.abort();
      throw asKubeError(cause, name);
    } finally {
      this.#open.delete(abort);
    }
  }

  /**
   * The lines of an answer without an end. Ends when the server ends it; `signal` breaks it off.
   * @throws KubeError, `KubeUnavailable` when it does not begin in time or breaks.
   */
  async *lines(
    call: KubeCall,
    options: { readonly deadlineMs: number; readonly signal: AbortSignal },
  ): AsyncGenerator<string> {
    const name = `${call.method} ${call.path}`;
    const abort = this.#begin();
    const onAbort = (): void => abort.abort(options.signal.reason);
    options.signal.addEventListener('abort', onAbort, { once: true });
    if (options.signal.aborted) onAbort();
    try {
      const response = await within(options.deadlineMs, abort, () =>
        this.#request(call, abort.signal),
      );
      const status = response.statusCode ?? 0;
      if (status !== 200) throw kubeError({ call: name, status, body: await textOf(response) });
      yield* textLines(response, LINE_BYTES);
    } catch (cause) {
      throw asKubeError(cause, name);
    } finally {
      options.signal.removeEventListener('abort', onAbort);
      this.#open.delete(abort);
      abort.abort();
    }
  }

  /** Everything under way fails. */
  close(): void {
    for (const abort of this.#open) abort.abort(new Error('closed'));
    this.#agents.plain.destroy();
    this.#agents.tls.destroy();
  }

  #begin(): AbortController {
    const abort = new AbortController();
    this.#open.add(abort);
    return abort;
  }

  /** Once more with credentials that are read anew when the first ones are refused. */
  async #request(call: KubeCall, signal: AbortSignal): Promise<IncomingMessage> {
    const response = await this.#send(call, await this.#credentials.read(), signal);
    if (response.statusCode !== 401) return response;
    response.resume();
    this.#credentials.forget();
    return this.#send(call, await this.#credentials.read(), signal);
  }

  #send(call: KubeCall, reach: KubeReach, signal: AbortSignal): Promise<IncomingMessage> {
    const url = new URL(reach.server + call.path);
    for (const [name, value] of Object.entries(call.query ?? {})) {
      if (value !== undefined) url.searchParams.set(name, value);
    }
    const isPlain = url.protocol === 'http:';
    const body = call.body === undefined ? undefined : JSON.stringify(call.body);
    const options: RequestOptions = {
      agent: isPlain ? this.#agents.plain : this.#agents.tls,
      ...reach.options,
      method: call.method,
      headers: { ...headersOf(reach.options), ...contentHeaders(call, body) },
      signal,
    };
    return new Promise((resolve, reject) => {
      const request = isPlain ? plainRequest(url, options) : tlsRequest(url, options);
      request.on('response', resolve);
      request.on('error', reject);
      request.end(body);
    });
  }
}

function headersOf(options: RequestOptions): Record<string, string> {
  const entries = Object.entries(options.headers ?? {});
  return Object.fromEntries(entries.map(([name, value]) => [name.toLowerCase(), String(value)]));
}

function contentHeaders(call: KubeCall, body: string | undefined): Record<string, string> {
  const headers = { accept: 'application/json', 'user-agent': 'entrofleet-controller' };
  if (body === undefined) return headers;
  const type = call.method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
  return {
    ...headers,
    'content-type': type,
    'content-length': String(Buffer.byteLength(body)),
  };
}

async function textOf(response: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let sizeBytes = 0;
  for await (const chunk of response) {
    sizeBytes += chunk.length;
    if (sizeBytes > BODY_BYTES) throw new Error(`an answer of more than ${BODY_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}

/** Also ends what does not heed the signal, as a program that fetches a token. */
async function within<T>(
  deadlineMs: number,
  abort: AbortController,
  work: () => Promise<T>,
): Promise<T> {
  const aborted = Promise.withResolvers<never>();
  const onAbort = (): void => aborted.reject(abort.signal.reason);
  abort.signal.addEventListener('abort', onAbort, { once: true });
  const timer = setTimeout(() => {
    abort.abort(new Error(`no answer within ${deadlineMs} ms`));
  }, deadlineMs);
  try {
    abort.signal.throwIfAborted();
    return await Promise.race([work(), aborted.promise]);
  } finally {
    clearTimeout(timer);
    abort.signal.removeEventListener('abort', onAbort);
  }
}

function asKubeError(cause: unknown, call: string): KubeError {
  if (cause instanceof KubeError) return cause;
  const message = `${call}: ${messageOf(cause)}`;
  return new KubeUnavailable({ reason: 'NoAnswer', message }, { cause });
}
