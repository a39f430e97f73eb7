import { once } from 'node:events';
import type { ServerResponse } from 'node:http';

/** The client has not taken what it was sent for too long. */
export class SlowReader extends Error {
  readonly reason = 'SlowReader';
}

/**
 * Server-sent events (WHATWG HTML standard) as OpenAI sends them. The head goes with the first
 * event, so that a request that fails before it still gets its own status.
 */
export class EventStream {
  readonly #response: ServerResponse;
  readonly #signal: AbortSignal;
  readonly #stallMs: number;
  #sending: Promise<void> = Promise.resolve();

  /** @param use.stallMs how long a client may take nothing before it is cut off. */
  constructor(use: { response: ServerResponse; signal: AbortSignal; stallMs: number }) {
    this.#response = use.response;
    this.#signal = use.signal;
    this.#stallMs = use.stallMs;
  }

  get started(): boolean {
    return this.#response.headersSent;
  }

  /**
   * Sends one event and waits until there is room for the next.
   * @throws SlowReader, or the signal's reason.
   */
  send(body: object): Promise<void> {
    this.#sending = this.#sending.then(() => this.#write(`data: ${JSON.stringify(body)}\n\n`));
    return this.#sending;
  }

  /** Ends the stream, also after a failure. */
  end(): void {
    this.#response.end('data: [DONE]\n\n');
  }

  /** Says one last thing without waiting for the client. */
  endWith(body: object): void {
    this.#response.write(`data: ${JSON.stringify(body)}\n\n`);
    this.end();
  }

  async #write(text: string): Promise<void> {
    this.#signal.throwIfAborted();
    const response = this.#response;
    if (!response.headersSent) {
      response.writeHead(200, {
        'content-type': 'text/event-stream; charset=utf-8',
        'cache-control': 'no-cache',
        'x-accel-buffering': 'no',
      });
    }
    if (response.write(text)) return;
    const stalled = AbortSignal.timeout(this.#stallMs);
    try {
      await once(response, 'drain', { signal: AbortSignal.any([this.#signal, stalled]) });
    } catch (error) {
      this.#signal.throwIfAborted();
      if (!stalled.aborted) throw error;
      throw new SlowReader(`the client took nothing for ${this.#stallMs} ms`);
    }
  }
}
