-- Who alone changes what is wanted of an object: null is the REST interface; else the Owner of
-- libs/protocol, a custom resource of Kubernetes.
alter table models add column owner jsonb;
alter table rollouts add column owner jsonb;

-- How far something that follows changes has come, by its name: it has acted on every version up to
-- here, and goes on from here after a restart.
create table watermarks (
  name text primary key,
  resource_version bigint not null
);
