//! Every statement, as a constant: nothing is ever pasted into SQL, and one test prepares all.

macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)*) => {
        $($(#[$doc])* pub(crate) const $name: &str = $sql;)*
        /// All of them, for the test that prepares each.
        #[cfg(test)]
        pub(crate) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),*];
    };
}

/// Rows as [`crate::rows::savepoint_rows`] makes them, in the parameter named; what is done where the place has a
/// record follows.
macro_rules! insert_savepoints {
    ($rows:literal) => {
        concat!(
            "insert into savepoints (location, platform, application, run, standing, verification,
                 taken_ms, duration_ms, state_bytes, verify_at_ms, read_ms, body)
             select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4, value ->> 5,
                 value ->> 6, value ->> 7, value ->> 8, value ->> 9, value ->> 10, value ->> 11
             from jsonb_each(",
            $rows,
            ") where true on conflict (location) "
        )
    };
}

/// Nothing, where there is a record of that place.
macro_rules! insert_new_savepoints {
    ($rows:literal) => {
        concat!(insert_savepoints!($rows), "do nothing returning location")
    };
}

/// Of rows with a location and a body in hexadecimal digits, as JSON has no bytes; nothing, where there is one of
/// that place.
macro_rules! insert_baselines {
    ($rows:literal) => {
        concat!(
            "insert into baselines (location, body)
             select value ->> 0, unhex(value ->> 1) from jsonb_each(",
            $rows,
            ") where true on conflict (location) do nothing returning location"
        )
    };
}

/// Steps, as [`crate::rows::step_rows`] makes them: each if the row has the version before, if no other run of the
/// application is under way (where that is asked), and if, with those of the platform that come before it here,
/// fewer than its cap are. Whose run it is, and of when, never changes: indexes of that are left alone.
macro_rules! update_runs {
    () => {
        "with step as (
              select value ->> 0 as id, value ->> 1 as platform,
                  value ->> 2 as application, value ->> 5 as phase, value ->> 6 as outcome,
                  value ->> 7 as owner, value ->> 8 as owner_until_ms,
                  value ->> 10 as ended_ms,
                  value ->> 11 as look_at_ms, value ->> 12 as version,
                  value ->> 13 as body, value ->> 14 as begins, value ->> 15 as cap,
                  value ->> 16 as ahead
              from jsonb_each($1))
          update runs set phase = step.phase, outcome = step.outcome, owner = step.owner,
              owner_until_ms = step.owner_until_ms, ended_ms = step.ended_ms,
              look_at_ms = step.look_at_ms, version = step.version, body = step.body
          from step
          where runs.id = step.id and runs.version = step.version - 1
              and (step.begins = 0 or not exists (
                  select 1 from runs as other
                  where other.platform = step.platform
                      and other.application = step.application
                      and other.phase not in ('due', 'done') and other.id <> step.id))
              and (step.cap is null or step.cap > step.ahead + (
                  select count(*) from runs as other
                  where other.platform = step.platform
                      and other.phase in ('triggering', 'following')
                      and other.id <> step.id))
          returning id"
    };
}

/// New runs, and memories moved forward: one that goes back, or of which nothing is remembered yet, stays as it
/// is. Without its last letter a time of RFC 3339 in UTC sorts as text, however many digits its second has.
macro_rules! claim {
    () => {
        "insert into runs (id, platform, application, origin, nominal_ms, phase, outcome,
             owner, owner_until_ms, created_ms, ended_ms, look_at_ms, version, body)
         select value ->> 0, value ->> 1, value ->> 2, value ->> 3, value ->> 4,
             value ->> 5, value ->> 6, value ->> 7, value ->> 8, value ->> 9,
             value ->> 10, value ->> 11, value ->> 12, value ->> 13
         from jsonb_each($1) where true
         on conflict (id) do nothing
         returning id;
         update schedules set considered_until = memory.value ->> 2
         from jsonb_each($2) as memory
         where platform = memory.value ->> 0 and application = memory.value ->> 1
             and rtrim(considered_until, 'Z') < rtrim(memory.value ->> 2, 'Z')"
    };
}

statements! {
    /// Takes the right to write at once: a transaction that begins with reading could be refused
    /// later, when it wants to write (`SQLITE_BUSY_SNAPSHOT`).
    BEGIN = "begin immediate";

    /// What lies in the file.
    STATE = "select (select application_id from pragma_application_id) as application_id,
                    (select count(*) from sqlite_schema) as objects,
                    (select journal_mode from pragma_journal_mode) as journal_mode";
    JOURNAL_WAL = "pragma journal_mode = wal";
    /// In pages; 16 MB, which is what several hundred runs write from their claim to their end.
    FOLD_LATER = "pragma wal_autocheckpoint = 4000";
    /// As far as nobody reads what is in the log; waits for nobody.
    FOLD = "pragma wal_checkpoint(passive)";
    SCHEMA_VERSION = "select coalesce(max(version), 0) from schema_version";
    RECORD_VERSION = "insert into schema_version (version, applied_ms)
                      values ($1, cast(unixepoch('subsec') * 1000 as integer))";

    /// Of rows as [`crate::rows::run_rows`] makes them, and as [`crate::rows::memory_rows`] does: two statements
    /// in one message to SQLite's thread.
    CLAIM = claim!();
    /// The same as a transaction of its own; whoever finds it broken has to end it.
    CLAIM_ALONE = concat!("begin immediate; ", claim!(), "; commit");
    ROLLBACK = "rollback";
    /// Gives the ids of the runs that it replaced.
    UPDATE_RUNS = update_runs!();
    /// Steps and what they leave, in one message: where all goes as hoped it gives a row for each run, each
    /// savepoint and each baseline. Whoever sends it ends the transaction.
    RECORD_ALL = concat!(
        "begin immediate; ", update_runs!(), "; ", insert_new_savepoints!("$2"), "; ",
        insert_baselines!("$3")
    );
    COMMIT = "commit";
    VERSION_OF_RUN = "select version from runs where id = $1";
    UNDER_WAY = "select id from runs
                 where platform = $1 and application = $2 and phase not in ('due', 'done')
                     and id <> $3";
    /// The phases are those of the index, word for word, or SQLite does not use it.
    TRIGGERED = "select count(*) from runs
                 where platform = $1 and phase in ('triggering', 'following') and id <> $2";
    RUN = "select body from runs where id = $1";
    OPEN_RUNS = "select body from runs where phase <> 'done' order by created_ms, id";
    LOOKS_DUE = "select body from runs
                 where look_at_ms is not null and look_at_ms <= $1 and phase = 'done'
                 order by look_at_ms, id";
    RUNS = "select body from runs where $1 is null or outcome = $1
            order by created_ms desc, id desc limit $2";
    RUNS_OF_APPLICATION = "select body from runs
                           where platform = $1 and application = $2 and ($3 is null or outcome = $3)
                           order by created_ms desc, id desc limit $4";
    /// `g` comes after every hexadecimal digit.
    RUNS_BY_PREFIX = "select body from runs where id >= $1 and id < $1 || 'g' order by id limit $2";

    SAVEPOINT = "select body from savepoints where location = $1";
    /// The places are an array in JSON.
    SAVEPOINTS_AT = "select body from savepoints
                     where location in (select value from json_each($1)) order by location";
    /// Gives the locations of those that it inserted.
    INSERT_SAVEPOINTS = insert_new_savepoints!("$1");
    /// The same, over the record that is there.
    PUT_SAVEPOINTS = concat!(
        insert_savepoints!("$1"),
        "do update set platform = excluded.platform, application = excluded.application,
             run = excluded.run, standing = excluded.standing,
             verification = excluded.verification, taken_ms = excluded.taken_ms,
             duration_ms = excluded.duration_ms, state_bytes = excluded.state_bytes,
             verify_at_ms = excluded.verify_at_ms, read_ms = excluded.read_ms,
             body = excluded.body"
    );
    READS_DUE = "select body from savepoints
                 where verify_at_ms is not null and verify_at_ms <= $1
                 order by verify_at_ms, location";
    SAVEPOINTS_OF_RUN = "select body from savepoints where run = $1 order by taken_ms, location";
    /// The ids are an array in JSON: SQLite binds no lists.
    SAVEPOINTS_OF_RUNS = "select body from savepoints
                          where run in (select value from json_each($1))
                          order by taken_ms, location";
    SAVEPOINTS = "select body from savepoints
                  where ($1 is null or standing in (select value from json_each($1)))
                      and ($2 is null or verification = $2)
                  order by taken_ms desc, location desc limit $3";
    SAVEPOINTS_OF_APPLICATION = "select body from savepoints
                  where platform = $1 and application = $2
                      and ($3 is null or standing in (select value from json_each($3)))
                      and ($4 is null or verification = $4)
                  order by taken_ms desc, location desc limit $5";
    LATEST_GOOD = "select body from savepoints
                   where platform = $1 and application = $2 and verification = 'verified'
                       and standing <> 'orphan'
                   order by taken_ms desc, location desc limit 1";
    BASELINE = "select body from baselines where location = $1";
    INSERT_BASELINE = "insert into baselines (location, body) values ($1, $2)
                       on conflict (location) do nothing";
    /// Gives the locations of those that it inserted.
    INSERT_BASELINES = insert_baselines!("$1");
    REPLACE_BASELINE = "update baselines set body = $2 where location = $1";
    /// What is read again and again: the condition is that of the index, word for word.
    READINGS = "select s.platform, s.application, s.location, coalesce(s.read_ms, s.taken_ms),
                    coalesce(s.state_bytes, 0), c.until_ms
                from savepoints s left join reading_claims c on c.location = s.location
                where s.verification = 'verified' and s.standing <> 'orphan'";
    /// If it still is to be read, has not been read meanwhile (`$5`), and nobody holds it.
    CLAIM_READING = "insert into reading_claims (location, holder, until_ms, tries)
                     select $1, $2, $3, 0 from savepoints
                     where location = $1 and verification = 'verified' and standing <> 'orphan'
                         and coalesce(read_ms, taken_ms) = $5
                     on conflict (location) do update
                         set holder = excluded.holder, until_ms = excluded.until_ms
                         where until_ms <= $4
                     returning tries";
    RENEW_READING = "update reading_claims set until_ms = $3 where location = $1 and holder = $2";
    PUT_READING_OFF = "update reading_claims set until_ms = $3, tries = tries + 1
                       where location = $1 and holder = $2";
    RELEASE_READINGS = "update reading_claims set until_ms = 0 where holder = $1";
    END_READING_CLAIM = "delete from reading_claims where location = $1";

    /// Of pairs of platform and application: how many runs have not ended; and for each of the pairs its place among
    /// them, durations and sizes. All in one text, as each row would be a message from SQLite's thread. The phase,
    /// and the last conditions on savepoints, are those of indexes.
    MEASURES = "select json_array(
                (select count(*) from runs where phase <> 'done'),
                json_group_array(json(
                    (select json_array(asked.key, json_group_array(duration_ms),
                         json_group_array(state_bytes))
                     from (select duration_ms, state_bytes from savepoints
                           where platform = asked.value ->> 0 and application = asked.value ->> 1
                               and standing = 'kept'
                               and verification = 'verified' and standing <> 'orphan'
                           order by taken_ms desc, location desc limit $2)))))
                from jsonb_each($1) as asked";

    SCHEDULE = "select schedule, considered_until from schedules
                where platform = $1 and application = $2";
    /// With a row for each pause, or one without: both are asked for at every slot.
    SCHEDULE_AND_PAUSES = "select s.schedule, s.considered_until, p.paused_from, p.until
                           from schedules s left join pauses p
                               on p.platform = s.platform and p.application = s.application
                           where s.platform = $1 and s.application = $2 order by p.id";
    PUT_SCHEDULE = "insert into schedules (platform, application, schedule, considered_until)
                    values ($1, $2, $3, $4)
                    on conflict (platform, application) do update set
                        schedule = excluded.schedule, considered_until = excluded.considered_until";
    PAUSES_OF_APPLICATION = "select paused_from, until from pauses
                             where platform = $1 and application = $2 order by id";
    PAUSES_THAT_LAST = "select platform, application, paused_from from pauses
                        where until is null order by platform, application";
    LASTING_PAUSE = "select paused_from from pauses
                     where platform = $1 and application = $2 and until is null";
    INSERT_PAUSE = "insert into pauses (platform, application, paused_from) values ($1, $2, $3)";
    END_PAUSE = "update pauses set until = $3
                 where platform = $1 and application = $2 and until is null";

    APPLICATIONS = "select platform, application from runs
                    union select platform, application from savepoints
                    union select platform, application from schedules
                    union select platform, application from pauses
                    order by 1, 2";
}
