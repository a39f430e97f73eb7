import type { ObjectMeta } from '@entrofleet/protocol';
import { Conflict } from '../errors.ts';
import { type Actor, type Change, ownershipFault } from './ownership.rule.ts';

/** @throws Conflict `OwnedByKubernetes` or `OwnedByRest` when the object is somebody else's. */
export function assertMayChange(
  kind: string,
  { metadata }: { readonly metadata: Pick<ObjectMeta, 'name' | 'owner'> },
  actor: Actor,
  change: Change = 'change',
): void {
  const { name, owner } = metadata;
  const fault = ownershipFault({ kind, name, owner }, actor, change);
  if (fault !== undefined) throw new Conflict(fault.reason, fault.message);
}
