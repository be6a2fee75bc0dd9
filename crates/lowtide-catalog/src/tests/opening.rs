//! Where a catalog can lie, and what is not one.

use std::path::{Path, PathBuf};

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::open_in;
use crate::open::prepare_place;
use crate::{Catalog, OpenError};

async fn refusal(path: &Path) -> OpenError {
    let error = Catalog::open(path).await.unwrap_err();
    assert!(!error.hint().is_empty());
    assert!(
        error.to_string().contains(&*path.to_string_lossy()),
        "{error}"
    );
    error
}

async fn execute(path: &Path, statement: &'static str) {
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    sqlx::raw_sql(statement)
        .execute(&mut connection)
        .await
        .unwrap();
    connection.close().await.unwrap();
}

#[tokio::test]
async fn missing_directories_are_made() {
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b c/ü");
    let catalog = open_in(&deep).await;
    catalog.close().await;
    assert!(deep.join("catalog.db").is_file());
    // And again, now that it is there.
    open_in(&deep).await.close().await;
}

#[tokio::test]
async fn every_connection_is_durable_and_the_file_is_in_wal_mode() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    for pool in [&catalog.writer, &catalog.readers] {
        let number = |statement: &'static str| sqlx::query_scalar::<_, i64>(statement);
        let full = number("pragma synchronous").fetch_one(pool).await.unwrap();
        assert_eq!(full, 2, "FULL");
        let foreign_keys = number("pragma foreign_keys").fetch_one(pool).await.unwrap();
        assert_eq!(foreign_keys, 1);
        let wait = number("pragma busy_timeout").fetch_one(pool).await.unwrap();
        assert_eq!(wait, 5_000);
        let mode: String = sqlx::query_scalar("pragma journal_mode")
            .fetch_one(pool)
            .await
            .unwrap();
        assert_eq!(mode, "wal");
    }
    let written = sqlx::query("delete from runs")
        .execute(&catalog.readers)
        .await;
    assert!(written.is_err(), "a reading connection only reads");
}

#[tokio::test]
async fn names_that_sqlite_would_take_for_something_else_are_files() {
    let directory = tempfile::tempdir().unwrap();
    for name in [":memory:", "file:x?mode=memory", "a?b#c%20"] {
        let path = directory.path().join(name);
        Catalog::open(&path).await.unwrap().close().await;
        assert!(path.is_file(), "{name}");
    }
}

#[test]
fn a_network_file_system_is_refused_before_anything_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("a/b/catalog.db");
    let error = prepare_place(&path, |there| {
        assert_eq!(there, directory.path(), "what is there already decides");
        Some("nfs4".to_owned())
    })
    .unwrap_err();
    assert!(matches!(error, OpenError::Network { .. }), "{error:?}");
    assert!(error.to_string().contains("nfs4"));
    assert!(!directory.path().join("a").exists());
}

#[tokio::test]
async fn a_file_in_the_way_of_the_directory() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("file");
    std::fs::write(&file, "text").unwrap();
    let error = Catalog::open(file.join("catalog.db")).await.unwrap_err();
    assert!(matches!(error, OpenError::Directory { .. }), "{error:?}");
}

#[tokio::test]
async fn a_directory_in_the_way_of_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let error = refusal(directory.path()).await;
    assert!(matches!(error, OpenError::IsDirectory { .. }), "{error:?}");
}

#[tokio::test]
async fn a_directory_that_nobody_can_write() {
    // Also for root, whom no rights stop.
    let error = refusal(&PathBuf::from("/proc/self/catalog.db")).await;
    assert!(matches!(error, OpenError::NotWritable { .. }), "{error:?}");
}

#[tokio::test]
async fn what_is_no_database_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    let text = "these are notes, and long enough to be a header of a database\n".repeat(20);
    std::fs::write(&path, &text).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::NotACatalog { .. }), "{error:?}");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1);
}

#[tokio::test]
async fn the_database_of_another_program_stays_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("other.db");
    execute(&path, "create table runs (id text)").await;
    let before = std::fs::read(&path).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::NotACatalog { .. }), "{error:?}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
}

#[tokio::test]
async fn a_newer_schema_is_refused_by_its_number() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.db");
    open_in(directory.path()).await.close().await;
    execute(&path, "insert into schema_version values (1000, 0)").await;
    let error = refusal(&path).await;
    assert!(
        matches!(error, OpenError::Newer { found: 1000, .. }),
        "{error:?}"
    );
    assert!(error.to_string().contains("1000"));
}

#[tokio::test]
async fn a_cut_file_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.db");
    open_in(directory.path()).await.close().await;
    let whole = std::fs::read(&path).unwrap();
    // The header survives, and says how many pages there should be.
    std::fs::write(&path, &whole[..whole.len() / 8]).unwrap();
    let error = refusal(&path).await;
    assert!(matches!(error, OpenError::Damaged { .. }), "{error:?}");
}

#[tokio::test]
async fn an_empty_file_becomes_a_catalog() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("catalog.db"), "").unwrap();
    open_in(directory.path()).await.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn opened_at_once_by_many_it_is_made_once() {
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("catalog.db");
        let opening: Vec<_> = (0..8)
            .map(|_| tokio::spawn(Catalog::open(path.clone())))
            .collect();
        for opened in opening {
            opened.await.unwrap().unwrap().close().await;
        }
    }
}
