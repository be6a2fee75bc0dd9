//! After the request: what became of it, and what can be proven once sight is lost.

use jiff::{SignedDuration, Timestamp};

use super::super::look::savepoints_beside;
use super::super::{
    Attempt, AttemptEnd, Cause, CauseKind, EMPTY_TWICE_APART, Found, HoldKind, Operation, Searched,
    Unknown,
};
use super::Walk;
use crate::Bug;
use crate::fault::Fault;
use crate::gate::Vitals;
use crate::name::Location;
use crate::planted::planted;

/// Shortest and longest time between two searches for a lost attempt.
const SEARCH_EVERY: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(1), SignedDuration::from_secs(15));
/// How long a platform may say "in progress" where the job's own limit cannot be read.
const IN_PROGRESS_MAX: SignedDuration = SignedDuration::from_hours(24);

impl Walk<'_> {
    // === following ===

    pub(super) fn operation(&mut self, operation: Result<Operation, Fault>) {
        match operation {
            Ok(Operation::Failed(cause)) if self.is_repeated() => self.lose_sight(&cause.text),
            Ok(known) => self.known(known),
            Err(fault) => self.lose_sight(&fault.text),
        }
    }

    pub(super) fn known(&mut self, operation: Operation) {
        match operation {
            Operation::InProgress if self.in_progress_too_long() => self.give_up(
                "the platform still says that the savepoint is in progress, long after the job's own limit",
            ),
            Operation::InProgress => self.accepted(),
            Operation::Completed(location) => self.completed(location, true),
            Operation::Failed(cause) if planted(Bug::CompletedIsSuccess) => {
                let location = self
                    .run
                    .attempt()
                    .and_then(|attempt| attempt.directory.clone())
                    .map_or_else(|| Location::new(&cause.text), |own| own.target);
                self.keep_blindly(location);
            }
            Operation::Failed(cause) => self.attempt_failed(cause),
            Operation::Listed(listed) => self.listed(listed),
            Operation::NotFound { job_started_at } => {
                if !self.repeat_if_not_accepted(job_started_at) {
                    self.lose_sight("the platform does not know the request (any more)");
                }
            }
        }
    }

    pub(super) fn is_repeated(&self) -> bool {
        self.run.attempt().is_some_and(|attempt| attempt.calls > 1)
    }

    /// A failure of a request that was made twice may be that of the copy, at a `JobManager` that
    /// came up after the first was complete: the directory tells.
    pub(super) fn repetition_failed(
        &mut self,
        cause: Cause,
        directories: Result<Vec<Found>, Fault>,
    ) {
        match directories {
            Ok(found) => match self.complete_in(&found) {
                Some(location) => self.completed(location, false),
                None => self.attempt_failed(cause),
            },
            Err(fault) => self.found_nothing(&fault.text),
        }
    }

    pub(super) fn in_progress_too_long(&self) -> bool {
        self.run.attempt().is_some_and(|attempt| {
            let limit = if attempt.checkpoint_timeout.is_some() {
                attempt.follow_deadline()
            } else {
                attempt.sent_at.map(|sent| sent + IN_PROGRESS_MAX)
            };
            limit.is_some_and(|limit| self.now >= limit)
        })
    }

    /// While the cluster would still remember the trigger id, and the job's incarnation is the
    /// one that was asked, "not found" proves "not accepted": then the same request may be made
    /// again under the same id. Says whether the step is decided.
    pub(super) fn repeat_if_not_accepted(&mut self, job_started_at: Option<Timestamp>) -> bool {
        let Some(attempt) = self.run.attempt() else {
            return false;
        };
        let in_window = attempt.repeat_until().is_some_and(|until| self.now < until)
            || planted(Bug::RepeatAfterWindow);
        let same_job = job_started_at == Some(attempt.job_started_at);
        // Where the platform takes no trigger id, a second request would be a second savepoint.
        let named = attempt.listing.is_none();
        if !named || attempt.accepted_at.is_some() || !in_window || !same_job {
            return false;
        }
        // One that was frozen after the deadline had waited only for its turn.
        let too_late = self.past_deadline() && attempt.frozen_at < self.run.trigger_deadline;
        if too_late && attempt.may_be_on_its_way(self.now) {
            return false;
        }
        if too_late {
            let accepted_nothing = "the platform had accepted nothing when the deadline passed";
            let text = match &self.run.hold {
                Some(hold) => format!("{accepted_nothing}: {}", hold.why),
                None => accepted_nothing.to_owned(),
            };
            self.with_attempt(|attempt| {
                attempt.end = Some(AttemptEnd::Lost { text: text.clone() });
            });
            self.fail(
                Cause::new(CauseKind::Unreachable, text)
                    .hint("the platform answers questions, but no request gets through: look at what stands between Lowtide and it"),
            );
        } else {
            self.grant_call();
        }
        true
    }

    pub(super) fn lose_sight(&mut self, why: &str) {
        if planted(Bug::UnknownIsFailed) {
            return self.attempt_failed(Cause::new(CauseKind::SavepointFailed, why));
        }
        if planted(Bug::AttemptWithoutProof) {
            self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::LostSight));
            return self.look_for_name_again();
        }
        let now = self.now;
        let deadline = self.follow_deadline();
        let since = self
            .run
            .unknown
            .as_ref()
            .map_or(now, |unknown| unknown.since);
        self.run.unknown = Some(Unknown {
            since,
            why: why.to_owned(),
            until: deadline,
        });
        self.tell_what_was_said();
        let pause = (now.duration_since(since) / 4).clamp(SEARCH_EVERY.0, SEARCH_EVERY.1);
        self.rest(
            pause
                .min(deadline.duration_since(now))
                .max(SignedDuration::ZERO),
        );
    }

    /// What was said to the request may be the very cause, and would be seen no more from here.
    pub(super) fn tell_what_was_said(&mut self) {
        if let Some(hold) = self.run.hold.take()
            && hold.kind == HoldKind::Backoff
        {
            self.warn(hold.why);
        }
    }

    pub(super) fn follow_deadline(&self) -> Timestamp {
        self.run
            .attempt()
            .and_then(Attempt::follow_deadline)
            .unwrap_or(self.now)
    }

    /// A search found nothing. Sight is given up only here: whatever lies in the attempt's
    /// directory by then has been looked for, also by a process that took the run over late.
    pub(super) fn found_nothing(&mut self, why: &str) {
        if self.now >= self.follow_deadline() {
            return self.give_up(why);
        }
        self.lose_sight(why);
    }

    pub(super) fn give_up(&mut self, why: &str) {
        let text = match &self.run.unknown {
            Some(unknown) => format!("{why}, since {}", unknown.since),
            None => why.to_owned(),
        };
        self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::LostSight));
        self.fail(Cause::new(CauseKind::LostSight, text).hint(
            "if a savepoint appears in the attempt's directory later, it will be listed as late",
        ));
    }

    pub(super) fn searched(&mut self, searched: Searched) {
        let Searched {
            operation,
            job,
            directories,
        } = searched;
        let not_found = match operation {
            Ok(Operation::NotFound { job_started_at }) => {
                if self.repeat_if_not_accepted(job_started_at) {
                    return;
                }
                true
            }
            Ok(Operation::Failed(cause)) if self.is_repeated() => {
                return self.repetition_failed(cause, directories);
            }
            Ok(known) => return self.known(known),
            Err(_) => false,
        };
        // What a platform lists tells whose it is only with its ids ([`Self::listed`]).
        let is_own = self
            .run
            .attempt()
            .is_some_and(|attempt| attempt.listing.is_none());
        if let Some(location) = directories
            .as_ref()
            .ok()
            .filter(|_| is_own)
            .and_then(|found| self.complete_in(found))
        {
            return self.completed(location, false);
        }
        let nothing_there = not_found && directories.is_ok() && self.nothing_can_come(&job);
        self.with_attempt(|attempt| {
            if !nothing_there {
                attempt.empty_at = None;
            }
        });
        if nothing_there && self.seen_empty_twice() {
            let orphans = directories.unwrap_or_default();
            return self.lost(&orphans);
        }
        let why = blind_spot(not_found, &job, &directories);
        self.found_nothing(&why);
        if let Some(first) = self.run.attempt().and_then(|attempt| attempt.empty_at) {
            self.rest_until = self
                .rest_until
                .map(|at| at.min((first + EMPTY_TWICE_APART).max(self.now)));
        }
    }

    /// What lies complete in the attempt's directory, but for what an earlier attempt of the run
    /// has ended with already.
    pub(super) fn complete_in(&self, found: &[Found]) -> Option<Location> {
        let (_, earlier) = self.run.attempts.split_last()?;
        let is_known = |location: &Location| {
            earlier
                .iter()
                .any(|attempt| attempt.location.as_ref() == Some(location))
        };
        found
            .iter()
            .filter(|found| found.has_metadata && !is_known(&found.location))
            .map(|found| found.location.clone())
            .min()
    }

    /// Whether the job, as just seen, can no longer complete what was asked for.
    pub(super) fn nothing_can_come(&self, job: &Result<Option<Vitals>, Fault>) -> bool {
        let Some(attempt) = self.run.attempt() else {
            return false;
        };
        let Some(sent_at) = attempt.sent_at else {
            return false;
        };
        if attempt.may_be_on_its_way(self.now) {
            return false;
        }
        match job {
            Ok(Some(vitals)) if !vitals.state.is_ended() => {
                vitals.started_at > sent_at
                    && vitals.started_at > attempt.job_started_at
                    && !vitals.savepoint_in_progress
            }
            Ok(_) => attempt
                .checkpoint_timeout
                .is_some_and(|timeout| self.now >= sent_at + timeout),
            Err(_) => false,
        }
    }

    /// Whether this is the second look at nothing, far enough from the first.
    pub(super) fn seen_empty_twice(&mut self) -> bool {
        let now = self.now;
        let Some(attempt) = self.run.attempts.last_mut() else {
            return false;
        };
        let first = *attempt.empty_at.get_or_insert(now);
        now.duration_since(first) >= EMPTY_TWICE_APART
    }

    pub(super) fn lost(&mut self, directories: &[Found]) {
        let text = "the job has started anew or is gone, the platform does not know the request, and no savepoint is in the attempt's directory";
        self.savepoints
            .extend(savepoints_beside(&self.run, directories, None, self.now));
        self.with_attempt(|attempt| {
            attempt.end = Some(AttemptEnd::Lost {
                text: text.to_owned(),
            });
        });
        self.again_or_fail(Cause::new(CauseKind::Lost, text));
    }
}

/// What keeps a search from ending, for people.
fn blind_spot(
    platform_answers: bool,
    job: &Result<Option<Vitals>, Fault>,
    directories: &Result<Vec<Found>, Fault>,
) -> String {
    match (job, directories) {
        (Err(fault), _) => fault.text.clone(),
        _ if !platform_answers => "the platform does not answer".to_owned(),
        (_, Err(fault)) => format!(
            "the attempt's directory cannot be read, so nothing can be proven: {}",
            fault.text
        ),
        (Ok(None), Ok(_)) => {
            "the job is gone; waiting until its savepoint can no longer complete".to_owned()
        }
        (Ok(Some(_)), Ok(_)) => {
            "the platform does not know the request, and no savepoint is there yet".to_owned()
        }
    }
}
