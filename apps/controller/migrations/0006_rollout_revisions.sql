-- What a rollout was asked to do, one row a revision, so that it can be asked for again. `document`
-- is the Revision of libs/protocol but for its number.
create table rollout_revisions (
  rollout text not null references rollouts (name) on delete cascade,
  revision integer not null,
  outcome text not null,
  document jsonb not null,
  primary key (rollout, revision)
);
