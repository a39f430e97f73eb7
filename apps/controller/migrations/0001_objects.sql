-- Every object has the same columns. `resource_version` comes from one sequence, so a value never
-- returns, not even when an object is deleted and created again; it changes with every write.
-- `generation` counts changes of `spec`. `labels` are the effective ones that selectors match.
create sequence resource_versions;

create table models (
  name text primary key,
  uid uuid not null unique,
  labels jsonb not null,
  generation integer not null,
  resource_version bigint not null default nextval('resource_versions'),
  created_at timestamptz not null,
  spec jsonb not null,
  status jsonb not null
);
create index models_labels on models using gin (labels jsonb_path_ops);

create table devices (
  name text primary key,
  uid uuid not null unique,
  labels jsonb not null,
  generation integer not null,
  resource_version bigint not null default nextval('resource_versions'),
  created_at timestamptz not null,
  spec jsonb not null,
  status jsonb not null
);
create index devices_labels on devices using gin (labels jsonb_path_ops);

create table rollouts (
  name text primary key,
  uid uuid not null unique,
  labels jsonb not null,
  generation integer not null,
  resource_version bigint not null default nextval('resource_versions'),
  created_at timestamptz not null,
  spec jsonb not null,
  status jsonb not null
);
create index rollouts_labels on rollouts using gin (labels jsonb_path_ops);

-- One row a model and variant: two models with the same source share the file in the blob folder
-- (same id), and each keeps its own row. `document` is the Artifact of libs/protocol.
create table artifacts (
  model text not null,
  variant text not null,
  id text not null,
  created_at timestamptz not null,
  document jsonb not null,
  primary key (model, variant, id)
);
create index artifacts_id on artifacts (id);

create table events (
  id bigint generated always as identity primary key,
  at timestamptz not null,
  kind text not null,
  name text not null,
  type text not null,
  reason text not null,
  message text not null
);
create index events_object on events (kind, name, id);
