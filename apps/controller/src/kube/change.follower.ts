import { setTimeout as sleep } from 'node:timers/promises';
import { reasonOf } from '../errors.ts';
import type { ChangeFeed } from '../watch/change.feed.ts';
import type { ChangePage, ChangeSource } from '../watch/change.ts';

const PAGE_WAIT_MS = 30_000;
const RETRY_MS = 1000;

export interface FollowOptions {
  /** The version to begin after; `undefined`: from now on. */
  start(): Promise<number | undefined>;
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
  let isStarted = false;
  let cursor: number | undefined;
  while (!signal.aborted) {
    try {
      if (!isStarted) {
        cursor = await options.start();
        // One that was never drawn, as after a restored backup, would be waited for.
        if (cursor !== undefined) await feed.assertKept(source.kind, cursor);
        isStarted = true;
      }
      cursor ??= await feed.current();
      const deadlineMs = performance.now() + PAGE_WAIT_MS;
      const page = await feed.next(source, { after: cursor, deadlineMs, signal });
      if (page.upTo > cursor && !signal.aborted) await options.onPage(page);
      cursor = page.upTo;
    } catch (error) {
      if (signal.aborted) return;
      if (reasonOf(error) === 'Expired') {
        isStarted = true;
        cursor = undefined;
        options.onExpired();
        continue;
      }
      options.onError(error);
      await sleep(RETRY_MS, undefined, { signal }).catch(() => undefined);
    }
  }
}
