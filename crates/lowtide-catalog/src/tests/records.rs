//! Records of many kinds, for the tests of this crate.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lowtide_core::name::{AppKey, ApplicationName, JobId, Location, PlatformName, RunId};
use lowtide_core::policy::Policy;
use lowtide_core::run::{Cause, CauseKind, Origin, Outcome, Phase, Run};
use lowtide_core::savepoint::{Format, Provenance, Savepoint, Standing, Verification};
use lowtide_core::schedule::Never;
use lowtide_core::verify::Report;

pub(crate) fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_800_000_000 + seconds, 1_234_567).unwrap()
}

pub(crate) fn key(name: &str) -> AppKey {
    AppKey {
        platform: PlatformName::new("flink").unwrap(),
        application: ApplicationName::new(name).unwrap(),
    }
}

fn policy() -> Policy {
    Policy {
        job: "job".to_owned(),
        schedule: None,
        never: Never::new(Vec::new(), TimeZone::UTC).unwrap(),
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

pub(crate) fn slot(key: &AppKey, seconds: i64) -> Run {
    Run::of_slot(key.clone(), at(seconds), None, at(seconds), &policy())
}

pub(crate) fn request(key: &AppKey, id: u128, seconds: i64) -> Run {
    let id = RunId::from_bytes(id.to_be_bytes());
    Run::of_request(key.clone(), id, Origin::Take, at(seconds), &policy())
}

/// The row one commit later.
pub(crate) fn step(run: &Run, phase: Phase) -> Run {
    let mut next = run.clone();
    next.version += 1;
    next.phase = phase;
    next.outcome = None;
    next.ended_at = None;
    if phase == Phase::Done {
        next.outcome = Some(Outcome::Failed {
            cause: Cause::new(CauseKind::Lost, "nothing came of it"),
        });
        next.ended_at = Some(next.phase_since);
    }
    next
}

pub(crate) fn verified(state_bytes: u64) -> Verification {
    Verification::Verified {
        at: at(0),
        report: Report {
            state_bytes,
            ..Report::default()
        },
    }
}

pub(crate) fn unread() -> Verification {
    Verification::Unverified {
        reason: "not read yet".to_owned(),
        at: at(0),
        tries: 0,
    }
}

pub(crate) fn savepoint(
    run: &Run,
    name: &str,
    seconds: i64,
    standing: Standing,
    verification: Verification,
) -> Savepoint {
    Savepoint {
        location: Location::new(format!("s3://bucket/{}/{name}", run.application)),
        application: run.application.clone(),
        provenance: Provenance::Run {
            run: run.id,
            attempt: 1,
            job: JobId::new("job"),
        },
        standing,
        format: Format::Canonical,
        taken_at: at(seconds),
        duration_ms: Some(5),
        verification,
        verify_at: None,
        read_at: None,
    }
}
