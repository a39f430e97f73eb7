import { RequestError } from '../errors.ts';
import type { KubeClient } from './kube.client.ts';
import type { KubeObject } from './kube.object.ts';
import type { OwnWrites } from './own.writes.ts';
import { faultText, type ResourceInput } from './resource.input.ts';
import { actorOf, FINALIZER } from './sync.facts.ts';
import type { Refusal, SyncStep } from './sync.plan.ts';
import type { SyncRefusals } from './sync.refusals.ts';
import type { SyncedKind, SyncedObject, Wanted } from './synced.kinds.ts';

/** A resource and the object of its name, as they were found. */
export interface Found {
  readonly name: string;
  readonly resource: KubeObject | undefined;
  readonly stored: SyncedObject | undefined;
  readonly wanted: ResourceInput<Wanted> | undefined;
}

/** The status is written by another hand: it comes last, and is not done but published. */
export type Effect = Exclude<SyncStep['kind'], 'WriteStatus'>;

export interface ExecutorParts {
  readonly kind: SyncedKind;
  readonly client: KubeClient;
  readonly own: OwnWrites;
  readonly refusals: SyncRefusals;
}

/** The table of effects: how each step is carried out. Any may run twice. */
export class SyncExecutors {
  readonly #parts: ExecutorParts;
  readonly #table: Readonly<Record<Effect, (found: Found) => Promise<void>>> = {
    AddFinalizer: ({ resource }) => this.#setFinalizers(resource, (names) => [...names, FINALIZER]),
    RemoveFinalizer: ({ resource }) =>
      this.#setFinalizers(resource, (names) => names.filter((name) => name !== FINALIZER)),
    Apply: (found) => this.#apply(found),
    Remove: (found) => this.#remove(found),
    Release: (found) => this.#release(found),
  };

  constructor(parts: ExecutorParts) {
    this.#parts = parts;
  }

  carryOut(effect: Effect, found: Found): Promise<void> {
    return this.#table[effect](found);
  }

  async #setFinalizers(
    resource: KubeObject | undefined,
    change: (names: readonly string[]) => readonly string[],
  ): Promise<void> {
    if (resource === undefined) return;
    const { kind, client, own } = this.#parts;
    const { metadata } = resource;
    const finalizers = change(metadata.finalizers);
    own.note(resource, await client.patchMetadata(kind.resource, metadata, { finalizers }));
  }

  async #apply({ resource, wanted }: Found): Promise<void> {
    if (resource === undefined || wanted === undefined || 'fault' in wanted) return;
    await this.#attempt('Apply', resource, () => wanted.input.apply(actorOf(resource)));
  }

  async #remove({ name, resource }: Found): Promise<void> {
    if (resource === undefined) return;
    const { kind } = this.#parts;
    await this.#attempt('Remove', resource, () => kind.remove(name, actorOf(resource)));
  }

  /** A list may come from a server that had not caught up, so it is asked for this one. */
  async #release({ name }: Found): Promise<void> {
    const { kind, client } = this.#parts;
    if ((await client.get(kind.resource, name)) !== undefined) {
      throw new Error('the resource was not in the list, yet it is there');
    }
    await kind.release(name, { namespace: client.namespace, name });
  }

  async #attempt(
    attempt: Refusal['attempt'],
    resource: KubeObject,
    act: () => Promise<void>,
  ): Promise<void> {
    const { refusals } = this.#parts;
    try {
      await act();
      refusals.forget(resource.metadata.name);
    } catch (error) {
      if (!isRefusal(error)) throw error;
      const { reason, errors = [], message } = error;
      refusals.note(resource, attempt, { reason, message: faultText(errors) || message });
    }
  }
}

/** Only a change of the resource or of the world helps; anything else is tried again as it is. */
function isRefusal(error: unknown): error is RequestError {
  if (!(error instanceof RequestError)) return false;
  return error.status === 400 || error.status === 422 || error.reason === 'ModelInUse';
}
