//! What `list`, `show` and `latest` say of a catalog with a history.
#![allow(clippy::unwrap_used)]

mod shared;

use jiff::{SignedDuration, Timestamp};
use lowtide_catalog::Catalog;
use lowtide_core::name::{
    AppKey, ApplicationName, JobId, Location, PlatformName, RunId, TriggerId,
};
use lowtide_core::policy::Policy;
use lowtide_core::ports::{Catalog as _, Commit};
use lowtide_core::run::{Attempt, AttemptEnd, Cause, CauseKind, Outcome, OwnDirectory, Phase, Run};
use lowtide_core::savepoint::{Format, Provenance, Savepoint, Standing, Verification};
use lowtide_core::schedule::Never;
use lowtide_core::verify::{OperatorReport, Report};

use shared::{Place, TWO};

fn key(application: &str) -> AppKey {
    AppKey {
        platform: PlatformName::new("session").unwrap(),
        application: ApplicationName::new(application).unwrap(),
    }
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn policy() -> Policy {
    Policy {
        job: "orders".into(),
        schedule: None,
        never: Never::new(Vec::new(), jiff::tz::TimeZone::UTC).unwrap(),
        format: Format::Canonical,
        target: None,
        deadline: SignedDuration::from_hours(1),
        attempts: 3,
        patience: SignedDuration::from_mins(5),
        absent_for: SignedDuration::from_mins(10),
        catch_up: SignedDuration::from_hours(6),
        concurrency: 16,
    }
}

/// A run of a slot that ended after one attempt of 2.4 s.
fn ended(application: &str, nominal: Timestamp, location: &Location, outcome: Outcome) -> Run {
    let mut run = Run::of_slot(key(application), nominal, None, nominal, &policy());
    let later = |ms| nominal + SignedDuration::from_millis(ms);
    run.job = Some(JobId::new("f36b0f5a5d6a4ab8a3ed5bd1f5b2f0aa"));
    run.attempts.push(Attempt {
        number: 1,
        job: JobId::new("f36b0f5a5d6a4ab8a3ed5bd1f5b2f0aa"),
        job_started_at: at("2026-11-01T00:00:00Z"),
        trigger_id: TriggerId::of_attempt(run.id, 1),
        directory: Some(OwnDirectory {
            target: Location::new(format!(
                "/savepoints/{application}/{}",
                run.directory_name(1)
            )),
            base: Location::new("/savepoints"),
        }),
        listing: None,
        format: Format::Canonical,
        checkpoint_timeout: Some(SignedDuration::from_mins(10)),
        tolerable_failures: Some(0),
        store_duration: SignedDuration::from_mins(5),
        frozen_at: later(10),
        sent_at: Some(later(12)),
        calls: 1,
        accepted_at: Some(later(20)),
        empty_at: None,
        location: Some(location.clone()),
        named_by_platform: true,
        completed_at: Some(later(2_412)),
        reads: 0,
        end: Some(AttemptEnd::Completed),
    });
    run.phase = Phase::Done;
    run.outcome = Some(outcome);
    run.ended_at = Some(later(2_430));
    run.version = 1;
    run
}

fn report(findings: &[&str]) -> Report {
    Report {
        version: Some(6),
        checkpoint_id: Some(42),
        files: 3,
        state_bytes: 1_400_000,
        operators: vec![OperatorReport {
            id: "bc764cd8ddf7a0cff126f51c16239658".into(),
            uid: Some("src-uid".into()),
            name: Some("Source".into()),
            parallelism: 2,
            max_parallelism: 128,
            state_bytes: 1_400_000,
        }],
        findings: findings.iter().map(ToString::to_string).collect(),
        findings_total: findings.len() as u64,
        warnings: vec![],
    }
}

fn savepoint(
    run: &Run,
    location: &Location,
    standing: Standing,
    verification: Verification,
) -> Savepoint {
    Savepoint {
        location: location.clone(),
        application: run.application.clone(),
        provenance: Provenance::Run {
            run: run.id,
            attempt: 1,
            job: JobId::new("f36b0f5a5d6a4ab8a3ed5bd1f5b2f0aa"),
        },
        standing,
        format: Format::Canonical,
        taken_at: run.created_at,
        duration_ms: Some(2_400),
        verification,
        verify_at: None,
        read_at: None,
    }
}

/// A good savepoint, a broken newer one with what it left, and one of an application that is no
/// longer configured.
async fn fill(catalog: &Catalog) {
    let good = Location::new("/savepoints/orders/20261120T010000Z-1/savepoint-f36b0f-1");
    let run = ended(
        "orders",
        at("2026-11-20T01:00:00Z"),
        &good,
        Outcome::Kept {
            location: good.clone(),
        },
    );
    let whole = Verification::Verified {
        at: at("2026-11-20T01:00:02Z"),
        report: report(&[]),
    };
    record(
        catalog,
        &run,
        savepoint(&run, &good, Standing::Kept, whole.clone()),
    )
    .await;

    let bad = Location::new("/savepoints/orders/20261121T010000Z-1/savepoint-f36b0f-2");
    let cause = Cause::new(CauseKind::Broken, "a file is missing")
        .hint("look at who else writes to /savepoints");
    let mut run = ended(
        "orders",
        at("2026-11-21T01:00:00Z"),
        &bad,
        Outcome::Failed { cause },
    );
    run.warnings
        .push("a checkpoint is in progress, and still so after 5m: taken all the same".into());
    let broken = Verification::Broken {
        at: at("2026-11-21T01:00:02Z"),
        report: report(&[
            "missing: file:/savepoints/orders/20261121T010000Z-1/savepoint-f36b0f-2/a",
        ]),
    };
    record(
        catalog,
        &run,
        savepoint(&run, &bad, Standing::Orphan, broken),
    )
    .await;

    let old = Location::new("/savepoints/gone/20261001T010000Z-1/savepoint-aaaaaa-1");
    let run = ended(
        "gone",
        at("2026-10-01T01:00:00Z"),
        &old,
        Outcome::Kept {
            location: old.clone(),
        },
    );
    record(catalog, &run, savepoint(&run, &old, Standing::Kept, whole)).await;
}

async fn record(catalog: &Catalog, run: &Run, savepoint: Savepoint) {
    let mut due = run.clone();
    due.version = 0;
    due.phase = Phase::Due;
    due.outcome = None;
    due.ended_at = None;
    catalog.claim(&[due], None).await.unwrap();
    catalog
        .commit(Commit {
            run,
            savepoints: &[savepoint],
            begins: false,
            cap: None,
        })
        .await
        .unwrap();
}

fn place_with_history() -> Place {
    let place = Place::new(TWO);
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(async {
            let catalog = Catalog::open(place.path("catalog.db")).await.unwrap();
            fill(&catalog).await;
            catalog.close().await;
        });
    place
}

#[test]
fn list_shows_what_fills_slots_and_with_all_everything() {
    let place = place_with_history();
    insta::assert_snapshot!("list", place.run(&["list"]).text());
    insta::assert_snapshot!("list_all", place.run(&["list", "--all"]).text());
    insta::assert_snapshot!("list_json", place.run(&["list", "-o", "json"]).text());
    let one = place
        .run(&["list", "--all", "--limit", "1", "-o", "json"])
        .json();
    assert_eq!(one["savepoints"].as_array().unwrap().len(), 1);
    assert_eq!(one["savepoints"][0]["verification"], "broken");
    let gone = place.run(&["list", "gone", "-o", "json"]).json();
    assert_eq!(gone["savepoints"][0]["listed"], false);
}

#[test]
fn show_tells_everything_of_a_run() {
    let place = place_with_history();
    insta::assert_snapshot!("show", place.run(&["show", "orders"]).text());
    insta::assert_snapshot!(
        "show_json",
        place.run(&["show", "orders", "-o", "json"]).text()
    );
    let by_place = place.run(&[
        "show",
        "file:///savepoints/orders/20261120T010000Z-1/savepoint-f36b0f-1/",
        "-o",
        "json",
    ]);
    let id = RunId::of_slot(&key("orders"), at("2026-11-20T01:00:00Z")).to_string();
    assert_eq!(by_place.json()["id"], id);
    let gone = place.run(&["show", "session/gone", "-o", "json"]);
    assert_eq!(gone.json()["outcome"], "kept");
}

#[test]
fn latest_prints_a_path_and_nothing_else() {
    let place = place_with_history();
    let ended = place.run(&["latest", "orders"]);
    assert_eq!(ended.code, 0);
    // Not the newer, broken one.
    assert_eq!(
        ended.stdout,
        "file:/savepoints/orders/20261120T010000Z-1/savepoint-f36b0f-1\n"
    );
    assert_eq!(ended.stderr, "");
    // An application that is no longer configured still has its savepoints.
    assert_eq!(place.run(&["latest", "gone"]).code, 0);
    let old = place.run(&["latest", "orders", "--max-age", "1ms"]);
    assert_eq!((old.code, old.stdout.as_str()), (1, ""));
    assert!(
        old.stderr
            .contains("hint: it lies at file:/savepoints/orders/"),
        "{}",
        old.text()
    );
    let young = place.run(&["latest", "orders", "--max-age", "3000d", "-o", "json"]);
    assert_eq!(young.json()["report"]["checkpoint_id"], 42);
}

#[test]
fn a_slot_that_is_filled_is_told_and_not_tried_again() {
    let place = place_with_history();
    let ended = place.run(&["run", "orders", "--slot", "2026-11-20T01:00:00Z"]);
    assert_eq!(ended.code, 0, "{}", ended.text());
    assert!(
        ended.stdout.contains("kept") && ended.stdout.contains("1.3 MiB"),
        "{}",
        ended.text()
    );
    let ended = place.run(&["run", "orders", "--slot", "2026-11-21T01:00:00Z"]);
    assert_eq!(ended.code, 1, "{}", ended.text());
    assert!(
        ended.stderr.contains("hint: look at who else writes"),
        "{}",
        ended.text()
    );
}
