/** What can be watched: the tables that draw resource versions. */
export type WatchedKind = 'models' | 'devices' | 'rollouts' | 'events';

/** An object at its latest version, or as it was when it was deleted. */
export interface Change {
  /** Unique within its kind. */
  readonly key: string;
  readonly version: number;
  /** The version that the object began with. */
  readonly createdVersion: number;
  readonly isDeleted: boolean;
  readonly object: unknown;
}

/** Versions `after` to `upTo`; the first is not included. */
export interface VersionRange {
  readonly after: number;
  readonly upTo: number;
  readonly limit: number;
}

export interface ChangePage {
  /** In the order of versions. */
  readonly changes: readonly Change[];
  /** Every change up to here is in this page or one before. */
  readonly upTo: number;
}

/** Where the changes of one kind are read. */
export interface ChangeSource {
  readonly kind: WatchedKind;
  /** Objects whose latest change, or deletion, lies in the range, in the order of versions. */
  changes(range: VersionRange): Promise<readonly Change[]>;
}
