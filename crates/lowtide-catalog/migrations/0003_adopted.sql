-- A savepoint may have no run: `lowtide adopt`. Its body says so too, which an older release cannot
-- read. The column moves because SQLite cannot take back a `not null`.
drop index savepoints_of_run;
alter table savepoints rename column run to run_before;
alter table savepoints add column run text;
update savepoints set run = run_before;
alter table savepoints drop column run_before;
create index savepoints_of_run on savepoints (run, taken_ms, location);
