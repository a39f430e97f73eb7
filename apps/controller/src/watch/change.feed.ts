import { setTimeout as sleep } from 'node:timers/promises';
import { Inject, Injectable } from '@nestjs/common';
import { RequestError } from '../errors.ts';
import type { Change, ChangePage, ChangeSource } from './change.ts';
import { VersionHorizon } from './version.horizon.ts';
import { VersionStore } from './version.store.ts';

/** How often the database is asked for a newer version, while somebody watches. */
const POLL_MS = 200;
/** The same while writers are at work, who end soon. */
const EAGER_POLL_MS = 25;
const PAGE_CHANGES = 250;
/** Pages that watchers share; those of one kind mostly want the same one. */
const PAGES_KEPT = 8;

/**
 * Changes in the order of their versions, for any number of watchers in this process: the database
 * is asked once for all of them. Other processes need not be told of anything, they ask, too.
 */
@Injectable()
export class ChangeFeed {
  readonly #horizon = new VersionHorizon();
  readonly #pages = new Map<string, Promise<ChangePage>>();
  #observing: Promise<void> | undefined;
  #ticking: Promise<void> | undefined;
  #observedMs = Number.NEGATIVE_INFINITY;
  #pauseMs = POLL_MS;

  constructor(@Inject(VersionStore) private readonly versions: VersionStore) {}

  /** A version, shortly before now, up to which everything can be read. */
  async current(): Promise<number> {
    if (performance.now() - this.#observedMs > POLL_MS) await this.#observe();
    return this.#horizon.settled;
  }

  /**
   * @throws RequestError 410 `Expired` when changes after this version may be forgotten, or when it
   * was never drawn: then a client must list anew.
   */
  async assertKept(kind: ChangeSource['kind'], after: number): Promise<void> {
    const { last } = await this.versions.observe();
    if (after <= last && after >= (await this.versions.floor(kind))) return;
    throw expired(after);
  }

  /**
   * Changes after a version; waits for some.
   * @returns an empty page when none has come until `deadlineMs` (of performance.now()).
   * @throws RequestError 410 `Expired`
   */
  async next(
    source: ChangeSource,
    options: { after: number; deadlineMs: number; signal: AbortSignal },
  ): Promise<ChangePage> {
    const { after, deadlineMs, signal } = options;
    for (;;) {
      const upTo = this.#horizon.settled;
      if (upTo > after) return this.#page(source, { after, upTo });
      if (signal.aborted || performance.now() >= deadlineMs) return { changes: [], upTo: after };
      await this.#tick();
    }
  }

  #page(source: ChangeSource, range: { after: number; upTo: number }): Promise<ChangePage> {
    const key = `${source.kind} ${range.after} ${range.upTo}`;
    const known = this.#pages.get(key);
    if (known !== undefined) return known;
    const page = this.#read(source, range);
    this.#pages.set(key, page);
    page.catch(() => this.#pages.delete(key));
    for (const oldest of this.#pages.keys()) {
      if (this.#pages.size <= PAGES_KEPT) break;
      this.#pages.delete(oldest);
    }
    return page;
  }

  async #read(source: ChangeSource, range: { after: number; upTo: number }): Promise<ChangePage> {
    const changes = await source.changes({ ...range, limit: PAGE_CHANGES });
    // Asked afterwards: nothing that was forgotten before then is missing unnoticed.
    if (range.after < (await this.versions.floor(source.kind))) throw expired(range.after);
    return { changes, upTo: endOf(changes, range.upTo) };
  }

  #tick(): Promise<void> {
    this.#ticking ??= sleep(this.#pauseMs)
      .then(() => this.#observe())
      .finally(() => {
        this.#ticking = undefined;
      });
    return this.#ticking;
  }

  #observe(): Promise<void> {
    this.#observing ??= this.versions
      .observe()
      .then((seen) => {
        this.#pauseMs = this.#horizon.observe(seen) ? EAGER_POLL_MS : POLL_MS;
        this.#observedMs = performance.now();
      })
      .finally(() => {
        this.#observing = undefined;
      });
    return this.#observing;
  }
}

/** A full page ends with its last change; more may follow. */
function endOf(changes: readonly Change[], upTo: number): number {
  return changes.length < PAGE_CHANGES ? upTo : (changes.at(-1)?.version ?? upTo);
}

function expired(after: number): RequestError {
  return new RequestError({
    status: 410,
    reason: 'Expired',
    message:
      `changes after resourceVersion ${after} are no longer known (or never were); ` +
      'list again and watch from the resourceVersion of that list',
  });
}
