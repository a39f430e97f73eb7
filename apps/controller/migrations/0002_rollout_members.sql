-- Where each device stands in a rollout, one row a device, so that one device's news rewrites one
-- row. `document` is the Member of libs/protocol; `position` is the order in which devices go, with
-- gaps. A change of members also changes the rollout's resource_version, in the same transaction.
create table rollout_members (
  rollout text not null references rollouts (name) on delete cascade,
  device text not null,
  position integer not null,
  state text not null,
  resource_version bigint not null default nextval('resource_versions'),
  document jsonb not null,
  primary key (rollout, device)
);
create index rollout_members_position on rollout_members (rollout, position);
create index rollout_members_state on rollout_members (rollout, state, position);

insert into rollout_members (rollout, device, position, state, document)
select name, member.value ->> 'device', member.ordinality - 1, member.value ->> 'state', member.value
from rollouts, jsonb_array_elements(status -> 'members') with ordinality as member;

update rollouts set status = status - 'members';
