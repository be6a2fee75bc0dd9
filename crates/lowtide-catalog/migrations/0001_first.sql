-- Instants are milliseconds since the Unix epoch, for comparing and sorting; what must be exact
-- to the nanosecond stands in `body` (JSON of the whole record) or as RFC 3339 text.
pragma application_id = 1282373492; -- "Lowt": a database of something else is never touched

create table schema_version (
    version    integer primary key,
    applied_ms integer not null
) strict;

create table runs (
    id             text    primary key,
    platform       text    not null,
    application    text    not null,
    origin         text    not null,
    nominal_ms     integer,
    phase          text    not null,
    outcome        text,
    owner          text,
    owner_until_ms integer,
    created_ms     integer not null,
    ended_ms       integer,
    look_at_ms     integer,
    version        integer not null,
    body           text    not null,
    check ((phase = 'done') = (outcome is not null))
) strict;

-- The second line of defence behind the check that a beginning run makes: one at a time.
create unique index runs_under_way on runs (platform, application)
    where phase not in ('due', 'done');
create index runs_open on runs (created_ms, id) where phase <> 'done';
create index runs_to_look_at on runs (look_at_ms, id) where look_at_ms is not null;
create index runs_of_application on runs (platform, application, created_ms, id);
create index runs_by_time on runs (created_ms, id);

create table savepoints (
    location     text    primary key,
    platform     text    not null,
    application  text    not null,
    run          text    not null,
    standing     text    not null,
    verification text    not null,
    taken_ms     integer not null,
    duration_ms  integer,
    state_bytes  integer,
    verify_at_ms integer,
    body         text    not null
) strict;

create index savepoints_of_application on savepoints (platform, application, taken_ms, location);
create index savepoints_by_time on savepoints (taken_ms, location);
create index savepoints_of_run on savepoints (run, taken_ms, location);
create index savepoints_to_read on savepoints (verify_at_ms, location) where verify_at_ms is not null;

create table schedules (
    platform         text not null,
    application      text not null,
    schedule         text not null,
    considered_until text not null,
    primary key (platform, application)
) strict, without rowid;

create table pauses (
    id          integer primary key,
    platform    text not null,
    application text not null,
    paused_from text not null,
    until       text
) strict;

create index pauses_of_application on pauses (platform, application, id);
create unique index pauses_that_last on pauses (platform, application) where until is null;
