import type { KubeClient, ResourceName } from './kube.client.ts';
import type { KubeObject } from './kube.object.ts';
import { statusDifference, statusPauseMs } from './status.difference.ts';
import type { PublishedStatus } from './status.projection.ts';

export interface StatusOutcome {
  /** As the API server has it now. */
  readonly object: KubeObject;
  /** After so long it is to be written; there was something, but it can wait. */
  readonly againMs?: number;
}

/**
 * Writes statuses that differ from what is there, and nothing else. An object whose numbers change
 * all the time is written once in an interval, with what they are then.
 */
export class StatusWriter {
  readonly #client: KubeClient;
  readonly #intervalMs: number;
  /** When each object was written last, of performance.now(). */
  readonly #writtenMs = new Map<string, number>();

  constructor(client: KubeClient, options: { readonly intervalMs: number }) {
    this.#client = client;
    this.#intervalMs = options.intervalMs;
  }

  /** @throws KubeError, of which KubeConflict says that `object` is not the latest version. */
  async write(
    resource: ResourceName,
    object: KubeObject,
    status: PublishedStatus,
  ): Promise<StatusOutcome> {
    const difference = statusDifference(object.status, status);
    if (difference === 'None') return { object };
    const key = `${resource.plural}/${object.metadata.name}`;
    const lastMs = this.#writtenMs.get(key) ?? Number.NEGATIVE_INFINITY;
    const sinceWriteMs = performance.now() - lastMs;
    const againMs = statusPauseMs(difference, { sinceWriteMs, intervalMs: this.#intervalMs });
    if (againMs > 0) return { object, againMs };
    this.#writtenMs.set(key, performance.now());
    return { object: await this.#client.replaceStatus(resource, object.metadata, status) };
  }

  forget(resource: ResourceName, name: string): void {
    this.#writtenMs.delete(`${resource.plural}/${name}`);
  }
}
