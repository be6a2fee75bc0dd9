//! Looking again, after the end: a savepoint may complete when nobody waits for it any more.
//! Every directory that exists nevertheless is to be in the catalog.

use jiff::{SignedDuration, Timestamp};

use super::{AttemptEnd, Found, Run};
use crate::Bug;
use crate::name::Location;
use crate::planted::planted;
use crate::savepoint::{Provenance, Savepoint, Standing, Verification};

/// When the directories of a troubled run are looked into, counted from its end: soon, because
/// most of what comes late comes soon; after a day for the last time, because no savepoint takes
/// longer.
pub const LOOKS_AFTER: [SignedDuration; 5] = [
    SignedDuration::from_secs(15),
    SignedDuration::from_mins(2),
    SignedDuration::from_mins(15),
    SignedDuration::from_hours(2),
    SignedDuration::from_hours(24),
];

/// Sets the first look, if the run left anything that could still change.
pub(super) fn schedule_looks(run: &mut Run, now: Timestamp) {
    let smooth = |run: &Run| {
        run.attempts.iter().all(|attempt| {
            attempt.sent_at.is_none()
                || attempt.calls <= 1
                    && !attempt.is_foreign()
                    && matches!(attempt.end, Some(AttemptEnd::Completed))
        })
    };
    if !smooth(run) && !planted(Bug::ForgetLate) {
        run.look_at = Some(now + LOOKS_AFTER[0]);
    }
}

/// Records what a look into the directories of an ended run's attempts found, and sets the next
/// look. `found` has an entry per attempt that was sent, in their order; one that could not be
/// read is `None` and is looked into again.
pub fn look(
    run: &Run,
    found: &[Option<Vec<Found>>],
    known: &[Savepoint],
    now: Timestamp,
) -> (Run, Vec<Savepoint>) {
    let mut after = run.clone();
    after.looks += 1;
    after.look_at = usize::try_from(after.looks)
        .ok()
        .and_then(|looks| LOOKS_AFTER.get(looks))
        .map(|wait| (run.ended_at.unwrap_or(now) + *wait).max(now + SignedDuration::from_secs(1)));
    let sent = run
        .attempts
        .iter()
        .filter(|attempt| attempt.sent_at.is_some());
    let news = sent
        .zip(found)
        .filter_map(|(attempt, found)| found.as_ref().map(|found| (attempt.number, found)))
        .flat_map(|(number, found)| {
            found
                .iter()
                .filter_map(move |found| news(run, number, found, known, now))
        })
        .collect();
    (after, news)
}

/// The record for a directory, unless the catalog has it already as what it is.
fn news(
    run: &Run,
    attempt: u32,
    found: &Found,
    known: &[Savepoint],
    now: Timestamp,
) -> Option<Savepoint> {
    let record = beside(run, attempt, found, now)?;
    match known.iter().find(|known| known.location == found.location) {
        None => Some(record),
        // What had no `_metadata` has one now.
        Some(known) if found.has_metadata && known.verification == Verification::Nothing => {
            Some(record)
        }
        Some(_) => None,
    }
}

/// Records for the directories beside the one that the attempt ends with.
pub(super) fn savepoints_beside(
    run: &Run,
    directories: &[Found],
    except: Option<&Location>,
    now: Timestamp,
) -> Vec<Savepoint> {
    let Some(attempt) = run.attempt() else {
        return Vec::new();
    };
    directories
        .iter()
        .filter(|found| Some(&found.location) != except)
        .filter_map(|found| beside(run, attempt.number, found, now))
        .collect()
}

fn beside(run: &Run, number: u32, found: &Found, now: Timestamp) -> Option<Savepoint> {
    let attempt = run
        .attempts
        .iter()
        .find(|attempt| attempt.number == number)?;
    let (standing, verification, verify_at) = if found.has_metadata {
        let unread = Verification::Unverified {
            reason: "not read yet".to_owned(),
            at: now,
            tries: 0,
        };
        let standing = if found.foreign {
            Standing::Foreign
        } else {
            Standing::Late
        };
        (standing, unread, Some(now))
    } else {
        (Standing::Orphan, Verification::Nothing, None)
    };
    Some(Savepoint {
        location: found.location.clone(),
        application: run.application.clone(),
        provenance: Provenance::Run {
            run: run.id,
            attempt: number,
            job: attempt.job.clone(),
        },
        standing,
        format: attempt.format,
        taken_at: attempt.sent_at.unwrap_or(attempt.frozen_at),
        duration_ms: None,
        verification,
        verify_at,
        read_at: None,
    })
}
