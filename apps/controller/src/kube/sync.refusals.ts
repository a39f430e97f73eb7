import type { KubeObject } from './kube.object.ts';
import type { SyncFault } from './resource.input.ts';
import { attemptSignature } from './sync.facts.ts';
import type { Refusal } from './sync.plan.ts';

/** A source may appear, and a rollout be deleted, without the resource changing. */
const RETRY_MS = { Apply: 60_000, Remove: 5000 } as const;

/** What was turned down, so that it is not tried again at every look. */
export class SyncRefusals {
  readonly #known = new Map<string, { readonly signature: string; readonly refusal: Refusal }>();

  note(resource: KubeObject, attempt: Refusal['attempt'], fault: SyncFault): void {
    const refusal = { attempt, fault, retryAtMs: performance.now() + RETRY_MS[attempt] };
    this.#known.set(resource.metadata.name, { signature: attemptSignature(resource), refusal });
  }

  /** That of the resource as it is now. */
  of(resource: KubeObject): Refusal | undefined {
    const known = this.#known.get(resource.metadata.name);
    return known?.signature === attemptSignature(resource) ? known.refusal : undefined;
  }

  forget(name: string): void {
    this.#known.delete(name);
  }

  /** Forgets all removals that were turned down. @returns their names */
  takeRemovals(): string[] {
    const names = [...this.#known]
      .filter(([, { refusal }]) => refusal.attempt === 'Remove')
      .map(([name]) => name);
    for (const name of names) this.#known.delete(name);
    return names;
  }
}
