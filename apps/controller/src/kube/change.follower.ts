import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../errors.ts';
import type { ChangeFeed } from '../watch/change.feed.ts';
import type { ChangePage, ChangeSource } from '../watch/change.ts';

const PAGE_WAIT_MS = 30_000;
const RETRY_MS = 1000;

export interface FollowOptions {
  /** `undefined`: from now on. */
  readonly after: number | undefined;
  readonly signal: AbortSignal;
  /** Of a page that this throws for, it is called again. */
  onPage(page: ChangePage): Promise<void>;
  /** Changes were forgotten before they were read; it goes on from now. */
  onExpired(): void;
  onError(error: unknown): void;
}

/** Reads the changes of a source, in their order, until it is aborted. Whatever fails is repeated. */
export async function followChanges(
  feed: ChangeFeed,
  source: ChangeSource,
  options: FollowOptions,
): Promise<void> {
  const { signal } = options;
  let cursor = options.after;
  while (!signal.aborted) {
    try {
      if (cursor === undefined) cursor = await feed.current();
      else if (cursor === options.after) await feed.assertKept(source.kind, cursor);
      const deadlineMs = performance.now() + PAGE_WAIT_MS;
      const page = await feed.next(source, { after: cursor, deadlineMs, signal });
      if (page.upTo > cursor && !signal.aborted) await options.onPage(page);
      cursor = page.upTo;
    } catch (error) {
      if (signal.aborted) return;
      if (reasonOf(error) === 'Expired') {
        cursor = undefined;
        options.onExpired();
        continue;
      }
      options.onError(error);
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
