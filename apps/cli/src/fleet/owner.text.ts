import type { Schemas } from '@entrofleet/client';
import { orDash } from './text.table.ts';

export type Owner = NonNullable<Schemas['Model']['metadata']['owner']>;

/** Who alone may change an object, e.g. `Kubernetes default/demo`; absent from older controllers. */
export function ownerText(owner: Owner | null | undefined): string {
  return orDash(owner == null ? null : `${owner.manager} ${owner.namespace}/${owner.name}`);
}
