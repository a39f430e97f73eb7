import { z } from 'zod';
import { type KubeObject, kubeObjectSchema, malformedText } from './kube.object.ts';

/** One line of a watch. */
export type WatchEvent =
  | { readonly kind: 'Object'; readonly isDeleted: boolean; readonly object: KubeObject }
  | { readonly kind: 'Bookmark'; readonly resourceVersion: string }
  | { readonly kind: 'Error'; readonly status: number; readonly message: string }
  | { readonly kind: 'Malformed'; readonly problem: string };

const eventSchema = z.object({
  type: z.enum(['ADDED', 'MODIFIED', 'DELETED', 'BOOKMARK', 'ERROR']),
  object: z.unknown().optional(),
});
const bookmarkSchema = z.object({ metadata: z.object({ resourceVersion: z.string().min(1) }) });
const errorSchema = z.object({ code: z.int().default(0), message: z.string().default('') });

const PROBLEM_CHARACTERS = 200;

export function watchEvent(line: string): WatchEvent {
  const event = eventSchema.safeParse(jsonIn(line));
  if (!event.success) return malformed(`no event: ${line}`);
  const { type, object } = event.data;
  if (type === 'BOOKMARK') {
    const { data } = bookmarkSchema.safeParse(object);
    if (data === undefined) return malformed('a bookmark without a version');
    return { kind: 'Bookmark', resourceVersion: data.metadata.resourceVersion };
  }
  if (type === 'ERROR') {
    const { data } = errorSchema.safeParse(object);
    return { kind: 'Error', status: data?.code ?? 0, message: data?.message ?? 'no message' };
  }
  const parsed = kubeObjectSchema.safeParse(object);
  if (!parsed.success) return malformed(malformedText(object, parsed.error));
  return { kind: 'Object', isDeleted: type === 'DELETED', object: parsed.data };
}

function malformed(problem: string): WatchEvent {
  return { kind: 'Malformed', problem: problem.slice(0, PROBLEM_CHARACTERS) };
}

function jsonIn(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    return undefined;
  }
}
