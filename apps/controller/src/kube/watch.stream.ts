import { messageOf } from '../errors.ts';
import { KubeGone } from './kube.error.ts';
import { type WatchEvent, watchEvent } from './watch.event.ts';
import type { WatchOutcome } from './watch.plan.ts';

/** The server ends a watch when it was told to; if not, it is ended here so much later. */
const OVERTIME_MS = 10_000;
const GONE = 410;

export interface WatchStream {
  readonly resourceVersion: string;
  /** After so long without a word the watch is given up. */
  readonly silenceMs: number;
  /** After so long the server is to end the watch. */
  readonly lifeMs: number;
  readonly stop: AbortSignal;
  readonly open: (signal: AbortSignal) => AsyncIterable<string>;
  readonly onEvent: (event: Exclude<WatchEvent, { kind: 'Error' }>) => void;
}

/** How the watch ended, and what went wrong where something did. */
export interface WatchEnd {
  readonly outcome: WatchOutcome;
  readonly problem?: string;
}

/** Follows one watch to its end, whatever that is; it always comes to one. */
export async function followWatch(stream: WatchStream): Promise<WatchEnd> {
  const patience = new Patience(stream);
  const startMs = performance.now();
  let { resourceVersion } = stream;
  let heard = false;
  const end = (kind: 'Ended' | 'Silent' | 'Failed', problem?: string): WatchEnd => {
    const lastedMs = performance.now() - startMs;
    const outcome = { kind, resourceVersion, heard, lastedMs } as const;
    return problem === undefined ? { outcome } : { outcome, problem };
  };
  const lost = (problem: string): WatchEnd => ({ outcome: { kind: 'Lost', heard }, problem });
  try {
    for await (const line of stream.open(patience.signal)) {
      if (stream.stop.aborted) break;
      patience.renew();
      const event = watchEvent(line);
      if (event.kind === 'Error') {
        return event.status === GONE ? lost(event.message) : end('Failed', event.message);
      }
      heard ||= event.kind !== 'Malformed';
      if (event.kind === 'Bookmark') resourceVersion = event.resourceVersion;
      if (event.kind === 'Object') resourceVersion = event.object.metadata.resourceVersion;
      stream.onEvent(event);
    }
    return end('Ended');
  } catch (error) {
    if (error instanceof KubeGone) return lost(error.message);
    if (patience.end !== undefined) return end(patience.end);
    return end('Failed', messageOf(error));
  } finally {
    patience.stop();
  }
}

/** Gives a watch up when nothing is heard for too long, when its time is over, or on demand. */
class Patience {
  readonly #abort = new AbortController();
  readonly #stream: WatchStream;
  readonly #silence: NodeJS.Timeout;
  readonly #life: NodeJS.Timeout;
  readonly #onStop = (): void => this.#giveUp('Ended');
  end: 'Silent' | 'Ended' | undefined;

  constructor(stream: WatchStream) {
    this.#stream = stream;
    this.#silence = setTimeout(() => this.#giveUp('Silent'), stream.silenceMs);
    this.#life = setTimeout(() => this.#giveUp('Ended'), stream.lifeMs + OVERTIME_MS);
    stream.stop.addEventListener('abort', this.#onStop, { once: true });
  }

  get signal(): AbortSignal {
    return this.#abort.signal;
  }

  renew(): void {
    this.#silence.refresh();
  }

  stop(): void {
    clearTimeout(this.#silence);
    clearTimeout(this.#life);
    this.#stream.stop.removeEventListener('abort', this.#onStop);
  }

  #giveUp(end: 'Silent' | 'Ended'): void {
    this.end ??= end;
    this.#abort.abort();
  }
}
