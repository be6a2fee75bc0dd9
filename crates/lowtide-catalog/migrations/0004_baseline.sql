-- When every byte of a savepoint was last read; the same is in its body.
alter table savepoints add column read_ms integer;

-- What is read again and again: without the bodies, which are a hundred times as large.
create index savepoints_to_reread
    on savepoints (platform, application, location, taken_ms, read_ms, state_bytes)
    where verification = 'verified' and standing <> 'orphan';

-- What the files of a savepoint were: see the codec of the core.
create table baselines (
    location text primary key,
    body     blob not null
) strict;

-- Which savepoint is being read, by whom and until when at the latest; or when one that could not
-- be read is tried again.
create table reading_claims (
    location text    primary key,
    holder   text    not null,
    until_ms integer not null,
    tries    integer not null
) strict;
