-- What devices shall run is stored once, however many shall run it: in the status of a device,
-- `desired.target` names a row of this table by `digest` (and keeps the names people search for).
create table targets (
  digest text primary key,
  document jsonb not null
);

insert into targets (digest, document)
select distinct on (digest) digest, target
from (
  select encode(sha256(convert_to((status #> '{desired,target}')::text, 'UTF8')), 'hex') as digest,
    status #> '{desired,target}' as target
  from devices
  where jsonb_typeof(status #> '{desired,target}') = 'object'
) as known;

update devices set status = jsonb_set(status, '{desired,target}', jsonb_build_object(
  'digest', encode(sha256(convert_to((status #> '{desired,target}')::text, 'UTF8')), 'hex'),
  'model', status #> '{desired,target,model}',
  'variant', status #> '{desired,target,variant}',
  'artifact', jsonb_build_object('id', status #> '{desired,target,artifact,id}')))
where jsonb_typeof(status #> '{desired,target}') = 'object';

-- The latest sign of life of each device, in rows so small that one for every report is cheap. A
-- report that says nothing new changes this row only; `boot` and `sequence` are of the newest one.
-- `reports` counts those taken in: fewer than were sent means loss on the way.
create table device_liveness (
  device text primary key references devices (name) on delete cascade,
  online boolean not null,
  boot bigint not null,
  sequence bigint not null,
  last_seen timestamptz,
  reports bigint not null default 0
) with (fillfactor = 50);

insert into device_liveness (device, online, boot, sequence, last_seen)
select name, coalesce((status ->> 'online')::boolean, false),
  coalesce((status #>> '{report,boot}')::bigint, 0),
  coalesce((status #>> '{report,sequence}')::bigint, 0),
  (status ->> 'lastSeen')::timestamptz
from devices;
