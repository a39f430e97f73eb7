import { z } from 'zod';
import { API_GROUP, API_VERSION } from './custom.resources.ts';
import {
  type CallOptions,
  KubeClient,
  type KubeEvent,
  type KubeList,
  type LeaseRecord,
  type MetadataChange,
  type ResourceName,
  type SeenLease,
  type SeenObject,
  type WatchRequest,
} from './kube.client.ts';
import type { KubeConnection } from './kube.connection.ts';
import { KubeConflict, KubeInvalid, KubeNotFound } from './kube.error.ts';
import { eventObject } from './kube.event.ts';
import { leaseObject, seenLease } from './kube.lease.ts';
import { type KubeObject, kubeObjectSchema, malformedText } from './kube.object.ts';

const CALL_MS = 15_000;
/** A page is one answer, whole within the deadline, however long the list. */
const PAGE_OBJECTS = 250;

const pageSchema = z.object({
  metadata: z.object({ resourceVersion: z.string().min(1), continue: z.string().optional() }),
  items: z.array(z.unknown()).nullish(),
});

const readObject = (answer: unknown): KubeObject => kubeObjectSchema.parse(answer);

/** {@link KubeClient} over HTTP. */
export class HttpKubeClient extends KubeClient {
  readonly namespace: string;
  readonly #connection: KubeConnection;

  constructor(options: { readonly connection: KubeConnection; readonly namespace: string }) {
    super();
    this.namespace = options.namespace;
    this.#connection = options.connection;
  }

  async list(resource: ResourceName): Promise<KubeList> {
    const objects: KubeObject[] = [];
    const malformed: string[] = [];
    const path = this.#path(resource);
    let next: string | undefined;
    for (;;) {
      const query = { limit: String(PAGE_OBJECTS), continue: next };
      const { metadata, items } = await this.#connection
        .call({ method: 'GET', path, query }, { deadlineMs: CALL_MS, read: pageSchema.parse })
        .catch((error: unknown) => {
          throw error instanceof KubeNotFound ? notInstalled(resource, error) : error;
        });
      for (const item of items ?? []) {
        const parsed = kubeObjectSchema.safeParse(item);
        if (parsed.success) objects.push(parsed.data);
        else malformed.push(malformedText(item, parsed.error));
      }
      next = metadata.continue || undefined;
      if (next === undefined) {
        return { resourceVersion: metadata.resourceVersion, objects, malformed };
      }
    }
  }

  watch(resource: ResourceName, request: WatchRequest): AsyncIterable<string> {
    const query = {
      watch: 'true',
      allowWatchBookmarks: 'true',
      resourceVersion: request.resourceVersion,
      timeoutSeconds: String(request.timeoutSeconds),
    };
    return this.#connection.lines(
      { method: 'GET', path: this.#path(resource), query },
      { deadlineMs: CALL_MS, signal: request.signal },
    );
  }

  get(resource: ResourceName, name: string): Promise<KubeObject | undefined> {
    return orMissing(
      this.#connection.call(
        { method: 'GET', path: this.#path(resource, name) },
        { deadlineMs: CALL_MS, read: readObject },
      ),
    );
  }

  patchMetadata(
    resource: ResourceName,
    seen: SeenObject,
    change: MetadataChange,
  ): Promise<KubeObject> {
    const { name, uid, resourceVersion } = seen;
    const body = { metadata: { uid, resourceVersion, ...change } };
    return this.#connection
      .call(
        { method: 'PATCH', path: this.#path(resource, name), body },
        { deadlineMs: CALL_MS, read: readObject },
      )
      .catch((error: unknown) => {
        throw error instanceof KubeInvalid && error.message.includes('metadata.uid')
          ? new KubeConflict({ reason: 'OtherObject', message: error.message, status: 422 })
          : error;
      });
  }

  replaceStatus(resource: ResourceName, seen: SeenObject, status: object): Promise<KubeObject> {
    const { name, uid, resourceVersion } = seen;
    const body = {
      apiVersion: `${API_GROUP}/${API_VERSION}`,
      kind: resource.kind,
      metadata: { name, namespace: this.namespace, uid, resourceVersion },
      status,
    };
    return this.#connection.call(
      { method: 'PUT', path: `${this.#path(resource, name)}/status`, body },
      { deadlineMs: CALL_MS, read: readObject },
    );
  }

  async createEvent(event: KubeEvent): Promise<void> {
    const path = `/api/v1/namespaces/${this.namespace}/events`;
    const body = eventObject(event, this.namespace);
    const read = (): undefined => undefined;
    await this.#connection.call({ method: 'POST', path, body }, { deadlineMs: CALL_MS, read });
  }

  getLease(name: string, options: CallOptions = {}): Promise<SeenLease | undefined> {
    const path = `${this.#leases}/${encodeURIComponent(name)}`;
    return orMissing(this.#connection.call({ method: 'GET', path }, leaseCall(options)));
  }

  createLease(name: string, record: LeaseRecord, options: CallOptions = {}): Promise<SeenLease> {
    const body = leaseObject({ name, namespace: this.namespace }, record);
    const path = this.#leases;
    return this.#connection.call({ method: 'POST', path, body }, leaseCall(options));
  }

  replaceLease(
    name: string,
    seen: SeenLease,
    record: LeaseRecord,
    options: CallOptions = {},
  ): Promise<SeenLease> {
    const place = { name, namespace: this.namespace };
    const body = leaseObject(place, record, seen.resourceVersion);
    const path = `${this.#leases}/${encodeURIComponent(name)}`;
    return this.#connection.call({ method: 'PUT', path, body }, leaseCall(options));
  }

  close(): void {
    this.#connection.close();
  }

  get #leases(): string {
    return `/apis/coordination.k8s.io/v1/namespaces/${this.namespace}/leases`;
  }

  #path(resource: ResourceName, name?: string): string {
    const all = `/apis/${API_GROUP}/${API_VERSION}/namespaces/${this.namespace}/${resource.plural}`;
    return name === undefined ? all : `${all}/${encodeURIComponent(name)}`;
  }
}

function leaseCall(options: CallOptions) {
  return { deadlineMs: options.deadlineMs ?? CALL_MS, read: seenLease };
}

async function orMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (error instanceof KubeNotFound) return undefined;
    throw error;
  }
}

function notInstalled({ plural }: ResourceName, cause: KubeNotFound): KubeNotFound {
  const message = `${cause.message}; is the definition of ${plural}.${API_GROUP} installed?`;
  return new KubeNotFound({ reason: 'NotInstalled', message, status: 404 }, { cause });
}
