import type { ColumnType, Generated, Selectable } from 'kysely';

/** jsonb: read as a value, written as JSON text (drivers disagree on how to write arrays). */
type Json = ColumnType<unknown, string, string>;

/** Columns of models, devices and rollouts; migrations/0001_objects.sql explains them. */
export interface ObjectTable {
  name: string;
  uid: string;
  labels: Json;
  generation: number;
  resource_version: Generated<string>;
  /** migrations/0005_watch.sql explains it. */
  created_version: Generated<string>;
  created_at: Date;
  spec: Json;
  status: Json;
  /** Of models and rollouts only; migrations/0021_owner.sql explains it. */
  owner: ColumnType<unknown, string | null | undefined, string | null>;
}

export type ObjectRow = Selectable<ObjectTable>;

export interface ArtifactTable {
  model: string;
  variant: string;
  id: string;
  created_at: Date;
  document: Json;
}

/** migrations/0020_artifact_deltas.sql explains it. */
export interface ArtifactDeltaTable {
  base: string;
  target: string;
  id: string | null;
  document: Json;
}

export interface EventTable {
  id: Generated<string>;
  resource_version: Generated<string>;
  at: Date;
  kind: string;
  name: string;
  type: string;
  reason: string;
  message: string;
}

/** migrations/0002_rollout_members.sql explains it. */
export interface RolloutMemberTable {
  rollout: string;
  device: string;
  position: number;
  state: string;
  resource_version: Generated<string>;
  document: Json;
}

/** migrations/0006_rollout_revisions.sql explains it. */
export interface RolloutRevisionTable {
  rollout: string;
  revision: number;
  outcome: string;
  document: Json;
}

/** migrations/0003_device_rows.sql explains these two. */
export interface TargetTable {
  digest: string;
  document: Json;
}

export interface LivenessTable {
  device: string;
  online: boolean;
  boot: string;
  sequence: string;
  last_seen: Date | null;
  reports: string;
}

/** Objects that were deleted; `document` is the whole row as it was. */
export interface TombstoneTable {
  kind: string;
  resource_version: string;
  name: string;
  deleted_at: Date;
  document: Json;
}

/** Up to which version tombstones of a kind are forgotten. */
export interface WatchFloorTable {
  kind: string;
  resource_version: string;
}

/** migrations/0021_owner.sql explains it. */
export interface WatermarkTable {
  name: string;
  resource_version: string;
}

export interface Schema {
  models: ObjectTable;
  devices: ObjectTable;
  device_liveness: LivenessTable;
  targets: TargetTable;
  rollouts: ObjectTable;
  rollout_members: RolloutMemberTable;
  rollout_revisions: RolloutRevisionTable;
  artifacts: ArtifactTable;
  artifact_deltas: ArtifactDeltaTable;
  events: EventTable;
  tombstones: TombstoneTable;
  watch_floors: WatchFloorTable;
  watermarks: WatermarkTable;
}

export type ObjectTableName = 'models' | 'devices' | 'rollouts';
