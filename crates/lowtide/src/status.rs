//! What a run is doing, in one line for people. It changes when the run does and at no other
//! time: no clock is read, so whoever logs it on change logs each change once.

use lowtide_core::run::{HoldKind, Outcome, Phase, Run};

use crate::human;

/// The line, without the application's name.
pub fn line(run: &Run) -> String {
    if let Some(outcome) = &run.outcome {
        return ended(outcome);
    }
    if let Some(unknown) = &run.unknown {
        return format!(
            "{}: what became of it is not known just now ({}); looking until {} at the latest",
            run.phase.as_str(),
            unknown.why,
            human::time_utc(unknown.until)
        );
    }
    if let Some(hold) = &run.hold {
        let what = match hold.kind {
            HoldKind::Overlap | HoldKind::Cap => "waiting for its turn",
            HoldKind::Never | HoldKind::Absent | HoldKind::Gate => "waiting",
            HoldKind::Backoff => "trying again soon",
        };
        return format!("{what}: {}", hold.why);
    }
    going(run)
}

fn going(run: &Run) -> String {
    let attempt = match run.attempts.len() {
        0 | 1 => String::new(),
        number => format!(", attempt {number}"),
    };
    let job = run
        .job
        .as_ref()
        .or_else(|| run.attempt().map(|attempt| &attempt.job))
        .map(|job| format!(" of job {job}"))
        .unwrap_or_default();
    match run.phase {
        Phase::Due => "due".to_owned(),
        Phase::Resolving => "resolving the name".to_owned(),
        Phase::Waiting => format!("looking at the health{job}"),
        Phase::Triggering => format!("triggering a savepoint{job}{attempt}"),
        Phase::Following => format!("following the savepoint{job}{attempt}"),
        Phase::Verifying => match run.attempt().and_then(|attempt| attempt.location.as_ref()) {
            Some(location) => format!("verifying {location}"),
            None => "verifying".to_owned(),
        },
        Phase::Done => "done".to_owned(),
    }
}

fn ended(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Kept { location } => format!("kept: {location}"),
        Outcome::Unverified {
            location, reason, ..
        } => format!("unverified: {reason}: {location}"),
        Outcome::Failed { cause } => format!("{}: {}", outcome.short(), cause.text),
        Outcome::Skipped { text, .. } => format!("{}: {text}", outcome.short()),
        Outcome::Missed { reason } => format!("missed: {reason}"),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fmt::Write as _;

    use jiff::{SignedDuration, Timestamp};
    use lowtide_core::name::{AppKey, ApplicationName, JobId, Location, PlatformName, RunId};
    use lowtide_core::policy::Policy;
    use lowtide_core::run::{Cause, CauseKind, Hold, Origin, SkipReason, Unknown};
    use lowtide_core::savepoint::Format;
    use lowtide_core::schedule::Never;

    use super::*;

    pub(crate) fn run() -> Run {
        let policy = Policy {
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
        };
        let key = AppKey {
            platform: PlatformName::new("session").unwrap(),
            application: ApplicationName::new("orders").unwrap(),
        };
        let mut run = Run::of_request(
            key,
            RunId::from_bytes([7; 16]),
            Origin::Take,
            Timestamp::UNIX_EPOCH,
            &policy,
        );
        run.job = Some(JobId::new("f36b0f5a"));
        run
    }

    fn ended_as(outcome: Outcome) -> Run {
        Run {
            phase: Phase::Done,
            outcome: Some(outcome),
            ..run()
        }
    }

    fn held(kind: HoldKind, why: &str) -> Run {
        Run {
            hold: Some(Hold {
                kind,
                since: Timestamp::UNIX_EPOCH,
                why: why.into(),
            }),
            ..run()
        }
    }

    #[test]
    fn every_state_reads_well() {
        let location = Location::new("/savepoints/savepoint-1-2");
        let mut runs: Vec<Run> = [
            Phase::Due,
            Phase::Resolving,
            Phase::Waiting,
            Phase::Triggering,
            Phase::Following,
            Phase::Verifying,
        ]
        .map(|phase| Run { phase, ..run() })
        .to_vec();
        runs.extend([
            held(HoldKind::Overlap, "an earlier run is under way"),
            held(HoldKind::Never, "a never-window holds until 18:00"),
            held(HoldKind::Absent, "no running job is named `orders`"),
            held(HoldKind::Gate, "only 3 of 4 tasks run"),
            held(HoldKind::Cap, "16 savepoints are under way"),
            held(HoldKind::Backoff, "the connection was refused"),
            Run {
                phase: Phase::Following,
                unknown: Some(Unknown {
                    since: Timestamp::UNIX_EPOCH,
                    why: "the connection was refused".into(),
                    until: Timestamp::UNIX_EPOCH,
                }),
                ..run()
            },
            ended_as(Outcome::Kept {
                location: location.clone(),
            }),
            ended_as(Outcome::Unverified {
                location,
                reason: "permission denied".into(),
                hint: None,
            }),
            ended_as(Outcome::Failed {
                cause: Cause::new(CauseKind::LostSight, "no answer until the deadline"),
            }),
            ended_as(Outcome::Skipped {
                reason: SkipReason::Finished,
                text: "job f36b0f5a named `orders` has finished".into(),
            }),
            ended_as(Outcome::Missed {
                reason: "Lowtide was not running".into(),
            }),
        ]);
        let mut text = String::new();
        for run in runs {
            let _ = writeln!(text, "{}", line(&run));
        }
        insta::assert_snapshot!(text);
    }
}
