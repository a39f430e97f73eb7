import { fieldErrors } from '@entrofleet/protocol';
import type { z } from 'zod';
import type { KubeObject } from './kube.object.ts';

/** Why a resource is not taken over; as the condition `Synced` says it. */
export interface SyncFault {
  /** CamelCase. */
  readonly reason: string;
  readonly message: string;
}

export type ResourceInput<T> = { readonly input: T } | { readonly fault: SyncFault };

/**
 * What a custom resource asks for, as a client of the REST interface would write it. The API server
 * has checked it against a structural schema, which says less than ours.
 */
export function resourceInput<T>(object: KubeObject, schema: z.ZodType<T>): ResourceInput<T> {
  const { name, labels } = object.metadata;
  const parsed = schema.safeParse({ metadata: { name, labels }, spec: object.spec });
  if (parsed.success) return { input: parsed.data };
  return { fault: { reason: 'Invalid', message: faultText(fieldErrors(parsed.error)) } };
}

/** Each offending field by JSON pointer into the resource. */
export function faultText(
  errors: readonly { readonly pointer: string; readonly message: string }[],
): string {
  return errors.map(({ pointer, message }) => `${pointer}: ${message}`).join('; ');
}
