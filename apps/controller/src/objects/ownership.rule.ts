import type { Labels, Owner } from '@entrofleet/protocol';
import { isSameJson } from './same.json.ts';

/** Who asks for a change: a client of the REST interface, or a custom resource of Kubernetes. */
export type Actor = { readonly manager: 'Rest' } | KubernetesActor;

export interface KubernetesActor {
  readonly manager: 'Kubernetes';
  readonly namespace: string;
  readonly name: string;
  readonly uid: string;
  /** Of the custom resource. */
  readonly generation: number;
  /** It says that it takes over what is somebody else's. */
  readonly adopt: boolean;
}

export const REST: Actor = { manager: 'Rest' };

/** What somebody wants to do to what is wanted of an object. */
export type Change = 'change' | 'delete' | 'pause' | 'resume' | 'undo';

export interface OwnedObject {
  /** As messages name it, e.g. `model`. */
  readonly kind: string;
  readonly name: string;
  readonly owner: Owner | null;
}

export interface OwnershipFault {
  readonly reason: 'OwnedByKubernetes' | 'OwnedByRest';
  readonly message: string;
}

/** On a custom resource, with the value `true`: it takes over what is somebody else's. */
export const ADOPT_ANNOTATION = 'entrofleet.io/adopt';

/**
 * Why an actor may not change an object, with what to do instead; `undefined`: it may. A custom
 * resource that was made anew, so with another uid, goes on where the one before it ended; only one
 * of the very same uid may delete.
 */
export function ownershipFault(
  object: OwnedObject,
  actor: Actor,
  change: Change,
): OwnershipFault | undefined {
  const { owner } = object;
  if (actor.manager === 'Rest')
    return owner === null ? undefined : ownedFault(object, owner, change);
  if (change === 'delete') return owner?.uid === actor.uid ? undefined : notItsOwn(object, actor);
  if (actor.adopt || isOf(owner, actor)) return undefined;
  if (owner !== null) return ownedFault(object, owner, change);
  return {
    reason: 'OwnedByRest',
    message:
      `${object.kind} "${object.name}" was made through the REST interface; to have this resource ` +
      `take it over: kubectl -n ${actor.namespace} annotate ${object.kind} ${actor.name} ` +
      `${ADOPT_ANNOTATION}=true`,
  };
}

/** Is it this custom resource's, or was it the one's that had this name before? */
export function isOf(
  owner: Owner | null,
  { namespace, name }: Pick<KubernetesActor, 'namespace' | 'name'>,
): boolean {
  return owner !== null && owner.namespace === namespace && owner.name === name;
}

/** The owner of an object that an actor has brought to its spec. */
export function ownerAfter(actor: Actor, appliedGeneration: number): Owner | null {
  if (actor.manager === 'Rest') return null;
  const { adopt, ...owner } = actor;
  return { ...owner, appliedGeneration };
}

/**
 * The owner after a spec and labels were applied over an object. `appliedGeneration` is where the
 * object took on the custom resource's generation, so one that is applied again leaves it.
 */
export function ownerAfterApply(
  actor: Actor,
  current: { readonly metadata: { readonly generation: number }; readonly spec: unknown },
  spec: unknown,
): Owner | null {
  const { generation } = current.metadata;
  return ownerAfter(actor, isSameJson(spec, current.spec) ? generation : generation + 1);
}

/** Has a custom resource been taken over as it is now? */
export function isApplied(
  { owner, labels }: { readonly owner: Owner | null; readonly labels: Labels },
  actor: KubernetesActor,
  wanted: Labels,
): boolean {
  return (
    owner?.uid === actor.uid &&
    isOf(owner, actor) &&
    owner.generation === actor.generation &&
    isSameJson(labels, wanted)
  );
}

function ownedFault({ kind, name }: OwnedObject, owner: Owner, change: Change): OwnershipFault {
  const kubectl = `kubectl -n ${owner.namespace}`;
  const what = `${kind} ${owner.name}`;
  const paused = (value: boolean) =>
    `${kubectl} patch ${what} --type merge -p '{"spec":{"paused":${value}}}'`;
  const commands: Readonly<Record<Change, string>> = {
    change: `${kubectl} edit ${what}`,
    delete: `${kubectl} delete ${what}`,
    pause: paused(true),
    resume: paused(false),
    undo: `${kubectl} edit ${what}, with the spec of the revision`,
  };
  return {
    reason: 'OwnedByKubernetes',
    message:
      `${kind} "${name}" is owned by Kubernetes (${kind} ${owner.namespace}/${owner.name}); ` +
      `change it there: ${commands[change]}`,
  };
}

function notItsOwn({ kind, name, owner }: OwnedObject, actor: KubernetesActor): OwnershipFault {
  const reason = owner === null ? 'OwnedByRest' : 'OwnedByKubernetes';
  const message = `${kind} "${name}" is not owned by the resource ${actor.namespace}/${actor.name}`;
  return { reason, message };
}
