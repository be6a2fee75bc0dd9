//! Savepoints that no run left.

use lowtide_core::name::Location;
use lowtide_core::ports::Catalog as _;
use lowtide_core::run::Phase;
use lowtide_core::savepoint::{Provenance, Savepoint, Standing};
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::open_in;
use super::questions::commit;
use super::records::{at, key, savepoint, slot, step, verified};
use crate::{Catalog, SavepointFilter};

/// The schema of the release before, with one savepoint of a run.
const BEFORE: &[&str] = &[
    include_str!("../../migrations/0001_first.sql"),
    include_str!("../../migrations/0002_triggered.sql"),
    "insert into schema_version (version, applied_ms) values (1, 0), (2, 0)",
];

fn adopted(name: &str) -> Savepoint {
    Savepoint {
        provenance: Provenance::Adopted {
            adopted_at: at(100),
        },
        duration_ms: None,
        ..savepoint(
            &slot(&key("a"), 0),
            name,
            50,
            Standing::Foreign,
            verified(3),
        )
    }
}

#[tokio::test]
async fn what_is_adopted_comes_back_as_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let one = adopted("one");
    assert_eq!(catalog.adopt(&one, &[]).await.unwrap(), None);
    assert_eq!(
        catalog.latest_good(&key("a")).await.unwrap(),
        Some(one.clone())
    );
    assert_eq!(catalog.applications().await.unwrap(), [key("a")]);
    let foreign = SavepointFilter {
        applications: None,
        standings: Some(vec![Standing::Foreign]),
        only_good: true,
        limit: 10,
    };
    assert_eq!(
        catalog.savepoints(&foreign).await.unwrap(),
        std::slice::from_ref(&one)
    );
    let owned = Savepoint {
        standing: Standing::Kept,
        ..one.clone()
    };
    catalog.amend(&one, &owned).await.unwrap();
    assert_eq!(catalog.savepoints(&foreign).await.unwrap(), []);
    // What it weighs counts, how long it took is not known.
    assert_eq!(
        catalog.context(&key("a")).await.unwrap().median_bytes,
        Some(3)
    );
}

#[tokio::test]
async fn one_place_has_one_record_under_any_of_its_names() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let one = adopted("one");
    let other = Savepoint {
        location: Location::new("/mnt/one"),
        ..one.clone()
    };
    let names = [one.location.clone(), other.location.clone()];
    assert_eq!(catalog.adopt(&one, &names).await.unwrap(), None);
    for again in [&one, &other] {
        assert_eq!(
            catalog.adopt(again, &names).await.unwrap(),
            Some(one.clone())
        );
    }
    assert_eq!(catalog.adopt(&one, &[]).await.unwrap(), Some(one.clone()));
    assert_eq!(catalog.savepoints_at(&names).await.unwrap(), [one]);
    assert_eq!(catalog.savepoints_at(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn adopters_at_once_make_one_record() {
    let directory = tempfile::tempdir().unwrap();
    let catalogs = [
        open_in(directory.path()).await,
        open_in(directory.path()).await,
    ];
    let names = ["one", "two"].map(|name| adopted(name).location);
    let [one, two] = ["one", "two"].map(adopted);
    let (first, second) = tokio::join!(
        catalogs[0].adopt(&one, &names),
        catalogs[1].adopt(&two, &names),
    );
    let entered = [first, second]
        .into_iter()
        .filter(|it| it.as_ref().unwrap().is_none());
    assert_eq!(entered.count(), 1);
    assert_eq!(catalogs[0].savepoints_at(&names).await.unwrap().len(), 1);
}

#[tokio::test]
async fn savepoints_of_the_release_before_keep_their_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("catalog.db");
    let run = slot(&key("a"), 0);
    let old = savepoint(&run, "old", 5, Standing::Kept, verified(1));
    let mut connection = SqliteConnectOptions::new()
        .filename(&path)
        .create_if_missing(true)
        .connect()
        .await
        .unwrap();
    for statements in BEFORE {
        sqlx::raw_sql(*statements)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    sqlx::query(
        "insert into savepoints (location, platform, application, run, standing, verification,
             taken_ms, body) values ($1, 'flink', 'a', $2, 'kept', 'verified', 5, $3)",
    )
    .bind(old.location.as_str())
    .bind(run.id.to_string())
    .bind(serde_json::to_string(&old).unwrap())
    .execute(&mut connection)
    .await
    .unwrap();
    connection.close().await.unwrap();

    let catalog = Catalog::open(&path).await.unwrap();
    assert_eq!(catalog.savepoints_of(run.id).await.unwrap(), [old]);
    assert_eq!(catalog.adopt(&adopted("new"), &[]).await.unwrap(), None);
}

#[test]
fn a_record_keeps_the_shape_that_it_had() {
    let run = slot(&key("a"), 0);
    let body = serde_json::to_value(savepoint(&run, "s", 5, Standing::Kept, verified(1))).unwrap();
    assert_eq!(body["run"], run.id.to_string());
    assert_eq!(
        (body["attempt"].as_u64(), body["job"].as_str()),
        (Some(1), Some("job"))
    );
}

#[tokio::test]
async fn what_turns_out_to_be_a_runs_own_becomes_that_and_no_second_record() {
    let directory = tempfile::tempdir().unwrap();
    let catalog = open_in(directory.path()).await;
    let run = slot(&key("a"), 0);
    catalog
        .claim(std::slice::from_ref(&run), None)
        .await
        .unwrap();
    // Adopted while the run that asked for it still follows it.
    let mut version = run;
    for (standing, becomes_kept) in [(Standing::Late, false), (Standing::Kept, true)] {
        let one = adopted("one");
        catalog.adopt(&one, &[]).await.unwrap();
        let left = savepoint(&version, "one", 5, standing, verified(3));
        version = step(&version, Phase::Waiting);
        commit(&catalog, &version, std::slice::from_ref(&left)).await;
        let wanted = if becomes_kept { left } else { one };
        let known = catalog
            .savepoints_at(std::slice::from_ref(&wanted.location))
            .await;
        assert_eq!(known.unwrap(), [wanted], "{standing:?}");
    }
}
