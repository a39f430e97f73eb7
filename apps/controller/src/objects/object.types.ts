import type { Labels, ObjectMeta, Owner } from '@entrofleet/protocol';

/** A Kubernetes-like object: who it is, what is wanted, what is. */
export interface StoredObject<Spec, Status> {
  readonly metadata: ObjectMeta;
  readonly spec: Spec;
  readonly status: Status;
}

/** What one write changes; what is absent stays. */
export interface ObjectChange<Spec, Status> {
  readonly labels?: Labels;
  readonly spec?: Spec;
  readonly status?: Status;
  /** `null`: nobody but clients of the REST interface. */
  readonly owner?: Owner | null;
}

export interface ObjectPage<Spec, Status> {
  readonly items: StoredObject<Spec, Status>[];
  /** Token of the next page; absent on the last one. */
  readonly continue?: string;
}
