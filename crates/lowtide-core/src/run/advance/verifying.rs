//! The proof: what the platform calls complete is read back.

use jiff::{SignedDuration, Timestamp};

use super::super::look::savepoints_beside;
use super::super::pace::backoff;
use super::super::{
    Attempt, AttemptEnd, Cause, CauseKind, EMPTY_TWICE_APART, Found, HoldKind, Outcome, Phase,
    READS_MAX,
};
use super::Walk;
use crate::Bug;
use crate::baseline::Baseline;
use crate::fault::{Fault, FaultKind};
use crate::name::Location;
use crate::planted::planted;
use crate::savepoint::{Provenance, Savepoint, Standing, Verification};
use crate::verify::{self, Reading, Report};

/// When an unverified savepoint is read again.
const VERIFY_AGAIN: SignedDuration = SignedDuration::from_mins(10);

impl Walk<'_> {
    // === verifying ===

    pub(super) fn completed(&mut self, location: Location, named_by_platform: bool) {
        let now = self.now;
        self.run.faults = 0;
        self.run.unknown = None;
        self.with_attempt(|attempt| {
            attempt.accepted_at.get_or_insert(now);
            attempt.location = Some(location);
            attempt.named_by_platform = named_by_platform;
            attempt.completed_at.get_or_insert(now);
        });
        self.enter(Phase::Verifying);
    }

    pub(super) fn read(&mut self, reading: Result<Box<Reading>, Fault>, beside: &[Found]) {
        let reading = match reading {
            Ok(reading) => reading,
            Err(fault) => return self.unreadable(&fault, beside),
        };
        let report = verify::judge(&reading, self.context.median_bytes);
        if report.is_whole() {
            let location = self.run.attempt().and_then(|it| it.location.clone());
            self.baseline = location.zip(Baseline::of_listing(&reading, self.now));
            report
                .warnings
                .iter()
                .for_each(|warning| self.warn(warning.clone()));
            self.keep(
                Verification::Verified {
                    at: self.now,
                    report,
                },
                beside,
            );
        } else if planted(Bug::KeepBroken) {
            self.keep(
                Verification::Verified {
                    at: self.now,
                    report: Report::default(),
                },
                beside,
            );
        } else {
            self.broken(report, beside);
        }
    }

    pub(super) fn keep(&mut self, verification: Verification, beside: &[Found]) {
        let Some(location) = self.record(self.filling(), verification, None, beside) else {
            return self.enter(Phase::Resolving);
        };
        self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::Completed));
        self.end(Outcome::Kept { location });
    }

    pub(super) fn unreadable(&mut self, fault: &Fault, beside: &[Found]) {
        self.with_attempt(|attempt| attempt.reads += 1);
        let reads = self.run.attempt().map_or(0, |attempt| attempt.reads);
        let may_pass = matches!(fault.kind, FaultKind::Transient | FaultKind::Gone);
        if may_pass && reads < READS_MAX {
            return self.hold(
                HoldKind::Backoff,
                fault.text.clone(),
                backoff(self.run.id, reads),
            );
        }
        let verification = Verification::Unverified {
            reason: fault.text.clone(),
            at: self.now,
            tries: reads,
        };
        let again = Some(self.now + VERIFY_AGAIN);
        let Some(location) = self.record(self.filling(), verification, again, beside) else {
            return self.enter(Phase::Resolving);
        };
        self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::Completed));
        self.end(Outcome::Unverified {
            location,
            reason: fault.text.clone(),
            hint: fault.hint.clone(),
        });
    }

    pub(super) fn broken(&mut self, report: Report, beside: &[Found]) {
        let Some(attempt) = self.run.attempts.last_mut() else {
            return self.enter(Phase::Resolving);
        };
        attempt.reads += 1;
        // A `_metadata` that was found and not named by Flink may still be growing where the
        // file system cannot rename (`FsCheckpointMetadataOutputStream`): look again first.
        if !attempt.named_by_platform && attempt.reads < READS_MAX {
            return self.hold(
                HoldKind::Backoff,
                "what was found is not whole, or not yet",
                EMPTY_TWICE_APART,
            );
        }
        let first = report.findings.first().cloned().unwrap_or_default();
        let more = report.findings_total.saturating_sub(1);
        let text = if more == 0 {
            first
        } else {
            format!("{first}, and {more} more")
        };
        let verification = Verification::Broken {
            at: self.now,
            report,
        };
        let standing = match self.filling() {
            Standing::Foreign => Standing::Foreign,
            _ => Standing::Orphan,
        };
        let Some(location) = self.record(standing, verification, None, beside) else {
            return self.enter(Phase::Resolving);
        };
        if standing == Standing::Foreign {
            return self.look_for_another(&location, &text);
        }
        self.attempt_failed(
            Cause::new(CauseKind::Broken, text)
                .hint(format!("`lowtide inspect {location}` lists everything that is wrong; something removed or cut files while Flink wrote them")),
        );
    }

    /// What the savepoint that fills the slot is.
    fn filling(&self) -> Standing {
        if self.run.attempt().is_some_and(Attempt::is_foreign) {
            Standing::Foreign
        } else {
            Standing::Kept
        }
    }

    /// Records the attempt's savepoint and what lies beside it; `None` if the row has none.
    fn record(
        &mut self,
        standing: Standing,
        verification: Verification,
        verify_at: Option<Timestamp>,
        beside: &[Found],
    ) -> Option<Location> {
        let savepoint = Savepoint {
            verify_at,
            ..self.savepoint(standing, verification)?
        };
        let location = savepoint.location.clone();
        self.savepoints.push(savepoint);
        let others = savepoints_beside(&self.run, beside, Some(&location), self.now);
        self.savepoints.extend(others);
        Some(location)
    }

    fn savepoint(&self, standing: Standing, verification: Verification) -> Option<Savepoint> {
        let attempt = self.run.attempt()?;
        let taken_at = attempt.sent_at?;
        let duration = attempt
            .completed_at
            .filter(|_| attempt.named_by_platform)
            .zip(attempt.began_at())
            .map(|(ended, began)| ended.duration_since(began))
            .filter(SignedDuration::is_positive);
        Some(Savepoint {
            location: attempt.location.clone()?,
            application: self.run.application.clone(),
            provenance: Provenance::Run {
                run: self.run.id,
                attempt: attempt.number,
                job: attempt.job.clone(),
            },
            standing,
            format: attempt.format,
            taken_at,
            duration_ms: duration.and_then(|duration| u64::try_from(duration.as_millis()).ok()),
            verification,
            verify_at: None,
            read_at: None,
        })
    }

    /// What [`Bug::CompletedIsSuccess`] does.
    pub(super) fn keep_blindly(&mut self, location: Location) {
        self.completed(location, true);
        self.keep(
            Verification::Verified {
                at: self.now,
                report: Report::default(),
            },
            &[],
        );
    }
}
