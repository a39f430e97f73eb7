import type { Owner } from '@entrofleet/protocol';
import type { Clock } from '../adapters/clock.ts';
import type { Database } from '../adapters/db.ts';
import type { Log } from '../adapters/log.ts';
import type { KubernetesConfig } from '../config.ts';
import { messageOf } from '../errors.ts';
import type { EventStore } from '../events/event.store.ts';
import type { ChangeFeed } from '../watch/change.feed.ts';
import type { Change } from '../watch/change.ts';
import type { ObjectChanges } from '../watch/object.changes.store.ts';
import { followChanges } from './change.follower.ts';
import { EventPublisher } from './event.publisher.ts';
import type { KubeClient } from './kube.client.ts';
import type { Leadership } from './leadership.ts';
import { ObjectSync } from './object.sync.ts';
import { ResourceWatch } from './resource.watch.ts';
import { StatusWriter } from './status.writer.ts';
import type { SyncedKind, SyncedKinds } from './synced.kinds.ts';
import type { WatermarkStore } from './watermark.store.ts';

export interface SessionParts {
  readonly config: Pick<KubernetesConfig, 'resyncMs' | 'statusIntervalMs'>;
  readonly client: KubeClient;
  readonly kinds: SyncedKinds;
  readonly leadership: Leadership;
  readonly database: Database;
  readonly feed: ChangeFeed;
  readonly changes: ObjectChanges;
  readonly events: EventStore;
  readonly watermarks: WatermarkStore;
  readonly clock: Clock;
  readonly log: Log;
}

interface KindSession {
  readonly kind: SyncedKind;
  readonly watch: ResourceWatch;
  readonly sync: ObjectSync;
}

/**
 * All that the leader does for Kubernetes, for as long as it is the leader. It keeps nothing that
 * outlives it: the next one, here or elsewhere, begins by listing everything.
 */
export class KubernetesSession {
  readonly #parts: SessionParts;
  readonly #abort = new AbortController();
  readonly #kinds: readonly KindSession[];
  #running: Promise<unknown> | undefined;

  constructor(parts: SessionParts) {
    this.#parts = parts;
    const { client, config, log } = parts;
    const writer = new StatusWriter(client, { intervalMs: config.statusIntervalMs });
    this.#kinds = parts.kinds.all.map((kind) => {
      const { resyncMs } = config;
      const watch = new ResourceWatch(client, { resource: kind.resource, resyncMs, log });
      return { kind, watch, sync: new ObjectSync({ ...parts, kind, watch, writer }) };
    });
  }

  start(): void {
    this.#running ??= this.#run().catch((error: unknown) => {
      if (this.#abort.signal.aborted) return;
      this.#parts.log.error('nothing is done for Kubernetes', { error: messageOf(error) });
    });
  }

  /** Resolves when nothing is being done any more. */
  async stop(): Promise<void> {
    this.#abort.abort();
    await Promise.all(this.#kinds.map(({ watch }) => watch.stop()));
    await Promise.all(this.#kinds.map(({ sync }) => sync.close()));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    await this.#parts.database.whenReady();
    if (signal.aborted) return;
    const publisher = new EventPublisher(this.#parts);
    for (const each of this.#kinds) this.#watch(each);
    await Promise.all([
      ...this.#kinds.map((each) => this.#followObjects(each)),
      publisher.run(signal),
    ]);
  }

  #watch({ kind, watch, sync }: KindSession): void {
    const { client, log } = this.#parts;
    watch.start({
      onChange: (_type, { metadata }) => sync.enqueue(metadata.name),
      onSync: () => {
        sync.enqueueAll();
        // Those whose resources went away while nobody watched.
        kind.namesOwnedBy(client.namespace).then(
          (names) => {
            for (const name of names) sync.enqueue(name);
          },
          (error: unknown) => {
            const { plural } = kind.resource;
            log.warn('cannot tell what is owned', { resource: plural, error: messageOf(error) });
          },
        );
      },
    });
  }

  async #followObjects({ kind, watch, sync }: KindSession): Promise<void> {
    const { changes, feed, client, log } = this.#parts;
    const { store } = kind;
    await followChanges(
      feed,
      { kind: store.table, changes: (range) => changes.read(store, range) },
      {
        start: async () => undefined,
        signal: this.#abort.signal,
        onPage: async (page) => {
          for (const change of page.changes) {
            const isOwned = ownerOf(change)?.namespace === client.namespace;
            if (isOwned || watch.find(change.key) !== undefined) sync.enqueue(change.key);
          }
          if (page.changes.some(({ isDeleted }) => isDeleted)) this.#retryRemovals();
        },
        onExpired: () => sync.enqueueAll(),
        onError: (error) => {
          const fields = { resource: kind.resource.plural, error: messageOf(error) };
          log.warn('cannot follow what becomes of objects', fields);
        },
      },
    );
  }

  /** What has gone may have been what held another object back. */
  #retryRemovals(): void {
    for (const { sync } of this.#kinds) sync.retryRemovals();
  }
}

function ownerOf({ object }: Change): Owner | null | undefined {
  return Object(object).metadata?.owner;
}
