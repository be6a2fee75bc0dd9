//! The port that the engine commits through.
//!
//! Whatever decides on what it has read reads and writes in one transaction that holds the right
//! to write from its beginning. Questions of time are asked of the millisecond columns, which
//! may be early by less than one, and then answered exactly from the record.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lowtide_core::baseline::Baseline;
use lowtide_core::name::{AppKey, Location, PlatformName, RunId};
use lowtide_core::ports::{self, CatalogError, Claim, Commit, ScheduleMemory};
use lowtide_core::run::{Context, Run};
use lowtide_core::savepoint::Savepoint;
use lowtide_core::schedule::Pause;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, Sqlite, SqliteConnection, Transaction};

use crate::group::begin;
use crate::open::Catalog;
use crate::readings::stored_baseline;
use crate::rows::{
    StepRow, baseline_rows, broken, instant, memory_rows, optional_instant, record, records,
    run_rows, savepoint_rows, step_rows,
};
use crate::sql;

type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// Runs claimed at once from which a command that ends folds its log later.
const MANY: usize = 16;

impl ports::Catalog for Catalog {
    async fn claim(
        &self,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> Result<Vec<Claim>> {
        // Folding the log into the file would hold up all of them at each of their steps; the next
        // command does it.
        if self.is_brief && runs.len() >= MANY {
            sqlx::query(sql::FOLD_LATER)
                .execute(&self.writer)
                .await
                .map_err(broken("preparing for many runs"))?;
        }
        self.writes.claim(runs, considered).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<()> {
        self.writes.commit(commit).await
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>> {
        let row = sqlx::query(sql::RUN)
            .bind(id.to_string())
            .fetch_optional(&self.readers)
            .await
            .map_err(broken("reading a run"))?;
        row.as_ref().map(record).transpose()
    }

    async fn open_runs(&self) -> Result<Vec<Run>> {
        let rows = sqlx::query(sql::OPEN_RUNS)
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading the open runs"))?;
        let mut runs: Vec<Run> = records(&rows)?;
        runs.sort_by_key(|run| run.created_at);
        Ok(runs)
    }

    async fn looks_due(&self, now: Timestamp) -> Result<Vec<Run>> {
        let rows = sqlx::query(sql::LOOKS_DUE)
            .bind(now.as_millisecond())
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading the runs to look at"))?;
        let mut runs: Vec<Run> = records(&rows)?;
        runs.retain(|run| run.look_at.is_some_and(|at| at <= now));
        runs.sort_by_key(|run| run.look_at);
        Ok(runs)
    }

    async fn reads_due(&self, now: Timestamp) -> Result<Vec<Savepoint>> {
        let rows = sqlx::query(sql::READS_DUE)
            .bind(now.as_millisecond())
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading the savepoints to read"))?;
        let mut savepoints: Vec<Savepoint> = records(&rows)?;
        savepoints.retain(|savepoint| savepoint.verify_at.is_some_and(|at| at <= now));
        savepoints.sort_by_key(|savepoint| savepoint.verify_at);
        Ok(savepoints)
    }

    async fn savepoints_of(&self, run: RunId) -> Result<Vec<Savepoint>> {
        let rows = sqlx::query(sql::SAVEPOINTS_OF_RUN)
            .bind(run.to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading a run's savepoints"))?;
        records(&rows)
    }

    async fn amend(&self, before: &Savepoint, after: &Savepoint) -> Result<()> {
        let mut transaction = self.begin().await?;
        let stored = savepoint_at(&mut transaction, &before.location).await?;
        if stored.as_ref() != Some(before) || before.location != after.location {
            return Err(CatalogError::Stale);
        }
        put_savepoint(&mut transaction, after).await?;
        end(transaction).await
    }

    async fn baseline(&self, location: &Location) -> Result<Option<Baseline>> {
        let row = sqlx::query(sql::BASELINE)
            .bind(location.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(broken("reading a baseline"))?;
        row.as_ref().map(stored_baseline).transpose()
    }

    async fn record_baseline(&self, location: &Location, baseline: &Baseline) -> Result<()> {
        self.writes.baseline(location, baseline).await
    }

    async fn context(&self, application: &AppKey) -> Result<Context> {
        self.contexts.of(application).await
    }

    async fn schedule(
        &self,
        application: &AppKey,
        text: &str,
        now: Timestamp,
    ) -> Result<ScheduleMemory> {
        // The usual case costs one question and no write: the text has not changed.
        let rows = about(sql::SCHEDULE_AND_PAUSES, application)
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading a schedule"))?;
        let (considered_until, mut pauses) = match remembered(rows.first(), text)? {
            Some(until) => (until, pauses_in(&rows, 2)?),
            None => (
                self.remember(application, text, now).await?,
                self.pauses_of(application).await?,
            ),
        };
        pauses.retain(|pause| pause.until.is_none_or(|until| considered_until < until));
        Ok(ScheduleMemory {
            considered_until,
            pauses,
        })
    }
}

impl Catalog {
    /// Begins a transaction that may write.
    pub(crate) async fn begin(&self) -> Result<Transaction<'static, Sqlite>> {
        begin(&self.writer).await
    }

    /// Remembers a schedule's text from now on, unless another process just did.
    async fn remember(&self, key: &AppKey, text: &str, now: Timestamp) -> Result<Timestamp> {
        let mut transaction = self.begin().await?;
        let row = about(sql::SCHEDULE, key)
            .fetch_optional(&mut *transaction)
            .await
            .map_err(broken("reading a schedule"))?;
        if let Some(until) = remembered(row.as_ref(), text)? {
            return Ok(until);
        }
        about(sql::PUT_SCHEDULE, key)
            .bind(text)
            .bind(now.to_string())
            .execute(&mut *transaction)
            .await
            .map_err(broken("remembering a schedule"))?;
        end(transaction).await?;
        Ok(now)
    }

    async fn pauses_of(&self, key: &AppKey) -> Result<Vec<Pause>> {
        let rows = about(sql::PAUSES_OF_APPLICATION, key)
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading pauses"))?;
        pauses_in(&rows, 0)
    }
}

/// The pauses in rows whose columns `first` and the one after it are their beginning, if there is one,
/// and their end.
fn pauses_in(rows: &[SqliteRow], first: usize) -> Result<Vec<Pause>> {
    let mut pauses = Vec::new();
    for row in rows {
        if let Some(from) = optional_instant(row, first)? {
            let until = optional_instant(row, first + 1)?;
            pauses.push(Pause { from, until });
        }
    }
    Ok(pauses)
}

/// Makes a transaction last: on the disk when this returns.
pub(crate) async fn end(transaction: Transaction<'static, Sqlite>) -> Result<()> {
    transaction.commit().await.map_err(broken("committing"))
}

/// New runs, and how far their application's memory goes with them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NewRuns<'a> {
    pub runs: &'a [Run],
    pub considered: Option<(&'a AppKey, Timestamp)>,
}

/// Inserts new runs and moves memories forward, by [`sql::CLAIM`] or [`sql::CLAIM_ALONE`]: the ids of the
/// runs that are new.
pub(crate) async fn insert_runs(
    connection: &mut SqliteConnection,
    statement: &'static str,
    claims: &[NewRuns<'_>],
) -> Result<BTreeSet<String>, sqlx::Error> {
    let runs = claims.iter().flat_map(|claim| claim.runs);
    let memories = claims.iter().filter_map(|claim| claim.considered);
    let ids: Vec<String> = sqlx::query_scalar(statement)
        .bind(run_rows(runs).map_err(unencodable)?)
        .bind(memory_rows(memories).map_err(unencodable)?)
        .fetch_all(connection)
        .await?;
    Ok(ids.into_iter().collect())
}

/// An answer for each run of a claim, where those `inserted` are new. Of the same run twice, the second finds
/// it taken.
pub(crate) async fn claims(
    connection: &mut SqliteConnection,
    claim: NewRuns<'_>,
    inserted: &mut BTreeSet<String>,
) -> Result<Vec<Claim>> {
    let mut answers = Vec::with_capacity(claim.runs.len());
    for run in claim.runs {
        answers.push(if inserted.remove(&run.id.to_string()) {
            Claim::Claimed
        } else {
            Claim::Taken(Box::new(claimed(connection, run.id).await?))
        });
    }
    Ok(answers)
}

async fn claimed(connection: &mut SqliteConnection, id: RunId) -> Result<Run> {
    let row = sqlx::query(sql::RUN)
        .bind(id.to_string())
        .fetch_one(connection)
        .await
        .map_err(broken("reading a claimed run"))?;
    record(&row)
}

/// Does a step, or refuses it before anything has changed.
pub(crate) async fn commit_one(
    connection: &mut SqliteConnection,
    commit: &Commit<'_>,
) -> Result<()> {
    update(connection, commit).await?;
    let savepoints: Vec<&Savepoint> = commit.savepoints.iter().collect();
    record_savepoints(connection, &savepoints).await
}

/// Does those of the steps that nothing speaks against, in one statement for all; says which. The others are
/// as they were, and whoever wants to know why does them [one by one](commit_one). No two are of the same
/// application.
pub(crate) async fn commit_many(
    connection: &mut SqliteConnection,
    commits: &[Commit<'_>],
) -> Result<Vec<bool>> {
    let are_done = replace_runs(connection, commits)
        .await
        .map_err(broken("committing steps"))?;
    let savepoints: Vec<&Savepoint> = commits
        .iter()
        .zip(&are_done)
        .filter(|(_, is_done)| **is_done)
        .flat_map(|(commit, _)| commit.savepoints)
        .collect();
    record_savepoints(connection, &savepoints).await?;
    Ok(are_done)
}

/// The same, but for the savepoints.
pub(crate) async fn replace_runs(
    connection: &mut SqliteConnection,
    commits: &[Commit<'_>],
) -> Result<Vec<bool>, sqlx::Error> {
    let ids: Vec<String> = sqlx::query_scalar(sql::UPDATE_RUNS)
        .bind(step_rows(&as_rows(commits)).map_err(unencodable)?)
        .fetch_all(connection)
        .await?;
    let done: BTreeSet<String> = ids.into_iter().collect();
    Ok(commits
        .iter()
        .map(|commit| done.contains(&commit.run.id.to_string()))
        .collect())
}

/// Begins a transaction and does the steps, with the savepoints and baselines that they leave: whether every one
/// of them was done, and so may be committed.
pub(crate) async fn record_all(
    connection: &mut SqliteConnection,
    commits: &[Commit<'_>],
    baselines: &[(&Location, &[u8])],
) -> Result<bool, sqlx::Error> {
    let savepoints: Vec<&Savepoint> = commits
        .iter()
        .flat_map(|commit| commit.savepoints)
        .collect();
    let hoped = commits.len() + savepoints.len() + baselines.len();
    let done = sqlx::query(sql::RECORD_ALL)
        .bind(step_rows(&as_rows(commits)).map_err(unencodable)?)
        .bind(savepoint_rows(savepoints).map_err(unencodable)?)
        .bind(baseline_rows(baselines).map_err(unencodable)?)
        .fetch_all(connection)
        .await?;
    Ok(done.len() == hoped)
}

fn as_rows<'a>(commits: &[Commit<'a>]) -> Vec<StepRow<'a>> {
    let mut with_cap: BTreeMap<&PlatformName, u32> = BTreeMap::new();
    commits
        .iter()
        .map(|commit| {
            let ahead = with_cap
                .entry(&commit.run.application.platform)
                .or_default();
            let step = StepRow {
                run: commit.run,
                begins: commit.begins,
                cap: commit.cap,
                ahead: *ahead,
            };
            *ahead += u32::from(commit.cap.is_some());
            step
        })
        .collect()
}

fn unencodable(error: CatalogError) -> sqlx::Error {
    sqlx::Error::Encode(error.into())
}

/// A statement about one application, whose first two parameters name it.
fn about(
    statement: &'static str,
    key: &AppKey,
) -> sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(statement)
        .bind(key.platform.as_str().to_owned())
        .bind(key.application.as_str().to_owned())
}

/// Up to when slots were considered, if the row is there and of this text.
fn remembered(row: Option<&SqliteRow>, text: &str) -> Result<Option<Timestamp>> {
    let Some(row) = row else { return Ok(None) };
    let stored: &str = row.try_get(0).map_err(broken("reading a schedule"))?;
    if stored == text {
        instant(row, 1).map(Some)
    } else {
        Ok(None)
    }
}

/// Replaces the row, if nothing speaks against it. Why it changed nothing is asked only then.
async fn update(connection: &mut SqliteConnection, commit: &Commit<'_>) -> Result<()> {
    let run = commit.run;
    match replace_runs(connection, std::slice::from_ref(commit)).await {
        Ok(done) if done == [true] => Ok(()),
        Ok(_) => Err(why_refused(connection, commit).await?),
        // The second line of defence: the step did not say that it begins.
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => {
            let other = under_way(connection, run).await?;
            Err(busy_with(run, other.as_deref().unwrap_or("unknown")))
        }
        Err(error) => Err(broken("committing a step")(error)),
    }
}

/// Why a step changed nothing. A stale one is told so whatever else was in its way: its process
/// has to read the row again anyway.
async fn why_refused(
    connection: &mut SqliteConnection,
    commit: &Commit<'_>,
) -> Result<CatalogError> {
    let run = commit.run;
    let stored: Option<i64> = sqlx::query_scalar(sql::VERSION_OF_RUN)
        .bind(run.id.to_string())
        .fetch_optional(&mut *connection)
        .await
        .map_err(broken("reading a run's version"))?;
    let replaced = stored.and_then(|stored| u64::try_from(stored).ok());
    if replaced.is_none() || replaced != run.version.checked_sub(1) {
        return Ok(CatalogError::Stale);
    }
    if commit.begins
        && let Some(other) = under_way(connection, run).await?
    {
        return Ok(busy_with(run, &other));
    }
    let triggered: i64 = sqlx::query_scalar(sql::TRIGGERED)
        .bind(run.application.platform.as_str())
        .bind(run.id.to_string())
        .fetch_one(connection)
        .await
        .map_err(broken("counting triggered runs"))?;
    Ok(CatalogError::Busy(format!(
        "{triggered} savepoints are under way on {}, and {} may be",
        run.application.platform,
        commit.cap.unwrap_or_default(),
    )))
}

/// The other run of the application that is between due and done.
async fn under_way(connection: &mut SqliteConnection, run: &Run) -> Result<Option<String>> {
    sqlx::query_scalar(sql::UNDER_WAY)
        .bind(run.application.platform.as_str())
        .bind(run.application.application.as_str())
        .bind(run.id.to_string())
        .fetch_optional(connection)
        .await
        .map_err(broken("looking for a run under way"))
}

fn busy_with(run: &Run, other: &str) -> CatalogError {
    CatalogError::Busy(format!("run {other} of {} is under way", run.application))
}

/// Records savepoints; over another record of the same place only if [`Savepoint::replaces`] says so.
async fn record_savepoints(
    connection: &mut SqliteConnection,
    savepoints: &[&Savepoint],
) -> Result<()> {
    if savepoints.is_empty() {
        return Ok(());
    }
    let mut inserted = insert_savepoints(connection, savepoints).await?;
    for savepoint in savepoints {
        // Of the same place twice, the second finds a record.
        if inserted.remove(savepoint.location.as_str()) {
            continue;
        }
        let stored = savepoint_at(connection, &savepoint.location).await?;
        if stored.is_some_and(|stored| savepoint.replaces(&stored)) {
            put_savepoint(connection, savepoint).await?;
        }
    }
    Ok(())
}

/// Records those savepoints whose places have no record: their locations.
pub(crate) async fn insert_savepoints(
    connection: &mut SqliteConnection,
    savepoints: &[&Savepoint],
) -> Result<BTreeSet<String>> {
    let locations: Vec<String> = sqlx::query_scalar(sql::INSERT_SAVEPOINTS)
        .bind(savepoint_rows(savepoints.iter().copied())?)
        .fetch_all(connection)
        .await
        .map_err(broken("recording savepoints"))?;
    Ok(locations.into_iter().collect())
}

/// Records a savepoint, over whatever record of its place there is.
pub(crate) async fn put_savepoint(
    connection: &mut SqliteConnection,
    savepoint: &Savepoint,
) -> Result<()> {
    sqlx::query(sql::PUT_SAVEPOINTS)
        .bind(savepoint_rows([savepoint])?)
        .execute(connection)
        .await
        .map_err(broken("recording a savepoint"))?;
    Ok(())
}

pub(crate) async fn savepoint_at(
    connection: &mut SqliteConnection,
    location: &Location,
) -> Result<Option<Savepoint>> {
    let row = sqlx::query(sql::SAVEPOINT)
        .bind(location.as_str())
        .fetch_optional(connection)
        .await
        .map_err(broken("reading a savepoint"))?;
    row.as_ref().map(record).transpose()
}
