-- What is usual for an application, of its latest good savepoints, and what is read again and again: both without
-- the bodies, which are a hundred times as large.
drop index savepoints_to_reread;
create index savepoints_verified on savepoints
    (platform, application, taken_ms, location, standing, duration_ms, state_bytes, read_ms)
    where verification = 'verified' and standing <> 'orphan';
