import { Readable } from 'node:stream';
import { Inject, Injectable, type OnModuleDestroy, StreamableFile } from '@nestjs/common';
import { Log } from '../adapters/log.ts';
import { Metrics } from '../adapters/metrics.ts';
import { CONFIG, type Config } from '../config.ts';
import { BadRequest, Unavailable } from '../errors.ts';
import type { HttpResponse } from '../http/http.types.ts';
import { ChangeFeed } from './change.feed.ts';
import { type WatchSubject, watchMessages } from './watch.messages.ts';

/** Per process; each holds a connection. */
const WATCHERS_MAX = 1000;
/** What is written ahead for one client; beyond it, nothing is read for the client. */
const BUFFER_BYTES = 64 * 1024;

const HEADERS = {
  'Cache-Control': 'no-store',
  // nginx would keep events back until its buffer is full.
  'X-Accel-Buffering': 'no',
  // Kept alive after its end, the connection would hold up a controller that stops.
  Connection: 'close',
} as const;

/** Who watches. A client that takes nothing for long is cut; it may come back and resume. */
@Injectable()
export class WatchStreams implements OnModuleDestroy {
  readonly #open = new Set<AbortController>();
  #stopped = false;

  constructor(
    @Inject(ChangeFeed) private readonly feed: ChangeFeed,
    @Inject(CONFIG) private readonly config: Config,
    @Inject(Log) private readonly log: Log,
    @Inject(Metrics) metrics: Metrics,
  ) {
    metrics.reading({ name: 'watchers', help: 'Clients that watch through this process' }, () => [
      { labels: {}, value: this.#open.size },
    ]);
  }

  /** Each stream ends as streams do, so that its client connects anew, elsewhere, and resumes. */
  onModuleDestroy(): void {
    this.#stopped = true;
    for (const stop of this.#open) stop.abort();
  }

  /**
   * Answers with server-sent events, from `resourceVersion` on, or from what there is now.
   * @throws BadRequest, Unavailable `TooManyWatches` or `Stopping`, RequestError 410 `Expired`
   */
  async open(
    subject: WatchSubject,
    request: { resourceVersion: string | undefined; response: HttpResponse },
  ): Promise<StreamableFile> {
    const { response } = request;
    const after = versionOf(request.resourceVersion);
    if (this.#open.size >= WATCHERS_MAX) {
      throw new Unavailable('TooManyWatches', `${WATCHERS_MAX} clients are watching; try later`);
    }
    if (this.#stopped) throw new Unavailable('Stopping', 'this process is stopping; try again');
    if (after !== undefined) await this.feed.assertKept(subject.source.kind, after);
    const stop = new AbortController();
    this.#open.add(stop);
    response.once('close', () => {
      stop.abort();
      this.#open.delete(stop);
    });
    response.set(HEADERS);
    const messages = watchMessages(this.feed, subject, { after, signal: stop.signal });
    const taken = this.#cutWhenStalled(messages, { response, kind: subject.source.kind });
    const stream = Readable.from(taken, { objectMode: false, highWaterMark: BUFFER_BYTES });
    return new StreamableFile(stream, { type: 'text/event-stream' });
  }

  async *#cutWhenStalled(
    messages: AsyncIterable<string>,
    of: { response: HttpResponse; kind: string },
  ): AsyncGenerator<string> {
    for await (const message of messages) {
      const timer = setTimeout(() => {
        this.log.info('slow watcher cut', { kind: of.kind });
        of.response.destroy();
      }, this.config.watchStallMs);
      try {
        yield message;
      } finally {
        clearTimeout(timer);
      }
    }
  }
}

/** 0 is before everything, so nothing is missed when all that is there comes first. */
function versionOf(text: string | undefined): number | undefined {
  if (text === undefined || text === '' || text === '0') return undefined;
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new BadRequest(
    `"${text}" is no resourceVersion; use metadata.resourceVersion of a list, or none`,
    'BadResourceVersion',
  );
}
