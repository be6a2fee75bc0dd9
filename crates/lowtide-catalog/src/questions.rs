//! What the program asks for people: lists, newest first.

use lowtide_core::name::{AppKey, Location, RunId};
use lowtide_core::ports::CatalogError;
use lowtide_core::run::Run;
use lowtide_core::savepoint::{Savepoint, Standing};
use sqlx::sqlite::SqliteRow;

use crate::open::Catalog;
use crate::rows::{application, broken, record, records};
use crate::sql;

/// Most runs that [`Catalog::runs_by_prefix`] gives: enough to say which a prefix could mean.
pub const RUN_MATCHES_MAX: u32 = 10;

/// Which runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunFilter {
    /// Of these applications; of all where this is `None`.
    pub applications: Option<Vec<AppKey>>,
    /// With this word of outcome ([`lowtide_core::run::Outcome::word`]).
    pub outcome: Option<&'static str>,
    /// At most this many.
    pub limit: u32,
}

/// Which savepoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SavepointFilter {
    /// Of these applications; of all where this is `None`.
    pub applications: Option<Vec<AppKey>>,
    /// With one of these standings; with any where this is `None`.
    pub standings: Option<Vec<Standing>>,
    /// Only those proven whole.
    pub only_good: bool,
    /// At most this many.
    pub limit: u32,
}

impl Catalog {
    /// Runs, the newest first, by when they were claimed or asked for.
    pub async fn runs(&self, filter: &RunFilter) -> Result<Vec<Run>, CatalogError> {
        let doing = "listing runs";
        let Some(keys) = &filter.applications else {
            let rows = sqlx::query(sql::RUNS)
                .bind(filter.outcome)
                .bind(filter.limit)
                .fetch_all(&self.readers)
                .await
                .map_err(broken(doing))?;
            return records(&rows);
        };
        let mut runs: Vec<Run> = Vec::new();
        for key in keys {
            let rows = sqlx::query(sql::RUNS_OF_APPLICATION)
                .bind(key.platform.as_str())
                .bind(key.application.as_str())
                .bind(filter.outcome)
                .bind(filter.limit)
                .fetch_all(&self.readers)
                .await
                .map_err(broken(doing))?;
            runs.extend(records::<Run>(&rows)?);
        }
        runs.sort_by_key(|run| std::cmp::Reverse((run.created_at.as_millisecond(), run.id)));
        runs.dedup_by_key(|run| run.id);
        runs.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
        Ok(runs)
    }

    /// The savepoints that these runs left, oldest first, in one question.
    pub async fn savepoints_of_runs(
        &self,
        runs: impl IntoIterator<Item = &RunId>,
    ) -> Result<Vec<Savepoint>, CatalogError> {
        let ids: Vec<String> = runs.into_iter().map(ToString::to_string).collect();
        let rows = sqlx::query(sql::SAVEPOINTS_OF_RUNS)
            .bind(serde_json::Value::from(ids).to_string())
            .fetch_all(&self.readers)
            .await
            .map_err(broken("reading what runs left"))?;
        records(&rows)
    }

    /// Savepoints, the newest first, by when they were taken.
    pub async fn savepoints(
        &self,
        filter: &SavepointFilter,
    ) -> Result<Vec<Savepoint>, CatalogError> {
        let doing = "listing savepoints";
        let standings = filter.standings.as_ref().map(|standings| {
            let words = standings.iter().map(|standing| standing.as_str());
            words.collect::<serde_json::Value>().to_string()
        });
        let verification = filter.only_good.then_some("verified");
        let Some(keys) = &filter.applications else {
            let rows = sqlx::query(sql::SAVEPOINTS)
                .bind(standings.clone())
                .bind(verification)
                .bind(filter.limit)
                .fetch_all(&self.readers)
                .await
                .map_err(broken(doing))?;
            return records(&rows);
        };
        let mut savepoints: Vec<Savepoint> = Vec::new();
        for key in keys {
            let rows = sqlx::query(sql::SAVEPOINTS_OF_APPLICATION)
                .bind(key.platform.as_str())
                .bind(key.application.as_str())
                .bind(standings.clone())
                .bind(verification)
                .bind(filter.limit)
                .fetch_all(&self.readers)
                .await
                .map_err(broken(doing))?;
            savepoints.extend(records::<Savepoint>(&rows)?);
        }
        savepoints.sort_by(|a, b| {
            let key = |s: &Savepoint| (s.taken_at.as_millisecond(), s.location.clone());
            key(b).cmp(&key(a))
        });
        savepoints.dedup_by(|a, b| a.location == b.location);
        savepoints.truncate(usize::try_from(filter.limit).unwrap_or(usize::MAX));
        Ok(savepoints)
    }

    /// The newest savepoint of an application that is proven whole, by when it was taken: kept,
    /// late or foreign.
    pub async fn latest_good(&self, key: &AppKey) -> Result<Option<Savepoint>, CatalogError> {
        let row = sqlx::query(sql::LATEST_GOOD)
            .bind(key.platform.as_str())
            .bind(key.application.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(broken("looking for the latest savepoint"))?;
        one(row.as_ref())
    }

    /// The savepoint of a place.
    pub async fn savepoint_by_location(
        &self,
        location: &Location,
    ) -> Result<Option<Savepoint>, CatalogError> {
        let row = sqlx::query(sql::SAVEPOINT)
            .bind(location.as_str())
            .fetch_optional(&self.readers)
            .await
            .map_err(broken("reading a savepoint"))?;
        one(row.as_ref())
    }

    /// The savepoints of these places, by location.
    pub async fn savepoints_at(&self, places: &[Location]) -> Result<Vec<Savepoint>, CatalogError> {
        let rows = sqlx::query(sql::SAVEPOINTS_AT)
            .bind(array(places))
            .fetch_all(&self.readers)
            .await
            .map_err(broken("looking for savepoints by place"))?;
        records(&rows)
    }

    /// The runs whose id begins with these hexadecimal digits, at most [`RUN_MATCHES_MAX`];
    /// none for a text that is not of hexadecimal digits.
    pub async fn runs_by_prefix(&self, prefix: &str) -> Result<Vec<Run>, CatalogError> {
        if prefix.is_empty() || !prefix.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Ok(Vec::new());
        }
        let rows = sqlx::query(sql::RUNS_BY_PREFIX)
            .bind(prefix.to_ascii_lowercase())
            .bind(RUN_MATCHES_MAX)
            .fetch_all(&self.readers)
            .await
            .map_err(broken("looking for a run"))?;
        records(&rows)
    }

    /// The newest run of an application.
    pub async fn last_run(&self, key: &AppKey) -> Result<Option<Run>, CatalogError> {
        let filter = RunFilter {
            applications: Some(vec![key.clone()]),
            outcome: None,
            limit: 1,
        };
        Ok(self.runs(&filter).await?.pop())
    }

    /// Every application that was ever seen, listed or not any more, by name.
    pub async fn applications(&self) -> Result<Vec<AppKey>, CatalogError> {
        let rows = sqlx::query(sql::APPLICATIONS)
            .fetch_all(&self.readers)
            .await
            .map_err(broken("listing applications"))?;
        rows.iter().map(application).collect()
    }
}

/// Places as SQLite takes a list: an array in JSON.
pub(crate) fn array(places: &[Location]) -> String {
    let texts = places.iter().map(Location::as_str);
    texts.collect::<serde_json::Value>().to_string()
}

fn one<T: serde::de::DeserializeOwned>(row: Option<&SqliteRow>) -> Result<Option<T>, CatalogError> {
    row.map(record).transpose()
}
