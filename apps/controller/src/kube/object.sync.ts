import type { Clock } from '../adapters/clock.ts';
import type { Log } from '../adapters/log.ts';
import { messageOf } from '../errors.ts';
import type { KubeClient } from './kube.client.ts';
import { KubeConflict, KubeNotFound } from './kube.error.ts';
import { type Leadership, NotLeader } from './leadership.ts';
import { OwnWrites } from './own.writes.ts';
import type { ResourceWatch } from './resource.watch.ts';
import { projectedStatus } from './status.projection.ts';
import type { StatusWriter } from './status.writer.ts';
import { type Found, SyncExecutors } from './sync.executors.ts';
import { actorOf, isOwnOf, resourceFacts, storedFacts } from './sync.facts.ts';
import { nextStep, type SyncStep } from './sync.plan.ts';
import { SyncQueue } from './sync.queue.ts';
import { SyncRefusals } from './sync.refusals.ts';
import type { SyncedKind } from './synced.kinds.ts';

const CONCURRENCY = 4;
/** Each step brings the object closer, so more than these mean that somebody works against us. */
const STEPS_MAX = 10;

export interface ObjectSyncParts {
  readonly kind: SyncedKind;
  readonly client: KubeClient;
  readonly watch: Pick<ResourceWatch, 'find' | 'isSynced' | 'objects'>;
  readonly leadership: Leadership;
  readonly writer: StatusWriter;
  readonly clock: Clock;
  readonly log: Log;
}

/**
 * Brings objects to what custom resources of one kind ask for, and their statuses back. Level-
 * triggered: a name is all that it is told, and everything is looked at again.
 */
export class ObjectSync {
  readonly #parts: ObjectSyncParts;
  readonly #own = new OwnWrites();
  readonly #refusals = new SyncRefusals();
  readonly #executors: SyncExecutors;
  readonly #queue: SyncQueue;

  constructor(parts: ObjectSyncParts) {
    const { kind, client } = parts;
    this.#parts = parts;
    this.#executors = new SyncExecutors({
      kind,
      client,
      own: this.#own,
      refusals: this.#refusals,
    });
    this.#queue = new SyncQueue({
      concurrency: CONCURRENCY,
      work: (name) => this.#sync(name),
      onError: (name, error, retryMs) => this.#reportFailure(name, error, retryMs),
    });
  }

  /** Has an object looked at soon. */
  enqueue(name: string): void {
    this.#queue.add(name);
  }

  enqueueAll(): void {
    for (const { metadata } of this.#parts.watch.objects) this.enqueue(metadata.name);
  }

  /** What could not be removed may go now. */
  retryRemovals(): void {
    for (const name of this.#refusals.takeRemovals()) this.enqueue(name);
  }

  /** Resolves when nothing is being done any more. */
  close(): Promise<void> {
    return this.#queue.close();
  }

  whenIdle(): Promise<void> {
    return this.#queue.whenIdle();
  }

  /**
   * Takes step after step until the resource, the object and the status agree.
   * @returns after how long to look again; `undefined`: when something happens.
   */
  async #sync(name: string): Promise<number | undefined> {
    for (let steps = 0; steps < STEPS_MAX; steps++) {
      // Until everything is listed, nothing is known to be missing.
      if (!this.#parts.watch.isSynced) return undefined;
      const found = await this.#find(name);
      const step = this.#plan(found);
      if (step === undefined) {
        this.#forget(found);
        return undefined;
      }
      this.#parts.leadership.fence();
      try {
        if (step.kind === 'WriteStatus') return await this.#writeStatus(found, step);
        await this.#executors.carryOut(step.kind, found);
      } catch (error) {
        // The watch tells of it soon.
        if (error instanceof KubeNotFound) return undefined;
        if (!(error instanceof KubeConflict)) throw error;
        await this.#readAgain(found);
      }
    }
    throw new Error(`does not settle within ${STEPS_MAX} steps`);
  }

  async #find(name: string): Promise<Found> {
    const { kind, watch } = this.#parts;
    const stored = await kind.find(name);
    const resource = this.#own.latest(name, watch.find(name));
    return { name, resource, stored, wanted: resource && kind.wanted(resource) };
  }

  #plan({ name, resource, stored, wanted }: Found): SyncStep | undefined {
    const { kind, client } = this.#parts;
    const of = {
      kind: kind.resource.singular,
      key: { namespace: client.namespace, name },
      actor: resource && actorOf(resource),
      wanted,
    };
    return nextStep({
      resource: resource && wanted && resourceFacts(resource, wanted),
      stored: stored && storedFacts(stored, of),
      refusal: resource && this.#refusals.of(resource),
      nowMs: performance.now(),
    });
  }

  async #writeStatus(
    { resource, stored }: Found,
    { verdict, againAtMs }: Extract<SyncStep, { kind: 'WriteStatus' }>,
  ): Promise<number | undefined> {
    if (resource === undefined) return undefined;
    const { kind, writer, clock } = this.#parts;
    const owned =
      stored !== undefined && isOwnOf(stored.metadata.owner, actorOf(resource))
        ? stored
        : { status: kind.initialStatus(), metadata: { owner: null } };
    const { owner } = owned.metadata;
    const now = clock.instant();
    const status = projectedStatus(kind.shown(owned.status), { resource, owner, verdict, now });
    const outcome = await writer.write(kind.resource, resource, status);
    this.#own.note(resource, outcome.object);
    const retryMs =
      againAtMs === undefined ? undefined : Math.max(0, againAtMs - performance.now());
    return earliest(outcome.againMs, retryMs);
  }

  async #readAgain({ name, resource }: Found): Promise<void> {
    const { client, kind } = this.#parts;
    const now = await client.get(kind.resource, name);
    if (resource !== undefined && now !== undefined) this.#own.note(resource, now);
  }

  #forget({ name, resource }: Found): void {
    if (resource !== undefined) return;
    this.#refusals.forget(name);
    this.#parts.writer.forget(this.#parts.kind.resource, name);
  }

  #reportFailure(name: string, error: unknown, retryMs: number): void {
    if (error instanceof NotLeader) return;
    const { singular } = this.#parts.kind.resource;
    const fields = { resource: `${singular}/${name}`, error: messageOf(error), retryMs };
    this.#parts.log.warn('a resource could not be brought in line', fields);
  }
}

function earliest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined || b === undefined ? (a ?? b) : Math.min(a, b);
}
