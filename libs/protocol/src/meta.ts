import { z } from 'zod';
import { LIMITS } from './limits.ts';
import { labelsSchema, nameSchema } from './names.ts';

/** Instant as RFC 3339 in UTC, e.g. `2026-11-21T08:00:00.000Z`. */
export const instantSchema = z.iso.datetime();

/** What a client may say about an object; the rest of the metadata is the controller's. */
export const objectMetaInputSchema = z.strictObject({
  name: nameSchema,
  labels: labelsSchema.default({}),
  resourceVersion: z
    .string()
    .optional()
    .describe('When given on update, the update fails with 409 unless it is still current'),
});

/**
 * Who alone changes what is wanted of an object: a custom resource of the same kind. `generation` is
 * the custom resource's own, as it was last taken over; `appliedGeneration` is the generation of the
 * object that it became.
 */
export const ownerSchema = z.strictObject({
  manager: z.literal('Kubernetes'),
  namespace: z.string().min(1),
  name: nameSchema,
  uid: z.string().min(1),
  generation: z.int().min(0),
  appliedGeneration: z.int().min(1),
});
export type Owner = z.infer<typeof ownerSchema>;

/** Kubernetes-style metadata. `generation` counts spec changes, `resourceVersion` every change. */
export const objectMetaSchema = z.strictObject({
  name: nameSchema,
  uid: z.uuid(),
  labels: labelsSchema,
  generation: z.int().min(1),
  resourceVersion: z.string(),
  creationTimestamp: instantSchema,
  owner: ownerSchema
    .nullable()
    .default(null)
    .describe('Who alone may change spec and labels; null: clients of this interface'),
});
export type ObjectMeta = z.infer<typeof objectMetaSchema>;

/** Kubernetes condition. `reason` is CamelCase for machines, `message` is for people. */
export const conditionSchema = z.strictObject({
  type: z.string().regex(/^[A-Z][A-Za-z0-9]*$/),
  status: z.enum(['True', 'False', 'Unknown']),
  reason: z.string().regex(/^[A-Z][A-Za-z0-9]*$/),
  message: z.string().max(LIMITS.errorMessageLength),
  lastTransitionTime: instantSchema,
  observedGeneration: z.int().min(0),
});
export type Condition = z.infer<typeof conditionSchema>;

/**
 * Sets one condition in a list; `lastTransitionTime` moves only when `status` changes, as the
 * Kubernetes API conventions ask.
 */
export function withCondition(
  conditions: readonly Condition[],
  next: Omit<Condition, 'lastTransitionTime'> & { now: string },
): Condition[] {
  const { now, ...condition } = next;
  const previous = conditions.find((c) => c.type === condition.type);
  const lastTransitionTime =
    previous !== undefined && previous.status === condition.status
      ? previous.lastTransitionTime
      : now;
  const message = condition.message.slice(0, LIMITS.errorMessageLength);
  const updated = { ...condition, message, lastTransitionTime };
  if (previous === undefined) return [...conditions, updated];
  return conditions.map((c) => (c.type === condition.type ? updated : c));
}

/** List envelope with a continuation token, as `kubectl get --chunk-size` uses it. */
export function listSchema<T extends z.ZodType>(item: T) {
  return z.strictObject({
    items: z.array(item),
    metadata: z.strictObject({
      continue: z.string().optional().describe('Pass as ?continue= to read the next page'),
      resourceVersion: z
        .string()
        .optional()
        .describe('Of a first page: watch from here to miss nothing after it'),
    }),
  });
}
