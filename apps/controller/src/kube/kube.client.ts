import type { CustomResource } from './custom.resources.ts';
import type { KubeObject } from './kube.object.ts';

/** What of a custom resource names it in a path. All are of `entrofleet.io/v1alpha1`. */
export type ResourceName = Pick<CustomResource, 'kind' | 'plural'>;

export interface KubeList {
  /** Of the moment the list shows; a watch goes on from here. */
  readonly resourceVersion: string;
  readonly objects: readonly KubeObject[];
  /** One line for each object that could not be read as one, with its name where it has one. */
  readonly malformed: readonly string[];
}

/** An object as it was last seen: a write to any other version, or to its namesake, is refused. */
export type SeenObject = Pick<KubeObject['metadata'], 'name' | 'uid' | 'resourceVersion'>;

export interface MetadataChange {
  /** All of them from now on: the list is replaced. */
  readonly finalizers?: readonly string[];
  /** Set, or with null removed; others stay. */
  readonly labels?: Readonly<Record<string, string | null>>;
  readonly annotations?: Readonly<Record<string, string | null>>;
}

/** A core/v1 Event about a custom resource. Times are RFC 3339 in UTC. */
export interface KubeEvent {
  /** Deterministic, so that the same event is never there twice. A DNS subdomain. */
  readonly name: string;
  readonly about: ResourceName & Pick<KubeObject['metadata'], 'name' | 'uid'>;
  readonly type: 'Normal' | 'Warning';
  /** CamelCase, at most 128 characters. */
  readonly reason: string;
  /** Cut to 1024 bytes, the limit of the API server. */
  readonly message: string;
  readonly at: string;
}

/** The part of a coordination.k8s.io/v1 Lease that leader election uses. */
export interface LeaseRecord {
  /** Empty: given back. */
  readonly holderIdentity: string;
  readonly leaseDurationSeconds: number;
  /** RFC 3339 in UTC with microseconds, by the holder's clock. */
  readonly acquireTime: string;
  readonly renewTime: string;
  /** How often the holder has changed. */
  readonly leaseTransitions: number;
}

export interface SeenLease extends LeaseRecord {
  readonly resourceVersion: string;
}

export interface WatchRequest {
  readonly resourceVersion: string;
  /** The server ends the watch after so long. */
  readonly timeoutSeconds: number;
  /** Aborts the request, at any stage. */
  readonly signal: AbortSignal;
}

export interface CallOptions {
  /** For this call, its one retry after a 401 included. Default: of the client. */
  readonly deadlineMs?: number;
}

/**
 * The API server, as far as entrofleet uses it: custom resources of one namespace, Events and one
 * Lease. Every call answers within a deadline and throws a `KubeError` only (`kube.error.ts`).
 *
 * A Role for all of it: `get list watch patch` on the resources, `update` on `<plural>/status`,
 * `create` on events, `get create update` on leases.
 */
export abstract class KubeClient {
  /** Everything here happens in this namespace. */
  abstract readonly namespace: string;

  /**
   * All objects, page by page, of one moment.
   * @throws KubeGone when the moment was forgotten between two pages.
   */
  abstract list(resource: ResourceName): Promise<KubeList>;

  /**
   * What has changed since a version: one JSON text per event, until the server ends the watch
   * (the iteration ends) or it breaks (the iteration throws). Bookmarks are asked for.
   * @throws KubeGone when the version is too old to go on from.
   */
  abstract watch(resource: ResourceName, request: WatchRequest): AsyncIterable<string>;

  /** `undefined`: there is none of this name. */
  abstract get(resource: ResourceName, name: string): Promise<KubeObject | undefined>;

  /**
   * Changes metadata of exactly this version of exactly this object.
   * @returns the object as it is now, or as it was last when this removed the last finalizer of a
   *   deleted one.
   * @throws KubeConflict when there is a newer version, KubeNotFound.
   */
  abstract patchMetadata(
    resource: ResourceName,
    seen: SeenObject,
    change: MetadataChange,
  ): Promise<KubeObject>;

  /**
   * Replaces the whole status of exactly this version of exactly this object; spec and metadata
   * stay as they are.
   * @returns the object as it is now.
   * @throws KubeConflict when there is a newer version, or it is not there any more; KubeInvalid.
   */
  abstract replaceStatus(
    resource: ResourceName,
    seen: SeenObject,
    status: object,
  ): Promise<KubeObject>;

  /** @throws KubeAlreadyExists when the event is there already. */
  abstract createEvent(event: KubeEvent): Promise<void>;

  abstract getLease(name: string, options?: CallOptions): Promise<SeenLease | undefined>;

  /** @throws KubeAlreadyExists when another was first. */
  abstract createLease(
    name: string,
    record: LeaseRecord,
    options?: CallOptions,
  ): Promise<SeenLease>;

  /**
   * One that is gone is made anew: so the API server does it.
   * @throws KubeConflict when the lease is not the seen version any more.
   */
  abstract replaceLease(
    name: string,
    seen: SeenLease,
    record: LeaseRecord,
    options?: CallOptions,
  ): Promise<SeenLease>;

  /** Ends every connection; calls under way fail. */
  abstract close(): void;
}
