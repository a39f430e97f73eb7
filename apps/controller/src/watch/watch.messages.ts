import { problemOf } from '../http/problem.filter.ts';
import type { ChangeFeed } from './change.feed.ts';
import type { Change, ChangeSource } from './change.ts';
import { type ChangeType, WatchView } from './watch.view.ts';

/** A client hears something at least this often, and so do proxies between. */
const HEARTBEAT_MS = 15_000;
const HEARTBEAT = ': heartbeat\n\n';

/** What one client watches. */
export interface WatchSubject {
  readonly source: ChangeSource;
  /** Absent: every object of the kind. */
  readonly matches?: ((object: unknown) => boolean) | undefined;
  /** Objects never change or go, so that none needs to be remembered for a client. */
  readonly isAppendOnly?: boolean;
  /** What matches now, page by page. */
  list(token: string | undefined): Promise<{ items: readonly Change[]; continue?: string }>;
  /** Keys of what may have matched at a version; of what has not changed since, surely. */
  keysAt(version: number): Promise<readonly string[]>;
}

/**
 * Server-sent events, as text, of all that happens to a subject. Without `after` every object that is
 * there comes first, as ADDED and without an id: a client that loses the connection before the
 * first BOOKMARK starts over. Ends with an ERROR event when it cannot go on.
 */
export async function* watchMessages(
  feed: ChangeFeed,
  subject: WatchSubject,
  options: { after: number | undefined; signal: AbortSignal },
): AsyncGenerator<string> {
  try {
    // Sends the head of the answer, so that a client knows that it is watching.
    yield ': watching\n\n';
    const since = options.after ?? (await feed.current());
    const { matches, isAppendOnly } = subject;
    const isResumed = options.after !== undefined;
    const known = isResumed && matches !== undefined ? await subject.keysAt(since) : [];
    const view = new WatchView({ since, matches, known, isAppendOnly });
    if (!isResumed) yield* present(subject, view);
    if (!isResumed) yield bookmark(since);
    yield* changesSince(feed, subject, { view, since, signal: options.signal });
  } catch (error) {
    yield `data: ${JSON.stringify({ type: 'ERROR', object: problemOf(error) })}\n\n`;
  }
}

async function* present(subject: WatchSubject, view: WatchView): AsyncGenerator<string> {
  let token: string | undefined;
  do {
    const page = await subject.list(token);
    for (const change of page.items) {
      view.introduce(change);
      yield `data: ${eventText('ADDED', change)}\n\n`;
    }
    token = page.continue;
  } while (token !== undefined);
}

async function* changesSince(
  feed: ChangeFeed,
  subject: WatchSubject,
  from: { view: WatchView; since: number; signal: AbortSignal },
): AsyncGenerator<string> {
  const { view, signal } = from;
  let cursor = from.since;
  let told = cursor;
  let deadlineMs = performance.now() + HEARTBEAT_MS;
  while (!signal.aborted) {
    const page = await feed.next(subject.source, { after: cursor, deadlineMs, signal });
    for (const change of page.changes) {
      const type = view.tell(change);
      if (type === undefined) continue;
      told = change.version;
      yield `id: ${change.version}\ndata: ${eventText(type, change)}\n\n`;
    }
    cursor = page.upTo;
    if (performance.now() < deadlineMs) continue;
    yield cursor > told ? bookmark(cursor) : HEARTBEAT;
    told = cursor;
    deadlineMs = performance.now() + HEARTBEAT_MS;
  }
  // Whoever resumes need not be told again of what does not concern them.
  if (cursor > told) yield bookmark(cursor);
}

function bookmark(version: number): string {
  const object = { metadata: { resourceVersion: String(version) } };
  return `id: ${version}\ndata: ${JSON.stringify({ type: 'BOOKMARK', object })}\n\n`;
}

/** A change is written as text once for all who watch. */
const TEXTS = new WeakMap<Change, string>();

function eventText(type: ChangeType, change: Change): string {
  const known = TEXTS.get(change);
  const text = known ?? JSON.stringify(change.object);
  if (known === undefined) TEXTS.set(change, text);
  return `{"type":"${type}","object":${text}}`;
}
