//! Records to columns and back.
//!
//! What is written goes as rows in one array of JSON, be it one record or hundreds: each statement is a message
//! to SQLite's thread and one back, which takes longer than what it does.

use std::collections::BTreeMap;

use jiff::Timestamp;
use lowtide_core::name::{AppKey, ApplicationName, Location, PlatformName};
use lowtide_core::ports::CatalogError;
use lowtide_core::run::{Origin, Outcome, Run};
use lowtide_core::savepoint::Savepoint;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sqlx::{Row, sqlite::SqliteRow};

use crate::open::BUSY_WAIT;

/// What went wrong while doing something, as the port says it.
pub(crate) fn broken(doing: &'static str) -> impl FnOnce(sqlx::Error) -> CatalogError {
    move |error| {
        CatalogError::Broken(if is_locked(&error) {
            format!(
                "{doing}: another process has held it for {} s",
                BUSY_WAIT.as_secs()
            )
        } else {
            format!("{doing}: {}", text_of(error))
        })
    }
}

/// The database's own words, without the prefixes of the client library.
fn text_of(error: sqlx::Error) -> String {
    match error {
        sqlx::Error::Database(database) => database.message().to_owned(),
        other => other.to_string(),
    }
}

/// The primary result code of SQLite (<https://sqlite.org/rescode.html>), if it is SQLite's error.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<u32> {
    let code = error.as_database_error()?.code()?.parse::<u32>().ok()?;
    Some(code & 0xff)
}

/// `SQLITE_BUSY` or `SQLITE_LOCKED`: somebody else has it; or this process has, for too long.
pub(crate) fn is_locked(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(5 | 6)) || matches!(error, sqlx::Error::PoolTimedOut)
}

fn ms(at: Timestamp) -> i64 {
    at.as_millisecond()
}

/// As SQLite has no unsigned numbers; no savepoint comes near.
fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn json<T: Serialize + ?Sized>(record: &T) -> Result<String, CatalogError> {
    serde_json::to_string(record)
        .map_err(|error| CatalogError::Broken(format!("a record cannot be written: {error}")))
}

/// A run, in the order of the columns that [`sql::CLAIM`](crate::sql::CLAIM) names, and what
/// [`sql::UPDATE_RUNS`](crate::sql::UPDATE_RUNS) wants to know of a step beside them.
#[derive(Serialize)]
struct RunRow<'a>(
    String,
    &'a str,
    &'a str,
    &'static str,
    Option<i64>,
    &'static str,
    Option<&'static str>,
    Option<String>,
    Option<i64>,
    i64,
    Option<i64>,
    Option<i64>,
    i64,
    String,
    bool,
    Option<u32>,
    u32,
);

/// A savepoint, in the order of the columns that
/// [`sql::INSERT_SAVEPOINTS`](crate::sql::INSERT_SAVEPOINTS) names.
#[derive(Serialize)]
struct SavepointRow<'a>(
    &'a str,
    &'a str,
    &'a str,
    Option<String>,
    &'static str,
    &'static str,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    String,
);

/// What a step is, beside the run that it makes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StepRow<'a> {
    /// The run as it becomes.
    pub run: &'a Run,
    /// Whether no other run of the application may be under way.
    pub begins: bool,
    /// How many runs of the platform may be triggered.
    pub cap: Option<u32>,
    /// How many steps with a cap, of the same platform, come before it in the same statement.
    pub ahead: u32,
}

/// New runs, as the first parameter of [`sql::CLAIM`](crate::sql::CLAIM).
pub(crate) fn run_rows<'a>(
    runs: impl IntoIterator<Item = &'a Run>,
) -> Result<String, CatalogError> {
    let row = |run| {
        run_row(&StepRow {
            run,
            begins: false,
            cap: None,
            ahead: 0,
        })
    };
    json(&runs.into_iter().map(row).collect::<Result<Vec<_>, _>>()?)
}

/// How far memories are to go, as the second parameter of [`sql::CLAIM`](crate::sql::CLAIM).
pub(crate) fn memory_rows<'a>(
    memories: impl IntoIterator<Item = (&'a AppKey, Timestamp)>,
) -> Result<String, CatalogError> {
    // Once each: of two rows for one, SQLite takes either.
    let mut furthest: BTreeMap<&AppKey, Timestamp> = BTreeMap::new();
    for (key, until) in memories {
        let memory = furthest.entry(key).or_insert(until);
        *memory = until.max(*memory);
    }
    let row = |(key, until): (&'a AppKey, Timestamp)| {
        (
            key.platform.as_str(),
            key.application.as_str(),
            until.to_string(),
        )
    };
    json(&furthest.into_iter().map(row).collect::<Vec<_>>())
}

/// Steps, as the parameter of [`sql::UPDATE_RUNS`](crate::sql::UPDATE_RUNS).
pub(crate) fn step_rows(steps: &[StepRow<'_>]) -> Result<String, CatalogError> {
    json(&steps.iter().map(run_row).collect::<Result<Vec<_>, _>>()?)
}

fn run_row<'a>(step: &StepRow<'a>) -> Result<RunRow<'a>, CatalogError> {
    let run = step.run;
    let origin = match run.origin {
        Origin::Slot { .. } => "slot",
        Origin::Take => "take",
        Origin::Run => "run",
    };
    Ok(RunRow(
        run.id.to_string(),
        run.application.platform.as_str(),
        run.application.application.as_str(),
        origin,
        run.nominal().map(ms),
        run.phase.as_str(),
        run.outcome.as_ref().map(Outcome::word),
        run.owner.as_ref().map(|owner| owner.who.to_string()),
        run.owner.as_ref().map(|owner| ms(owner.until)),
        ms(run.created_at),
        run.ended_at.map(ms),
        run.look_at.map(ms),
        signed(run.version),
        json(run)?,
        step.begins,
        step.cap,
        step.ahead,
    ))
}

/// Savepoints, as the parameter of [`sql::INSERT_SAVEPOINTS`](crate::sql::INSERT_SAVEPOINTS) and
/// [`sql::PUT_SAVEPOINTS`](crate::sql::PUT_SAVEPOINTS).
pub(crate) fn savepoint_rows<'a>(
    savepoints: impl IntoIterator<Item = &'a Savepoint>,
) -> Result<String, CatalogError> {
    let rows = savepoints.into_iter().map(savepoint_row);
    json(&rows.collect::<Result<Vec<_>, _>>()?)
}

fn savepoint_row(savepoint: &Savepoint) -> Result<SavepointRow<'_>, CatalogError> {
    let report = savepoint.verification.report();
    Ok(SavepointRow(
        place(&savepoint.location)?,
        savepoint.application.platform.as_str(),
        savepoint.application.application.as_str(),
        savepoint.run().map(|run| run.to_string()),
        savepoint.standing.as_str(),
        savepoint.verification.word(),
        ms(savepoint.taken_at),
        savepoint.duration_ms.map(signed),
        report.map(|report| signed(report.state_bytes)),
        savepoint.verify_at.map(ms),
        savepoint.read_at.map(ms),
        json(savepoint)?,
    ))
}

/// Baselines, as the parameter of [`sql::INSERT_BASELINES`](crate::sql::INSERT_BASELINES).
pub(crate) fn baseline_rows(baselines: &[(&Location, &[u8])]) -> Result<String, CatalogError> {
    let rows = baselines
        .iter()
        .map(|(location, body)| Ok((place(location)?, hex::encode(body))));
    json(&rows.collect::<Result<Vec<_>, CatalogError>>()?)
}

/// A location as a key. SQLite cuts a text in JSON at its first NUL, and what is cut would be another place;
/// no file system has names with one.
fn place(location: &Location) -> Result<&str, CatalogError> {
    let text = location.as_str();
    if text.contains('\0') {
        let wrong = format!("{text:?} is no location: it has a NUL in it");
        return Err(CatalogError::Broken(wrong));
    }
    Ok(text)
}

/// The record in a row's first column.
pub(crate) fn record<T: DeserializeOwned>(row: &SqliteRow) -> Result<T, CatalogError> {
    let body: &str = row.try_get(0).map_err(broken("reading a record"))?;
    serde_json::from_str(body)
        .map_err(|error| CatalogError::Broken(format!("a record cannot be understood: {error}")))
}

/// The records in the first column of rows.
pub(crate) fn records<T: DeserializeOwned>(rows: &[SqliteRow]) -> Result<Vec<T>, CatalogError> {
    rows.iter().map(record).collect()
}

/// The application named in a row's first two columns.
pub(crate) fn application(row: &SqliteRow) -> Result<AppKey, CatalogError> {
    let text = |column| {
        row.try_get::<String, _>(column)
            .map_err(broken("reading a name"))
    };
    let wrong = |error| CatalogError::Broken(format!("a stored name is none: {error}"));
    Ok(AppKey {
        platform: PlatformName::new(text(0)?).map_err(wrong)?,
        application: ApplicationName::new(text(1)?).map_err(wrong)?,
    })
}

/// The exact instant in a column of RFC 3339 text.
pub(crate) fn instant(row: &SqliteRow, column: usize) -> Result<Timestamp, CatalogError> {
    optional_instant(row, column)?
        .ok_or_else(|| CatalogError::Broken("a stored time is missing".to_owned()))
}

/// The exact instant in a column of RFC 3339 text, if there is one.
pub(crate) fn optional_instant(
    row: &SqliteRow,
    column: usize,
) -> Result<Option<Timestamp>, CatalogError> {
    let text: Option<&str> = row.try_get(column).map_err(broken("reading a time"))?;
    text.map(str::parse)
        .transpose()
        .map_err(|error| CatalogError::Broken(format!("a stored time is none: {error}")))
}
