import type { Model } from '@entrofleet/protocol';

export interface ApiAnswer {
  readonly status: number;
  readonly contentType: string;
  /** Parsed when it is JSON, else the text. */
  readonly body: unknown;
}

/** The controller's REST API as a client sees it. */
export class ApiClient {
  readonly #url: string;
  readonly #timeoutMs: number;

  constructor(url: string, options: { readonly timeoutMs?: number } = {}) {
    this.#url = url;
    this.#timeoutMs = options.timeoutMs ?? 30_000;
  }

  get(path: string): Promise<ApiAnswer> {
    return this.send('GET', path);
  }

  post(path: string, body?: unknown): Promise<ApiAnswer> {
    return this.send('POST', path, body);
  }

  put(path: string, body: unknown): Promise<ApiAnswer> {
    return this.send('PUT', path, body);
  }

  delete(path: string): Promise<ApiAnswer> {
    return this.send('DELETE', path);
  }

  /** A string is sent as it is, anything else as JSON. */
  async send(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = { 'content-type': 'application/json' },
  ): Promise<ApiAnswer> {
    const text = typeof body === 'string' ? body : JSON.stringify(body);
    const response = await fetch(`${this.#url}${path}`, {
      method,
      signal: AbortSignal.timeout(this.#timeoutMs),
      ...(body === undefined ? {} : { body: text, headers }),
    });
    const contentType = response.headers.get('content-type') ?? '';
    const answer = await response.text();
    const parsed = contentType.includes('json') ? JSON.parse(answer) : answer;
    return { status: response.status, contentType, body: parsed };
  }

  async model(name: string): Promise<Model> {
    const { status, body } = await this.get(`/api/v1/models/${name}`);
    if (status !== 200) throw new Error(`GET model ${name}: ${status} ${JSON.stringify(body)}`);
    return body as Model;
  }

  /** Waits until every variant is Ready or Failed. */
  async finishedModel(name: string, timeoutMs = 120_000): Promise<Model> {
    return this.modelWhere(
      name,
      (model) => model.status.variants.every((v) => v.phase === 'Ready' || v.phase === 'Failed'),
      timeoutMs,
    );
  }

  /** Polls until the model is as wanted; the failure tells how it was last. */
  async modelWhere(
    name: string,
    isWanted: (model: Model) => boolean,
    timeoutMs = 120_000,
  ): Promise<Model> {
    const deadline = Date.now() + timeoutMs;
    while (true) {
      const model = await this.model(name);
      if (isWanted(model)) return model;
      if (Date.now() > deadline) {
        throw new Error(`model ${name} was last ${JSON.stringify(model.status, null, 2)}`);
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}
