import type { Owner } from '@entrofleet/protocol';
import {
  ADOPT_ANNOTATION,
  isApplied,
  isOf,
  type KubernetesActor,
  ownershipFault,
} from '../objects/ownership.rule.ts';
import { isSameJson } from '../objects/same.json.ts';
import type { KubeObject } from './kube.object.ts';
import type { ResourceInput } from './resource.input.ts';
import type { ResourceFacts, StoredFacts } from './sync.plan.ts';
import type { SyncedObject, Wanted } from './synced.kinds.ts';

/** A resource that has it is not gone before the object behind it is. */
export const FINALIZER = 'entrofleet.io/controller';

export function actorOf({ metadata }: KubeObject): KubernetesActor {
  const { namespace, name, uid, generation, annotations } = metadata;
  const adopt = annotations[ADOPT_ANNOTATION] === 'true';
  return { manager: 'Kubernetes', namespace, name, uid, generation, adopt };
}

export function resourceFacts(
  { metadata }: KubeObject,
  wanted: ResourceInput<Wanted>,
): ResourceFacts {
  return {
    isDeleting: metadata.deletionTimestamp !== undefined,
    hasFinalizer: metadata.finalizers.includes(FINALIZER),
    fault: 'fault' in wanted ? wanted.fault : undefined,
  };
}

/** @param actor `undefined`: the resource is gone */
export function storedFacts(
  stored: SyncedObject,
  of: {
    kind: string;
    key: Pick<KubernetesActor, 'namespace' | 'name'>;
    actor: KubernetesActor | undefined;
    wanted: ResourceInput<Wanted> | undefined;
  },
): StoredFacts {
  const { kind, key, actor, wanted } = of;
  const { name, owner, labels } = stored.metadata;
  const input = wanted !== undefined && 'input' in wanted ? wanted.input : undefined;
  return {
    isItsOwn: actor !== undefined && isOwnOf(owner, actor),
    isOfItsName: isOf(owner, key),
    isApplied:
      actor !== undefined &&
      input !== undefined &&
      isApplied({ owner, labels }, actor, input.labels) &&
      isSameJson(stored.spec, input.spec),
    fault: actor && ownershipFault({ kind, name, owner }, actor, 'change'),
  };
}

export function isOwnOf(owner: Owner | null, actor: KubernetesActor): boolean {
  return isOf(owner, actor) && owner?.uid === actor.uid;
}

/** What of a resource must change before something that was turned down is worth another try. */
export function attemptSignature({ metadata }: KubeObject): string {
  const { uid, generation, labels, deletionTimestamp } = metadata;
  return JSON.stringify([uid, generation, labels, deletionTimestamp ?? null]);
}
