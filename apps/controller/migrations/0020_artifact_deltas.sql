-- One row for each pair of artifacts that a delta was made between, or tried: `id` names its file in
-- the blob folder, where there is one. `document` is the DeltaRecord of artifacts/delta.record.ts.
create table artifact_deltas (
  base text not null,
  target text not null,
  id text,
  document jsonb not null,
  primary key (base, target)
);
create index artifact_deltas_target on artifact_deltas (target);
create index artifact_deltas_id on artifact_deltas (id);
