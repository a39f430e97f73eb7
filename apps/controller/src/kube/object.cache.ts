import type { KubeObject } from './kube.object.ts';

export type ChangeType = 'Added' | 'Modified' | 'Deleted';

export interface ObjectChange {
  readonly type: ChangeType;
  readonly object: KubeObject;
}

/** The objects of a resource by name, and what is new in what is heard of them. */
export class ObjectCache {
  #objects = new Map<string, KubeObject>();

  find(name: string): KubeObject | undefined {
    return this.#objects.get(name);
  }

  get objects(): readonly KubeObject[] {
    return [...this.#objects.values()];
  }

  /** @returns what that changes: nothing for what is known already, however often it is heard. */
  hear(object: KubeObject): readonly ObjectChange[] {
    const known = this.#objects.get(object.metadata.name);
    this.#objects.set(object.metadata.name, object);
    return changesBetween(known, object);
  }

  hearDeleted(object: KubeObject): readonly ObjectChange[] {
    const { name, uid } = object.metadata;
    // Its namesake that was made later stays.
    if (this.#objects.get(name)?.metadata.uid !== uid) return [];
    this.#objects.delete(name);
    return [{ type: 'Deleted', object }];
  }

  /** Nothing but these is there. What went away is reported first, in its last known form. */
  replaceAll(objects: readonly KubeObject[]): readonly ObjectChange[] {
    const before = this.#objects;
    this.#objects = new Map(objects.map((object) => [object.metadata.name, object]));
    const gone = [...before.values()].filter(({ metadata }) => !this.#objects.has(metadata.name));
    return [
      ...gone.map((object) => ({ type: 'Deleted', object }) as const),
      ...objects.flatMap((object) => changesBetween(before.get(object.metadata.name), object)),
    ];
  }
}

function changesBetween(
  known: KubeObject | undefined,
  object: KubeObject,
): readonly ObjectChange[] {
  const added = { type: 'Added', object } as const;
  if (known === undefined) return [added];
  // Versions are counted for the whole store, but a store can be restored: the uid tells.
  if (known.metadata.uid !== object.metadata.uid) {
    return [{ type: 'Deleted', object: known }, added];
  }
  if (known.metadata.resourceVersion === object.metadata.resourceVersion) return [];
  return [{ type: 'Modified', object }];
}
