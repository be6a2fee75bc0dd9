-- What counts against a platform's cap, without its history: SQLite would else read every run of
-- the platform that there ever was for each savepoint.
create index runs_triggered on runs (platform, id) where phase in ('triggering', 'following');
