//! Deep readings: whose turn it is, who is at it, and what came of it.
//!
//! A reading may take hours, so it is claimed in the catalog for a while and the claim is renewed:
//! of several processes one reads. The claim is a courtesy that saves bytes; what keeps the records
//! right is that the end of a reading is one transaction on the record as it then is.

use std::collections::BTreeSet;

use jiff::Timestamp;
use lowtide_core::baseline::Baseline;
use lowtide_core::name::{Location, OwnerId};
use lowtide_core::ports::CatalogError;
use lowtide_core::rotation::Candidate;
use lowtide_core::verify::Report;
use sqlx::sqlite::SqliteRow;
use sqlx::{Row, SqliteConnection};

use crate::open::Catalog;
use crate::port::{end, put_savepoint, savepoint_at};
use crate::rows::{application, baseline_rows, broken};
use crate::sql;

type Result<T, E = CatalogError> = std::result::Result<T, E>;

/// What came of a deep reading.
#[derive(Debug, Clone)]
pub struct ReadOutcome {
    /// When it ended.
    pub at: Timestamp,
    /// What it found.
    pub report: Report,
    /// Whether every byte was read: what level 1 finds broken is not read to its end.
    pub every_byte: bool,
    /// What later readings are compared with, if it is the first.
    pub first: Option<Baseline>,
}

impl Catalog {
    /// The savepoints that are read again and again: those that may be restored from.
    pub async fn readings(&self) -> Result<Vec<Candidate>> {
        let rows = sqlx::query(sql::READINGS)
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading when savepoints were read"))?;
        rows.iter().map(candidate).collect()
    }

    /// Claims a savepoint for reading, if it is as it was seen and nobody else is at it; how often
    /// it could not be read since it last was.
    pub async fn claim_reading(
        &self,
        seen: &Candidate,
        who: &OwnerId,
        now: Timestamp,
        until: Timestamp,
    ) -> Result<Option<u32>> {
        let mut transaction = self.begin().await?;
        let tries: Option<i64> = sqlx::query_scalar(sql::CLAIM_READING)
            .bind(seen.location.as_str())
            .bind(who.as_str())
            .bind(until.as_millisecond())
            .bind(now.as_millisecond())
            .bind(seen.since.as_millisecond())
            .fetch_optional(&mut *transaction)
            .await
            .map_err(broken("claiming a reading"))?;
        if tries.is_some() {
            end(transaction).await?;
        }
        Ok(tries.map(|tries| u32::try_from(tries).unwrap_or(u32::MAX)))
    }

    /// Holds a claim for longer; `false` if somebody else has taken it over.
    pub async fn renew_reading(
        &self,
        location: &Location,
        who: &OwnerId,
        until: Timestamp,
    ) -> Result<bool> {
        self.change_claim(sql::RENEW_READING, location, who, until)
            .await
    }

    /// Puts off what could not be read.
    pub async fn put_reading_off(
        &self,
        location: &Location,
        who: &OwnerId,
        until: Timestamp,
    ) -> Result<bool> {
        self.change_claim(sql::PUT_READING_OFF, location, who, until)
            .await
    }

    async fn change_claim(
        &self,
        statement: &'static str,
        location: &Location,
        who: &OwnerId,
        until: Timestamp,
    ) -> Result<bool> {
        let changed = sqlx::query(statement)
            .bind(location.as_str())
            .bind(who.as_str())
            .bind(until.as_millisecond())
            .execute(&self.writer)
            .await
            .map_err(broken("holding a reading"))?;
        Ok(changed.rows_affected() == 1)
    }

    /// Gives all claims of a process back.
    pub async fn release_readings(&self, who: &OwnerId) -> Result<()> {
        sqlx::query(sql::RELEASE_READINGS)
            .bind(who.as_str())
            .execute(&self.writer)
            .await
            .map_err(broken("giving readings back"))?;
        Ok(())
    }

    /// Records what came of a reading, whoever claimed it; `false` if no savepoint of that place is
    /// known.
    pub async fn end_reading(&self, location: &Location, outcome: &ReadOutcome) -> Result<bool> {
        let mut transaction = self.begin().await?;
        let Some(mut savepoint) = savepoint_at(&mut transaction, location).await? else {
            return Ok(false);
        };
        savepoint.was_read(&outcome.report, outcome.every_byte, outcome.at);
        put_savepoint(&mut transaction, &savepoint).await?;
        if let Some(first) = &outcome.first {
            put_baseline(&mut transaction, location, first, &first.encode()).await?;
        }
        sqlx::query(sql::END_READING_CLAIM)
            .bind(location.as_str())
            .execute(&mut *transaction)
            .await
            .map_err(broken("ending a reading"))?;
        end(transaction).await?;
        Ok(true)
    }
}

fn candidate(row: &SqliteRow) -> Result<Candidate> {
    let doing = "reading when savepoints were read";
    let text: String = row.try_get(2).map_err(broken(doing))?;
    let since: i64 = row.try_get(3).map_err(broken(doing))?;
    let bytes: i64 = row.try_get(4).map_err(broken(doing))?;
    let until: Option<i64> = row.try_get(5).map_err(broken(doing))?;
    let instant = |ms| {
        Timestamp::from_millisecond(ms)
            .map_err(|error| CatalogError::Broken(format!("a stored time is none: {error}")))
    };
    Ok(Candidate {
        application: application(row)?,
        location: Location::new(text),
        since: instant(since)?,
        bytes: u64::try_from(bytes).unwrap_or(0),
        held_until: until.map(instant).transpose()?,
    })
}

/// The baseline in a row's first column.
pub(crate) fn stored_baseline(row: &SqliteRow) -> Result<Baseline> {
    let bytes: &[u8] = row.try_get(0).map_err(broken("reading a baseline"))?;
    Baseline::decode(bytes).map_err(|error| CatalogError::Broken(error.to_string()))
}

/// Records those baselines whose places have none: their locations.
pub(crate) async fn insert_baselines(
    connection: &mut SqliteConnection,
    baselines: &[(&Location, &[u8])],
) -> Result<BTreeSet<String>> {
    let locations: Vec<String> = sqlx::query_scalar(sql::INSERT_BASELINES)
        .bind(baseline_rows(baselines)?)
        .fetch_all(connection)
        .await
        .map_err(broken("recording baselines"))?;
    Ok(locations.into_iter().collect())
}

/// Records a baseline, of which `body` is what is stored, unless what is there stands
/// ([`Baseline::replaces`]).
pub(crate) async fn put_baseline(
    connection: &mut SqliteConnection,
    location: &Location,
    baseline: &Baseline,
    body: &[u8],
) -> Result<()> {
    let inserted = sqlx::query(sql::INSERT_BASELINE)
        .bind(location.as_str())
        .bind(body)
        .execute(&mut *connection)
        .await
        .map_err(broken("recording a baseline"))?;
    if inserted.rows_affected() == 1 {
        return Ok(());
    }
    let stored = sqlx::query(sql::BASELINE)
        .bind(location.as_str())
        .fetch_one(&mut *connection)
        .await
        .map_err(broken("reading a baseline"))?;
    if baseline.replaces(&stored_baseline(&stored)?) {
        sqlx::query(sql::REPLACE_BASELINE)
            .bind(location.as_str())
            .bind(body)
            .execute(connection)
            .await
            .map_err(broken("recording a baseline"))?;
    }
    Ok(())
}
