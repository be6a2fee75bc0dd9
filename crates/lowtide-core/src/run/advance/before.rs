//! Before the request: the turn, the name, the gate, and the frozen attempt.

use jiff::SignedDuration;

use super::super::pace::backoff;
use super::super::{
    Attempt, AttemptEnd, Cause, CauseKind, HoldKind, Origin, Outcome, OwnDirectory, Phase,
    STORE_DURATION, SkipReason,
};
use super::{Walk, of_fault};
use crate::Bug;
use crate::fault::{Fault, FaultKind};
use crate::gate::{self, Gate, Vitals};
use crate::name::Location;
use crate::name::TriggerId;
use crate::planted::planted;
use crate::resolve::{self, JobSeen, JobState, Resolution};
use crate::schedule;

/// How often a name that resolves to nothing is looked for.
const LOOK_FOR_NAME_EVERY: SignedDuration = SignedDuration::from_secs(2);
/// How often the gate looks at a job.
const GATE_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// How often a run that must wait its turn asks again.
pub(super) const TURN_EVERY: SignedDuration = SignedDuration::from_secs(1);

impl Walk<'_> {
    // === due ===

    pub(super) fn honours_windows(&self) -> bool {
        match self.run.origin {
            Origin::Slot { .. } | Origin::Run => true,
            Origin::Take => false,
        }
    }

    /// Whether a never-window holds the run; if it does, the run waits or ends here.
    pub(super) fn held_by_window(&mut self) -> bool {
        if !self.honours_windows() {
            return false;
        }
        match self.policy.never.hold(self.now, self.run.trigger_deadline) {
            schedule::Hold::Open => return false,
            schedule::Hold::Until(end) => {
                let why = format!("a never-window holds until {end}");
                self.hold(HoldKind::Never, why, end.duration_since(self.now));
            }
            schedule::Hold::BeyondDeadline(end) => {
                let text = format!(
                    "a never-window holds until {end}, past the deadline {}",
                    self.run.trigger_deadline
                );
                self.end(Outcome::Skipped {
                    reason: SkipReason::Never,
                    text,
                });
            }
        }
        true
    }

    pub(super) fn begin(&mut self) {
        if self.held_by_window() {
            return;
        }
        self.enter(Phase::Resolving);
        self.run.resolving_since = Some(self.now);
    }

    pub(super) fn wait_turn(&mut self, why: &str) {
        if self.past_deadline() {
            let text = format!("{why} until the deadline {}", self.run.trigger_deadline);
            return self.end(Outcome::Skipped {
                reason: SkipReason::Overlap,
                text,
            });
        }
        self.hold(HoldKind::Overlap, why, TURN_EVERY);
    }

    // === resolving ===

    pub(super) fn resolve(&mut self, jobs: &[JobSeen]) {
        self.run.faults = 0;
        match resolve::resolve(&self.policy.job, jobs) {
            Resolution::One(job) => {
                self.run.job = Some(job.id);
                self.run.resolving_since = None;
                self.enter(Phase::Waiting);
                self.run.gate_since.get_or_insert(self.now);
            }
            Resolution::Several(several) => self.fail(ambiguous(&self.policy.job, &several)),
            Resolution::None { ended, suggestions } => self.absent(ended.as_ref(), &suggestions),
        }
    }

    pub(super) fn absent(&mut self, ended: Option<&JobSeen>, suggestions: &[String]) {
        let why = format!("no running job is named `{}`", self.policy.job);
        if self.absence_is_tolerated(why) {
            return;
        }
        // Whoever asks by hand wants a savepoint, not a reason why none was due.
        let skips = !matches!(self.run.origin, Origin::Take);
        match ended.filter(|_| skips).map(|job| (job.state, job)) {
            Some((JobState::Finished, job)) => self.end(Outcome::Skipped {
                reason: SkipReason::Finished,
                text: format!("job {} named `{}` has finished", job.id, job.name),
            }),
            Some((JobState::Cancelled, job)) => self.end(Outcome::Skipped {
                reason: SkipReason::Cancelled,
                text: format!("job {} named `{}` was cancelled", job.id, job.name),
            }),
            _ => self.fail(not_running(&self.policy.job, ended, suggestions)),
        }
    }

    /// The platform cannot see every job, and says in its own words that it sees none of this
    /// name.
    pub(super) fn out_of_sight(&mut self, fault: &Fault) {
        self.run.faults = 0;
        if !self.absence_is_tolerated(fault.text.clone()) {
            self.fail(of_fault(CauseKind::NotRunning, fault));
        }
    }

    /// Waits for a job to appear, for as long as the rules say; whether it still does.
    fn absence_is_tolerated(&mut self, why: String) -> bool {
        let since = *self.run.resolving_since.get_or_insert(self.now);
        let tolerated = match self.run.origin {
            // Somebody waits for the answer, and nothing was running a moment ago.
            Origin::Take if self.run.attempts.is_empty() => SignedDuration::ZERO,
            _ => self.policy.absent_for,
        };
        let waits = self.now.duration_since(since) < tolerated && !self.past_deadline();
        if waits {
            self.hold(HoldKind::Absent, why, LOOK_FOR_NAME_EVERY);
        }
        waits
    }

    pub(super) fn look_for_name_again(&mut self) {
        self.run.job = None;
        self.enter(Phase::Resolving);
        self.run.resolving_since = Some(self.now);
    }

    pub(super) fn unreachable(&mut self, fault: &Fault) {
        if fault.kind != FaultKind::Transient {
            return self.fail(of_fault(CauseKind::Denied, fault));
        }
        let deadline = self.run.trigger_deadline;
        if self.past_deadline() {
            let mut cause = of_fault(CauseKind::Unreachable, fault);
            cause.text = format!("{}, until the deadline {deadline}", cause.text);
            return self.fail(cause);
        }
        self.run.faults += 1;
        // Looked once more when time is up, and not long after.
        let pause = backoff(self.run.id, self.run.faults).min(deadline.duration_since(self.now));
        self.hold(HoldKind::Backoff, fault.text.clone(), pause);
    }

    // === waiting ===

    pub(super) fn gate(&mut self, vitals: &Vitals) {
        self.run.faults = 0;
        if vitals.state.is_ended() {
            return self.look_for_name_again();
        }
        if self.held_by_window() {
            return;
        }
        let asked = gate::Asked {
            now: self.now,
            since: self.run.gate_since.unwrap_or(self.now),
            patience: self.policy.patience,
            format: self.format(),
            target: self.target(),
        };
        match gate::decide(vitals, &asked) {
            Gate::Refuse(cause) => self.fail(cause),
            Gate::Hold(why) if self.past_deadline() => {
                let text = format!("{why}, until the deadline {}", self.run.trigger_deadline);
                self.fail(Cause::new(CauseKind::NotReady, text).hint(
                    "look at the job's exceptions and checkpoints in Flink's UI; `deadline:` says how long a run waits",
                ));
            }
            Gate::Hold(why) => self.hold(HoldKind::Gate, why, GATE_EVERY),
            Gate::Open(_) if self.past_deadline() && !self.is_capped() => {
                let text = format!(
                    "the deadline {} passed before a savepoint could be asked for",
                    self.run.trigger_deadline
                );
                self.fail(
                    Cause::new(CauseKind::NotReady, text)
                        .hint("`deadline:` says how long a run waits"),
                );
            }
            Gate::Open(_) if self.looks_first_later() => {}
            Gate::Open(_) if self.copies_may_arrive() => {
                let why = "a copy of the last attempt's request may still reach the platform";
                self.hold(HoldKind::Backoff, why, GATE_EVERY);
            }
            Gate::Open(warnings) => {
                for warning in warnings {
                    self.warn(warning);
                }
                self.freeze(vitals);
            }
        }
    }

    /// Whether a copy of an earlier attempt's request may still arrive: a platform that started
    /// anew meanwhile would take it for a new one, whatever it said of the first.
    pub(super) fn copies_may_arrive(&self) -> bool {
        let copied = |attempt: &&Attempt| attempt.calls > 1;
        self.run
            .attempts
            .iter()
            .filter(copied)
            .any(|attempt| attempt.may_be_on_its_way(self.now))
    }

    pub(super) fn is_capped(&self) -> bool {
        self.run
            .hold
            .as_ref()
            .is_some_and(|hold| hold.kind == HoldKind::Cap)
    }

    pub(super) fn freeze(&mut self, vitals: &Vitals) {
        let number = u32::try_from(self.run.attempts.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let listing = self.listing(vitals);
        let directory = self
            .own_directory(vitals, number)
            .filter(|_| listing.is_none());
        let Some(job) = self.run.job.clone() else {
            return self.look_for_name_again();
        };
        if directory.is_none() && listing.is_none() {
            return self.look_for_name_again();
        }
        let counted = if listing.is_some() {
            // Where the id is a mark in a list it marks the run: no run makes two such requests.
            1
        } else if self.run.look_first_from.is_some() {
            // Whoever remembers nothing asks for the first id first: the next one is used only
            // when that has been.
            number.saturating_sub(self.attempts_not_made())
        } else {
            number
        };
        self.run.attempts.push(Attempt {
            directory,
            listing,
            checkpoint_timeout: vitals.checkpoint_timeout,
            tolerable_failures: vitals.tolerable_failures,
            store_duration: vitals.store_duration.unwrap_or(STORE_DURATION),
            ..Attempt::frozen(
                number,
                job,
                vitals.started_at,
                TriggerId::of_attempt(self.run.id, counted),
                self.format(),
                self.now,
            )
        });
        self.enter(Phase::Triggering);
        if planted(Bug::CallBeforeSent) {
            self.grants_call = true;
        }
    }

    /// How many attempts were never delivered.
    fn attempts_not_made(&self) -> u32 {
        let not_made = |attempt: &&Attempt| matches!(attempt.end, Some(AttemptEnd::NotSent { .. }));
        u32::try_from(self.run.attempts.iter().filter(not_made).count()).unwrap_or(u32::MAX)
    }

    /// A directory that nobody but this attempt will write to, or but this run.
    fn own_directory(&self, vitals: &Vitals, number: u32) -> Option<OwnDirectory> {
        let base = match self.target() {
            Some(target) => qualified(target, vitals.default_scheme.as_deref()),
            None => vitals.savepoint_directory.clone()?,
        };
        // Where nothing is remembered, an earlier process may have made more attempts than this
        // one knows of: all of a run share the directory of the first, where they are found.
        let named = match self.run.look_first_from {
            Some(_) => 1,
            None => number,
        };
        let target = base
            .join(self.run.application.application.as_str())
            .join(&self.run.directory_name(named));
        Some(OwnDirectory { target, base })
    }

    /// Until it may look for what an earlier process may have asked for, the run waits here.
    fn looks_first_later(&mut self) -> bool {
        let Some(from) = self.run.look_first_from.filter(|from| self.now < *from) else {
            return false;
        };
        let why = format!(
            "without a catalog, what an earlier process may have asked for is waited for until {from}"
        );
        self.hold(HoldKind::Backoff, why, from.duration_since(self.now));
        true
    }
}

/// A target as configured, with the scheme that the cluster would give it.
fn qualified(target: &str, default_scheme: Option<&str>) -> Location {
    match default_scheme {
        Some(scheme) if target.starts_with('/') => {
            Location::new(format!("{}{target}", scheme.trim_end_matches('/')))
        }
        _ => Location::new(target),
    }
}

/// The cause for several running jobs of one name.
fn ambiguous(name: &str, several: &[JobSeen]) -> Cause {
    let ids: Vec<&str> = several.iter().map(|job| job.id.as_str()).collect();
    Cause::new(
        CauseKind::Ambiguous,
        format!(
            "{} running jobs are named `{name}`: {}",
            ids.len(),
            ids.join(", ")
        ),
    )
    .hint("cancel all but one of them, or give each a name of its own")
}

/// The cause for a name that no running job has.
fn not_running(name: &str, ended: Option<&JobSeen>, suggestions: &[String]) -> Cause {
    let cause = match ended {
        Some(job) => Cause::new(
            CauseKind::NotRunning,
            format!(
                "no running job is named `{name}`; job {} of that name is {}",
                job.id,
                job.state.as_str()
            ),
        ),
        None => Cause::new(
            CauseKind::NotRunning,
            format!("no running job is named `{name}`"),
        ),
    };
    if let Some(job) = ended {
        cause.hint(match job.state {
            JobState::Failed => {
                "look at that job's exceptions in Flink's UI, mend the cause and start it again"
            }
            JobState::Suspended => {
                "its state was saved when it was suspended; resume it, or take it off the list until then"
            }
            _ => "start it again: a savepoint can only be taken of a running job",
        })
    } else if suggestions.is_empty() {
        cause.hint(
            "names are exact; `job:` sets a job name that differs from the application's name",
        )
    } else {
        let list: Vec<String> = suggestions.iter().map(|name| format!("`{name}`")).collect();
        cause.hint(format!(
            "did you mean {}? Names are exact",
            list.join(" or ")
        ))
    }
}
