//! Records to columns and back.

use jiff::Timestamp;
use lowtide_core::name::{AppKey, ApplicationName, PlatformName};
use lowtide_core::ports::CatalogError;
use lowtide_core::run::{Origin, Outcome, Run};
use lowtide_core::savepoint::Savepoint;
use serde::de::DeserializeOwned;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{Row, Sqlite, sqlite::SqliteRow};

use crate::open::BUSY_WAIT;

type Bound = Query<'static, Sqlite, SqliteArguments>;

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

fn body<T: serde::Serialize>(record: &T) -> Result<String, CatalogError> {
    serde_json::to_string(record)
        .map_err(|error| CatalogError::Broken(format!("a record cannot be written: {error}")))
}

/// Binds a run to [`sql::INSERT_RUN`], or to [`sql::UPDATE_RUN`], which has conditions after the
/// same columns.
pub(crate) fn bind_run(statement: &'static str, run: &Run) -> Result<Bound, CatalogError> {
    let origin = match run.origin {
        Origin::Slot { .. } => "slot",
        Origin::Take => "take",
        Origin::Run => "run",
    };
    Ok(sqlx::query(statement)
        .bind(run.id.to_string())
        .bind(run.application.platform.as_str().to_owned())
        .bind(run.application.application.as_str().to_owned())
        .bind(origin)
        .bind(run.nominal().map(ms))
        .bind(run.phase.as_str())
        .bind(run.outcome.as_ref().map(Outcome::word))
        .bind(run.owner.as_ref().map(|owner| owner.who.to_string()))
        .bind(run.owner.as_ref().map(|owner| ms(owner.until)))
        .bind(ms(run.created_at))
        .bind(run.ended_at.map(ms))
        .bind(run.look_at.map(ms))
        .bind(signed(run.version))
        .bind(body(run)?))
}

/// Binds a savepoint to [`sql::INSERT_SAVEPOINT`] or [`sql::PUT_SAVEPOINT`]: both take the same
/// columns.
pub(crate) fn bind_savepoint(
    statement: &'static str,
    savepoint: &Savepoint,
) -> Result<Bound, CatalogError> {
    let state_bytes = savepoint
        .verification
        .report()
        .map(|report| signed(report.state_bytes));
    Ok(sqlx::query(statement)
        .bind(savepoint.location.as_str().to_owned())
        .bind(savepoint.application.platform.as_str().to_owned())
        .bind(savepoint.application.application.as_str().to_owned())
        .bind(savepoint.run().map(|run| run.to_string()))
        .bind(savepoint.standing.as_str())
        .bind(savepoint.verification.word())
        .bind(ms(savepoint.taken_at))
        .bind(savepoint.duration_ms.map(signed))
        .bind(state_bytes)
        .bind(savepoint.verify_at.map(ms))
        .bind(savepoint.read_at.map(ms))
        .bind(body(savepoint)?))
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
