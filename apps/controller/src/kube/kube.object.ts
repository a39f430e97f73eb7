import { z } from 'zod';

/**
 * What is read of an object's metadata. `resourceVersion` is opaque: it is compared for equality
 * and sent back, never counted with.
 */
const metadataSchema = z.object({
  name: z.string().min(1),
  namespace: z.string().min(1),
  uid: z.string().min(1),
  resourceVersion: z.string().min(1),
  generation: z.int().min(0).default(0),
  creationTimestamp: z.string().optional(),
  /** Set: someone has deleted the object, and it goes when its last finalizer is gone. */
  deletionTimestamp: z.string().optional(),
  finalizers: z.array(z.string()).default([]),
  labels: z.record(z.string(), z.string()).default({}),
  annotations: z.record(z.string(), z.string()).default({}),
});

/**
 * A custom resource as the API server sends it. Only its metadata is checked: `spec` and `status`
 * are for the reader to parse, so that one bad object is one problem and no more.
 */
export const kubeObjectSchema = z.object({
  metadata: metadataSchema,
  spec: z.unknown().optional(),
  status: z.unknown().optional(),
});

export type KubeObject = Readonly<z.infer<typeof kubeObjectSchema>>;
export type KubeMetadata = KubeObject['metadata'];

/** One line about an object that has no metadata to speak of: its name if any, what is wrong. */
export function malformedText(object: unknown, error: z.ZodError): string {
  const named = z.object({ metadata: z.object({ name: z.string() }) }).safeParse(object);
  const name = named.success ? named.data.metadata.name : 'without a name';
  const [issue] = error.issues;
  return `${name}: ${issue?.path.join('.')} ${issue?.message}`;
}
