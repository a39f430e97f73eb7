-- What watching needs. A reader that has seen every version up to V must never meet a smaller one
-- later, yet versions are drawn before their transactions commit, in whatever order that happens.
-- So whoever draws one holds a shared advisory lock until its transaction ends: a version is
-- settled once everybody who held the lock when it was the last one has let go. Shared locks do not
-- wait for each other. See docs/adr/0011-watching.md.
alter table models add column created_version bigint not null default 0;
alter table devices add column created_version bigint not null default 0;
alter table rollouts add column created_version bigint not null default 0;
alter table events add column resource_version bigint not null default nextval('resource_versions');

create index models_resource_version on models (resource_version);
create index devices_resource_version on devices (resource_version);
create index rollouts_resource_version on rollouts (resource_version);
create index events_resource_version on events (resource_version);
create index events_at on events (at);

-- The last state of what was deleted, for a bounded time.
create table tombstones (
  kind text not null,
  resource_version bigint not null,
  name text not null,
  deleted_at timestamptz not null,
  document jsonb not null,
  primary key (kind, resource_version)
);

-- Up to here deletions of a kind are forgotten: who has seen less must list anew.
create table watch_floors (
  kind text primary key,
  resource_version bigint not null
);
insert into watch_floors (kind, resource_version)
  select kind, case when is_called then last_value else 0 end
  from resource_versions, unnest(array['models', 'devices', 'rollouts', 'events']) as kind;

-- An update that keeps its version (say, of the time a device was last heard) is no change to watch.
create function draw_resource_version() returns trigger language plpgsql as $$
begin
  if tg_op = 'UPDATE' and new.resource_version = old.resource_version then
    return new;
  end if;
  perform pg_advisory_xact_lock_shared(7246114);
  new.resource_version := nextval('resource_versions');
  if tg_op = 'INSERT' and tg_table_name <> 'events' then
    new.created_version := new.resource_version;
  end if;
  return new;
end
$$;

create function keep_tombstone() returns trigger language plpgsql as $$
begin
  perform pg_advisory_xact_lock_shared(7246114);
  insert into tombstones (kind, resource_version, name, deleted_at, document)
    values (tg_table_name, nextval('resource_versions'), old.name, now(), to_jsonb(old));
  return old;
end
$$;

create trigger models_version before insert or update on models
  for each row execute function draw_resource_version();
create trigger devices_version before insert or update on devices
  for each row execute function draw_resource_version();
create trigger rollouts_version before insert or update on rollouts
  for each row execute function draw_resource_version();
create trigger events_version before insert on events
  for each row execute function draw_resource_version();
create trigger models_tombstone before delete on models
  for each row execute function keep_tombstone();
create trigger devices_tombstone before delete on devices
  for each row execute function keep_tombstone();
create trigger rollouts_tombstone before delete on rollouts
  for each row execute function keep_tombstone();
