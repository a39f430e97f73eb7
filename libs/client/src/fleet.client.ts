import createClient, { type Client } from 'openapi-fetch';
import type { paths } from './api.schema.ts';
import { isProblem, RequestRefused, ServerUnreachable, UnexpectedAnswer } from './client.error.ts';

/** Creating a model reads its checkpoint first. */
const REQUEST_TIMEOUT_MS = 60_000;

export type FleetApi = Client<paths, 'application/json'>;

/** What the generated methods give. */
interface Answer<T> {
  readonly data?: T;
  readonly error?: unknown;
  readonly response: Response;
}

export interface FleetClientOptions {
  /** E.g. `http://127.0.0.1:8080`. */
  readonly server: string;
  /** Ends every request when it aborts. */
  readonly signal?: AbortSignal;
}

/** The controller's REST API, typed as its OpenAPI document describes it. */
export class FleetClient {
  readonly server: string;
  /** Gives data or error, as they come; see {@link unwrap}. */
  readonly api: FleetApi;
  readonly #signal: AbortSignal | undefined;

  constructor({ server, signal }: FleetClientOptions) {
    this.server = server.replace(/\/+$/, '');
    this.#signal = signal;
    this.api = createClient<paths, 'application/json'>({
      baseUrl: this.server,
      fetch: (request) => this.fetch(request, { signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS) }),
    });
  }

  /** @throws ServerUnreachable */
  async fetch(request: Request | string, options: RequestInit = {}): Promise<Response> {
    const signals = [options.signal, this.#signal].filter((signal) => signal != null);
    try {
      return await fetch(request, { ...options, signal: AbortSignal.any(signals) });
    } catch (cause) {
      if (this.#signal?.aborted === true) throw cause;
      throw new ServerUnreachable(this.server, cause);
    }
  }
}

/**
 * The data of an answer.
 * @throws RequestRefused, UnexpectedAnswer
 */
export async function unwrap<T>(answer: Answer<T> | Promise<Answer<T>>): Promise<T> {
  const { data, error, response } = await answer;
  if (response.ok) return data as T;
  throw refusal(response, error);
}

export function refusal(response: Response, body: unknown): Error {
  if (isProblem(body)) return new RequestRefused(body);
  return new UnexpectedAnswer(
    `${response.url} answered ${response.status} ${response.statusText}, which is no answer of an ` +
      'entrofleet controller; check the address of the server',
  );
}
