import type { KubeObject } from './kube.object.ts';

interface OwnWrite {
  /** What this process made of it. */
  readonly object: KubeObject;
  /** The versions that it has replaced. */
  readonly replaced: ReadonlySet<string>;
}

/**
 * What this process wrote is known at once; the watch tells of it later, and until then tells of
 * versions that have been replaced. Versions are compared for equality only.
 */
export class OwnWrites {
  readonly #writes = new Map<string, OwnWrite>();

  note(before: KubeObject, after: KubeObject): void {
    if (before.metadata.resourceVersion === after.metadata.resourceVersion) return;
    const { name, uid } = after.metadata;
    const known = this.#writes.get(name);
    const isSame = known?.object.metadata.uid === uid;
    const replaced = new Set(isSame ? known?.replaced : []);
    replaced.add(before.metadata.resourceVersion);
    this.#writes.set(name, { object: after, replaced });
  }

  /** The newer one of what was heard of an object and what was written to it. */
  latest(name: string, heard: KubeObject | undefined): KubeObject | undefined {
    const own = this.#writes.get(name);
    if (own === undefined) return heard;
    const isStale =
      heard?.metadata.uid === own.object.metadata.uid &&
      own.replaced.has(heard.metadata.resourceVersion);
    if (isStale) return own.object;
    this.#writes.delete(name);
    return heard;
  }

  /** Another process may have written since. */
  clear(): void {
    this.#writes.clear();
  }
}
