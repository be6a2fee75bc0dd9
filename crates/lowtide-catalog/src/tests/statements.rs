//! Every statement is one that SQLite understands, and uses an index where it must.

use sqlx::{Executor as _, Row as _, SqlSafeStr as _};

use super::open_in;
use crate::{Catalog, sql};

#[tokio::test]
async fn every_statement_can_be_prepared() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let mut connection = catalog.writer.acquire().await.unwrap();
    for (name, statement) in sql::ALL {
        let prepared = (&mut *connection).prepare(statement.into_sql_str()).await;
        assert!(prepared.is_ok(), "{name}: {:?}", prepared.err());
    }
}

/// How SQLite would go about a statement, line by line.
async fn plan(catalog: &Catalog, statement: &str) -> Vec<String> {
    let explain = sqlx::AssertSqlSafe(format!("explain query plan {statement}"));
    let plan = sqlx::query(explain)
        .fetch_all(&catalog.writer)
        .await
        .unwrap();
    plan.iter().map(|row| row.get("detail")).collect()
}

#[tokio::test]
async fn no_question_of_every_tick_reads_a_whole_table() {
    // A catalog grows for years; what the engine asks again and again must not grow with it.
    let asked_often = [
        sql::UPDATE_RUNS,
        sql::UNDER_WAY,
        sql::TRIGGERED,
        sql::RUN,
        sql::OPEN_RUNS,
        sql::LOOKS_DUE,
        sql::RUNS,
        sql::RUNS_OF_APPLICATION,
        sql::RUNS_BY_PREFIX,
        sql::SAVEPOINT,
        sql::READS_DUE,
        sql::SAVEPOINTS_OF_RUN,
        sql::SAVEPOINTS,
        sql::SAVEPOINTS_OF_APPLICATION,
        sql::LATEST_GOOD,
        sql::BASELINE,
        sql::READINGS,
        sql::MEASURES,
        sql::SCHEDULE,
        sql::SCHEDULE_AND_PAUSES,
        sql::PAUSES_OF_APPLICATION,
        sql::LASTING_PAUSE,
    ];
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    for statement in asked_often {
        for detail in plan(&catalog, statement).await {
            // What is virtual is `jsonb_each`, the list that was asked with; what a subquery found
            // has a line of its own.
            let stored = !detail.contains("VIRTUAL TABLE") && !detail.contains("(subquery");
            let whole_table = detail.starts_with("SCAN") && !detail.contains("USING") && stored;
            assert!(!whole_table, "{detail}: {statement}");
            assert!(!detail.contains("TEMP B-TREE"), "{detail}: {statement}");
        }
    }
}

/// An index on the platform or the application alone would do, and would read the whole history of
/// either for each step.
#[tokio::test]
async fn what_each_step_asks_reads_only_what_is_under_way() {
    let asked_each_step = [
        (sql::UNDER_WAY, "runs_under_way"),
        (sql::TRIGGERED, "runs_triggered"),
        (sql::OPEN_RUNS, "runs_open"),
    ];
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    for (statement, index) in asked_each_step {
        let details = plan(&catalog, statement).await;
        assert!(
            details.iter().all(|detail| detail.contains(index)),
            "{details:?}: {statement}"
        );
    }
}

/// Through another index it would read the rows themselves, most of which is their body.
#[tokio::test]
async fn what_is_known_of_many_savepoints_is_read_without_their_bodies() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    for statement in [sql::MEASURES, sql::READINGS] {
        let details = plan(&catalog, statement).await;
        assert!(
            details
                .iter()
                .any(|detail| detail.contains("INDEX savepoints_verified")),
            "{details:?}: {statement}"
        );
    }
}
