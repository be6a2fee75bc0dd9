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
