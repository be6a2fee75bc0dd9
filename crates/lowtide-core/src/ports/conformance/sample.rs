//! Records to check with: every field filled, instants with nanoseconds.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::name::{
    AppKey, ApplicationName, JobId, Location, OwnerId, PlatformName, RunId, TriggerId,
};
use crate::policy::{ABSENT_FOR, ATTEMPTS, CATCH_UP, CONCURRENCY, DEADLINE, PATIENCE, Policy};
use crate::ports::{Catalog, CatalogError, Commit};
use crate::run::{
    Attempt, AttemptEnd, Cause, CauseKind, Hold, HoldKind, Origin, Outcome, OwnDirectory, Owner,
    Phase, Run, STORE_DURATION, Unknown,
};
use crate::savepoint::{Format, Provenance, Savepoint, Standing, Verification};
use crate::schedule::Never;
use crate::verify::{OperatorReport, Report};

/// An instant so many seconds after some evening, with an odd number of nanoseconds.
pub(super) fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_800_000_000 + seconds, 123_456_789).expect("in range")
}

pub(super) fn nanoseconds(count: i64) -> SignedDuration {
    SignedDuration::from_nanos(count)
}

pub(super) fn key(platform: &str, application: &str) -> AppKey {
    AppKey {
        platform: PlatformName::new(platform).expect("a name"),
        application: ApplicationName::new(application).expect("a name"),
    }
}

fn policy() -> Policy {
    Policy {
        job: "orders".to_owned(),
        schedule: None,
        never: Never::new(Vec::new(), TimeZone::UTC).expect("no windows, no contradiction"),
        format: Format::Canonical,
        target: None,
        deadline: DEADLINE,
        attempts: ATTEMPTS,
        patience: PATIENCE,
        absent_for: ABSENT_FOR,
        catch_up: CATCH_UP,
        concurrency: CONCURRENCY,
    }
}

/// A run that was just claimed.
pub(super) fn slot(application: &AppKey, seconds: i64) -> Run {
    Run::of_slot(
        application.clone(),
        at(seconds),
        Some(at(seconds + 600)),
        at(seconds + 1),
        &policy(),
    )
}

/// A run that a person asked for, of this number.
pub(super) fn request(application: &AppKey, number: u8, seconds: i64) -> Run {
    Run::of_request(
        application.clone(),
        RunId::from_bytes([number; 16]),
        Origin::Take,
        at(seconds),
        &policy(),
    )
}

/// The row one commit later, in this phase.
pub(super) fn step(run: &Run, phase: Phase) -> Run {
    let mut next = run.clone();
    next.phase = phase;
    next.phase_since += SignedDuration::from_secs(1);
    next.version += 1;
    if phase == Phase::Done {
        next.outcome = Some(Outcome::Failed {
            cause: Cause::new(CauseKind::LostSight, "nothing was seen of it").hint("look there"),
        });
        next.ended_at = Some(next.phase_since);
    }
    next
}

/// A row in which every field says something.
pub(super) fn full(run: &Run) -> Run {
    let mut next = step(run, Phase::Following);
    let sent_at = run.created_at + SignedDuration::from_secs(2);
    next.resolving_since = Some(run.created_at);
    next.gate_since = Some(run.created_at + SignedDuration::from_millis(1));
    next.job = Some(JobId::new("0123456789abcdef0123456789abcdef"));
    next.attempts = vec![Attempt {
        number: 1,
        job: JobId::new("0123456789abcdef0123456789abcdef"),
        job_started_at: at(-86_400),
        trigger_id: TriggerId::of_attempt(run.id, 1),
        directory: Some(OwnDirectory {
            target: Location::new("s3://bucket/savepoints/orders/x-1"),
            base: Location::new("s3://bucket/savepoints"),
        }),
        listing: None,
        format: Format::Native,
        checkpoint_timeout: Some(SignedDuration::new(600, 1)),
        tolerable_failures: Some(3),
        store_duration: STORE_DURATION,
        frozen_at: sent_at,
        sent_at: Some(sent_at),
        calls: 2,
        accepted_at: Some(sent_at + nanoseconds(1)),
        empty_at: Some(sent_at + nanoseconds(2)),
        location: Some(Location::new(
            "s3://bucket/savepoints/orders/x-1/savepoint-1",
        )),
        named_by_platform: true,
        completed_at: Some(sent_at + nanoseconds(3)),
        reads: 1,
        end: Some(AttemptEnd::Failed {
            cause: Cause::new(
                CauseKind::Expired,
                "\"quoted\", 'quoted', ünïcödé \u{1f30a}\n",
            ),
        }),
    }];
    next.unknown = Some(Unknown {
        since: sent_at,
        why: "no answer".to_owned(),
        until: sent_at + SignedDuration::from_mins(5),
    });
    next.hold = Some(Hold {
        kind: HoldKind::Backoff,
        since: sent_at,
        why: "a 503 from a proxy".to_owned(),
    });
    next.faults = 4;
    next.warnings = vec!["checkpointing is disabled".to_owned()];
    next.look_at = Some(sent_at + SignedDuration::from_secs(15));
    next.looks = 1;
    next.owner = Some(Owner {
        who: OwnerId::new("host-1-2"),
        until: sent_at + SignedDuration::from_secs(30),
    });
    next
}

pub(super) fn verified(state_bytes: u64) -> Verification {
    Verification::Verified {
        at: at(0),
        report: report(state_bytes),
    }
}

pub(super) fn broken() -> Verification {
    Verification::Broken {
        at: at(0),
        report: Report {
            findings: vec!["a file is missing".to_owned()],
            findings_total: 1,
            ..report(10)
        },
    }
}

pub(super) fn unread(tries: u32) -> Verification {
    Verification::Unverified {
        reason: "not read yet".to_owned(),
        at: at(0),
        tries,
    }
}

fn report(state_bytes: u64) -> Report {
    Report {
        version: Some(6),
        checkpoint_id: Some(17),
        files: 3,
        state_bytes,
        operators: vec![OperatorReport {
            id: "00000000000000000000000000000001".to_owned(),
            uid: Some("source".to_owned()),
            name: None,
            parallelism: 4,
            max_parallelism: 128,
            state_bytes,
        }],
        warnings: vec!["files that nothing references: 2".to_owned()],
        ..Report::default()
    }
}

/// A savepoint of a run, at a place of this name.
pub(super) fn savepoint(
    run: &Run,
    name: &str,
    standing: Standing,
    verification: Verification,
) -> Savepoint {
    Savepoint {
        location: Location::new("file:/savepoints").join(name),
        application: run.application.clone(),
        provenance: Provenance::Run {
            run: run.id,
            attempt: 1,
            job: JobId::new("0123456789abcdef0123456789abcdef"),
        },
        standing,
        format: Format::Canonical,
        taken_at: run.created_at + SignedDuration::from_secs(1),
        duration_ms: Some(1_234),
        verification,
        verify_at: None,
        read_at: None,
    }
}

/// Claims runs and expects each to be new.
pub(super) async fn claim<C: Catalog>(catalog: &C, runs: &[Run]) {
    let claims = catalog.claim(runs, None).await.expect("a claim");
    assert!(
        claims
            .iter()
            .all(|claim| *claim == crate::ports::Claim::Claimed),
        "new runs are claimed: {claims:?}"
    );
}

/// Commits a step with nothing else to it.
pub(super) async fn commit<C: Catalog>(catalog: &C, run: &Run) -> Result<(), CatalogError> {
    commit_with(catalog, run, &[]).await
}

pub(super) async fn commit_with<C: Catalog>(
    catalog: &C,
    run: &Run,
    savepoints: &[Savepoint],
) -> Result<(), CatalogError> {
    catalog
        .commit(Commit {
            run,
            savepoints,
            begins: false,
            cap: None,
        })
        .await
}

pub(super) async fn begin<C: Catalog>(catalog: &C, run: &Run) -> Result<(), CatalogError> {
    catalog
        .commit(Commit {
            run,
            savepoints: &[],
            begins: true,
            cap: None,
        })
        .await
}

pub(super) async fn trigger<C: Catalog>(
    catalog: &C,
    run: &Run,
    cap: u32,
) -> Result<(), CatalogError> {
    catalog
        .commit(Commit {
            run,
            savepoints: &[],
            begins: false,
            cap: Some(cap),
        })
        .await
}

/// The row as the catalog has it.
pub(super) async fn stored<C: Catalog>(catalog: &C, run: &Run) -> Run {
    catalog
        .run(run.id)
        .await
        .expect("a read")
        .expect("the run is there")
}
