import { EventSourceParserStream } from 'eventsource-parser/stream';
import type { paths } from './api.schema.ts';
import { RequestRefused, ServerUnreachable, UnexpectedAnswer } from './client.error.ts';
import { type FleetClient, refusal } from './fleet.client.ts';

const RETRY_MS = { first: 250, last: 10_000 };
/** The controller says something every 15 s; silence for longer is a dead connection. */
const SILENCE_MS = 45_000;
const EVENT_MAX_CHARACTERS = 64 * 1024 * 1024;

/** Lists that can be watched. */
export type WatchPath = {
  [P in keyof paths]: paths[P] extends {
    get: { responses: { 200: { content: { 'text/event-stream': unknown } } } };
  }
    ? P
    : never;
}[keyof paths];

export type WatchQuery<P extends WatchPath> = Omit<
  NonNullable<paths[P]['get']['parameters']['query']>,
  'watch' | 'limit' | 'continue'
>;

/** ADDED, MODIFIED, DELETED or BOOKMARK with its object. */
export type WatchEvent<P extends WatchPath> = Exclude<
  paths[P]['get']['responses'][200]['content']['text/event-stream'],
  { type: 'ERROR' }
>;

export interface WatchOptions<P extends WatchPath> {
  readonly query?: WatchQuery<P>;
  readonly signal?: AbortSignal;
  /** Told when a connection was lost and is made again. */
  readonly onReconnect?: (error: Error) => void;
}

/**
 * What happens to the objects of a list, until the signal aborts. A lost connection is made again,
 * and goes on where it was.
 * @throws RequestRefused, with status 410 when what happened meanwhile is no longer known: then list
 * again. ServerUnreachable when the first connection fails.
 */
export async function* watch<P extends WatchPath>(
  client: FleetClient,
  path: P,
  options: WatchOptions<P> = {},
): AsyncGenerator<WatchEvent<P>> {
  let lastEventId: string | undefined;
  let pauseMs = RETRY_MS.first;
  let hasConnected = false;
  const isStopped = (): boolean => options.signal?.aborted === true;
  while (!isStopped()) {
    try {
      const body = await connect(client, path, { ...options, lastEventId });
      hasConnected = true;
      for await (const { id, data } of events(body)) {
        pauseMs = RETRY_MS.first;
        const event = JSON.parse(data);
        if (event.type === 'ERROR') throw new RequestRefused(event.object);
        if (id !== undefined) lastEventId = id;
        yield event;
      }
    } catch (error) {
      if (isStopped()) return;
      if (!(error instanceof Error) || !mayPass(error, hasConnected)) throw error;
      options.onReconnect?.(error);
    }
    await pause(pauseMs, options.signal);
    pauseMs = Math.min(pauseMs * 2, RETRY_MS.last);
  }
}

/** Ends early when the signal aborts. */
function pause(pauseMs: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, pauseMs);
    const stop = (): void => {
      clearTimeout(timer);
      resolve();
    };
    signal?.addEventListener('abort', stop, { once: true });
  });
}

/** A controller that restarts, or whose database does, is back soon. */
function mayPass(error: Error, hasConnected: boolean): boolean {
  if (error instanceof RequestRefused) return error.status === 503;
  if (error instanceof UnexpectedAnswer) return false;
  return hasConnected || !(error instanceof ServerUnreachable);
}

async function connect<P extends WatchPath>(
  client: FleetClient,
  path: P,
  options: WatchOptions<P> & { lastEventId: string | undefined },
): Promise<ReadableStream<Uint8Array>> {
  const query = new URLSearchParams({ watch: 'true' });
  for (const [name, value] of Object.entries(options.query ?? {})) {
    if (value !== undefined) query.set(name, String(value));
  }
  const response = await client.fetch(`${client.server}${path}?${query}`, {
    headers: {
      accept: 'text/event-stream',
      ...(options.lastEventId === undefined ? {} : { 'last-event-id': options.lastEventId }),
    },
    ...(options.signal && { signal: options.signal }),
  });
  const isStream = response.headers.get('content-type')?.startsWith('text/event-stream') === true;
  if (response.ok && isStream && response.body !== null) return response.body;
  throw refusal(response, await response.json().catch(() => undefined));
}

/** Ends with an error when nothing, not even a heartbeat, has come for long. */
async function* events(
  body: ReadableStream<Uint8Array>,
): AsyncGenerator<{ id?: string | undefined; data: string }> {
  const silence = new AbortController();
  let timer: ReturnType<typeof setTimeout> | undefined;
  const heard = (): void => {
    clearTimeout(timer);
    timer = setTimeout(() => silence.abort(new Error('the server fell silent')), SILENCE_MS);
  };
  const listening = new TransformStream<Uint8Array, Uint8Array>({
    transform: (chunk, controller) => {
      heard();
      controller.enqueue(chunk);
    },
  });
  heard();
  try {
    yield* body
      .pipeThrough(listening, { signal: silence.signal })
      .pipeThrough(new TextDecoderStream())
      .pipeThrough(new EventSourceParserStream({ maxBufferSize: EVENT_MAX_CHARACTERS }));
  } finally {
    clearTimeout(timer);
  }
}
