import type { SyncFault } from './resource.input.ts';

/** Of a custom resource. */
export interface ResourceFacts {
  /** Somebody has deleted it; it goes when its finalizers have gone. */
  readonly isDeleting: boolean;
  /** Ours. */
  readonly hasFinalizer: boolean;
  /** What a structural schema lets through and we do not. */
  readonly fault: SyncFault | undefined;
}

/** Of the object of that name in the database. */
export interface StoredFacts {
  /** The very resource owns it, not one that had its name before. */
  readonly isItsOwn: boolean;
  /** A resource of that namespace and name owns it. */
  readonly isOfItsName: boolean;
  /** It is as the resource wants it now. */
  readonly isApplied: boolean;
  /** Why the resource may not change it. */
  readonly fault: SyncFault | undefined;
}

/** That the last attempt was turned down, for a resource that has not changed since. */
export interface Refusal {
  readonly attempt: 'Apply' | 'Remove';
  readonly fault: SyncFault;
  /** Of performance.now(). */
  readonly retryAtMs: number;
}

export interface SyncFacts {
  /** `undefined`: there is none, for certain. */
  readonly resource: ResourceFacts | undefined;
  readonly stored: StoredFacts | undefined;
  readonly refusal: Refusal | undefined;
  /** Of performance.now(). */
  readonly nowMs: number;
}

/** What the status of the resource says of how it was taken over. */
export interface Verdict {
  readonly synced: 'Applied' | SyncFault;
  /** Why it is not deleted yet, though it shall be. */
  readonly notDeleted?: SyncFault;
}

export type SyncStep =
  | { readonly kind: 'AddFinalizer' }
  | { readonly kind: 'Apply' }
  | { readonly kind: 'Remove' }
  | { readonly kind: 'RemoveFinalizer' }
  | { readonly kind: 'Release' }
  /** The last one: it says how things stand. */
  | { readonly kind: 'WriteStatus'; readonly verdict: Verdict; readonly againAtMs?: number };

/**
 * What is to be done next about a custom resource and the object of its name; after that, look
 * again. `undefined`: nothing. The finalizer comes before the object, so that no deletion is missed;
 * an object goes only when the resource that owns it is deleted, never because one is missing.
 */
export function nextStep(facts: SyncFacts): SyncStep | undefined {
  const { resource, stored, refusal } = facts;
  if (resource === undefined) {
    return stored?.isOfItsName === true ? { kind: 'Release' } : undefined;
  }
  if (resource.isDeleting) return deletionStep(resource, facts);
  const fault = stored?.fault ?? resource.fault;
  if (fault !== undefined) return { kind: 'WriteStatus', verdict: { synced: fault } };
  if (!resource.hasFinalizer) return { kind: 'AddFinalizer' };
  if (stored?.isApplied === true) return { kind: 'WriteStatus', verdict: { synced: 'Applied' } };
  if (isStanding(refusal, 'Apply', facts.nowMs)) {
    const verdict = { synced: refusal.fault };
    return { kind: 'WriteStatus', verdict, againAtMs: refusal.retryAtMs };
  }
  return { kind: 'Apply' };
}

function deletionStep(
  { hasFinalizer, fault }: ResourceFacts,
  { stored, refusal, nowMs }: SyncFacts,
): SyncStep | undefined {
  if (!hasFinalizer) return undefined;
  if (stored?.isItsOwn !== true) return { kind: 'RemoveFinalizer' };
  if (!isStanding(refusal, 'Remove', nowMs)) return { kind: 'Remove' };
  const verdict = { synced: fault ?? ('Applied' as const), notDeleted: refusal.fault };
  return { kind: 'WriteStatus', verdict, againAtMs: refusal.retryAtMs };
}

function isStanding(
  refusal: Refusal | undefined,
  attempt: Refusal['attempt'],
  nowMs: number,
): refusal is Refusal {
  return refusal !== undefined && refusal.attempt === attempt && nowMs < refusal.retryAtMs;
}
