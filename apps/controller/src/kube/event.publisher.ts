import type { FleetEvent, Owner } from '@entrofleet/protocol';
import type { Log } from '../adapters/log.ts';
import { messageOf } from '../errors.ts';
import type { EventStore } from '../events/event.store.ts';
import type { ChangeFeed } from '../watch/change.feed.ts';
import type { ChangePage } from '../watch/change.ts';
import { followChanges } from './change.follower.ts';
import { type EventAllowances, eventKey, planEvents } from './event.plan.ts';
import type { KubeClient, KubeEvent } from './kube.client.ts';
import { KubeAlreadyExists, KubeForbidden, KubeInvalid } from './kube.error.ts';
import { type Leadership, NotLeader } from './leadership.ts';
import type { SyncedKinds } from './synced.kinds.ts';
import type { WatermarkStore } from './watermark.store.ts';

const WATERMARK = 'kubernetes events';
/** Versions move with every change of anything; so often at most they are saved for nothing. */
const IDLE_SAVE_MS = 300_000;

export interface EventPublisherParts {
  readonly client: KubeClient;
  readonly kinds: SyncedKinds;
  readonly events: EventStore;
  readonly watermarks: WatermarkStore;
  readonly feed: ChangeFeed;
  readonly leadership: Leadership;
  readonly log: Log;
}

/**
 * Tells Kubernetes what happened to the objects that custom resources own, once each, also over
 * restarts: what was published up to is in the database, and an event has one name.
 */
export class EventPublisher {
  readonly #parts: EventPublisherParts;
  #allowances: EventAllowances = new Map();
  #savedMs = performance.now();

  constructor(parts: EventPublisherParts) {
    this.#parts = parts;
  }

  /** Until it is aborted. Events from before the very first start are not told. */
  async run(signal: AbortSignal): Promise<void> {
    const { feed, events, log } = this.#parts;
    const source = { kind: 'events', changes: events.changes.bind(events) } as const;
    await followChanges(feed, source, {
      start: () => this.#start(),
      signal,
      onPage: (page) => this.#publishPage(page),
      onExpired: () => log.warn('events were collected before Kubernetes was told of them'),
      onError: (error) => {
        if (error instanceof NotLeader) return;
        log.warn('Kubernetes cannot be told of events', { error: messageOf(error) });
      },
    });
  }

  async #start(): Promise<number> {
    const { watermarks, feed, leadership } = this.#parts;
    const known = await watermarks.find(WATERMARK);
    if (known !== undefined) return known;
    const now = await feed.current();
    leadership.fence();
    await watermarks.save(WATERMARK, now);
    return now;
  }

  async #publishPage({ changes, upTo }: ChangePage): Promise<void> {
    const told = changes.map(({ object }) => object as FleetEvent);
    const plan = planEvents(told, {
      owners: await this.#ownersOf(told),
      allowances: this.#allowances,
      nowMs: performance.now(),
    });
    for (const event of plan.publish) await this.#publish(event);
    this.#allowances = plan.allowances;
    const isDue = performance.now() - this.#savedMs > IDLE_SAVE_MS;
    // Events that were nobody's are not told either when their object is taken over later.
    if (changes.length === 0 && !isDue) return;
    this.#parts.leadership.fence();
    await this.#parts.watermarks.save(WATERMARK, upTo);
    this.#savedMs = performance.now();
  }

  async #ownersOf(told: readonly FleetEvent[]): Promise<Map<string, Owner>> {
    const { kinds, client } = this.#parts;
    const objects = new Map(told.map(({ object }) => [eventKey(object), object]));
    const owners = new Map<string, Owner>();
    for (const [key, { kind, name }] of objects) {
      const synced = kinds.all.find(({ resource }) => resource.kind === kind);
      const owner = (await synced?.find(name))?.metadata.owner;
      if (owner?.namespace === client.namespace) owners.set(key, owner);
    }
    return owners;
  }

  async #publish(event: KubeEvent): Promise<void> {
    const { client, leadership, log } = this.#parts;
    leadership.fence();
    try {
      await client.createEvent(event);
    } catch (error) {
      if (error instanceof KubeAlreadyExists) return;
      const isHopeless = error instanceof KubeInvalid || error instanceof KubeForbidden;
      if (!isHopeless) throw error;
      log.warn('an event was refused', { event: event.name, error: messageOf(error) });
    }
  }
}
