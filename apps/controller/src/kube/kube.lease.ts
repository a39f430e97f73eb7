import { z } from 'zod';
import type { LeaseRecord, SeenLease } from './kube.client.ts';

/** A Lease that nobody holds may say nothing at all. */
const leaseSchema = z.object({
  metadata: z.object({ resourceVersion: z.string().min(1) }),
  spec: z
    .object({
      holderIdentity: z.string().nullish(),
      leaseDurationSeconds: z.number().nullish(),
      acquireTime: z.string().nullish(),
      renewTime: z.string().nullish(),
      leaseTransitions: z.number().nullish(),
    })
    .nullish(),
});

export function seenLease(answer: unknown): SeenLease {
  const { metadata, spec } = leaseSchema.parse(answer);
  return {
    resourceVersion: metadata.resourceVersion,
    holderIdentity: spec?.holderIdentity ?? '',
    leaseDurationSeconds: spec?.leaseDurationSeconds ?? 0,
    acquireTime: spec?.acquireTime ?? '',
    renewTime: spec?.renewTime ?? '',
    leaseTransitions: spec?.leaseTransitions ?? 0,
  };
}

/** @param version of the lease that this replaces; `undefined`: there is none. */
export function leaseObject(
  place: { readonly name: string; readonly namespace: string },
  record: LeaseRecord,
  version?: string,
): object {
  const metadata = version === undefined ? place : { ...place, resourceVersion: version };
  return { apiVersion: 'coordination.k8s.io/v1', kind: 'Lease', metadata, spec: record };
}
