//! The decision: from a row and what was seen of it to the next row.

mod before;
mod following;
mod listed;
mod request;
mod verifying;

use before::TURN_EVERY;

use jiff::{SignedDuration, Timestamp};

use super::look::schedule_looks;
use super::pace::backoff;
use super::{
    Attempt, AttemptEnd, Cause, CauseKind, Context, Hold, HoldKind, Next, Outcome, Phase, Run,
    Seen, Step,
};
use crate::baseline::Baseline;
use crate::fault::{Fault, FaultKind};
use crate::name::Location;
use crate::policy::Policy;
use crate::savepoint::{Format, Savepoint};

/// How old what a platform tells of a job may be (Flink's `web.refresh-interval` and caches like
/// it: 3 s): sooner after a failure, a job that restarts still looks healthy.
const TOLD_LATE: SignedDuration = SignedDuration::from_secs(4);
/// Most warnings kept with a run.
const WARNINGS_MAX: usize = 20;

/// Which single piece of I/O the run asks for.
pub fn next(run: &Run) -> Next {
    match run.phase {
        Phase::Done => Next::End,
        Phase::Due => Next::Step,
        Phase::Resolving => Next::Jobs,
        Phase::Waiting => run.job.clone().map_or(Next::Step, Next::Vitals),
        Phase::Triggering | Phase::Following => match run.attempt() {
            Some(attempt) if attempt.sent_at.is_none() && run.look_first_from.is_some() => {
                Next::Search
            }
            Some(attempt) if attempt.sent_at.is_none() => Next::Step,
            Some(_) if run.unknown.is_some() => Next::Search,
            Some(_) => Next::Operation,
            None => Next::Step,
        },
        Phase::Verifying => match run.attempt().and_then(|attempt| attempt.location.clone()) {
            Some(location) => Next::Read(location),
            None => Next::Step,
        },
    }
}

/// Decides the next step from the row, what was seen, the time, the rules and what is known of
/// earlier runs.
pub fn advance(run: &Run, seen: Seen, now: Timestamp, policy: &Policy, context: &Context) -> Step {
    let mut walk = Walk {
        run: run.clone(),
        now,
        policy,
        context,
        savepoints: Vec::new(),
        baseline: None,
        grants_call: false,
        rest_until: None,
    };
    walk.see(seen);
    walk.into_step()
}

/// A step being decided.
struct Walk<'a> {
    run: Run,
    now: Timestamp,
    policy: &'a Policy,
    context: &'a Context,
    savepoints: Vec<Savepoint>,
    baseline: Option<(Location, Baseline)>,
    grants_call: bool,
    rest_until: Option<Timestamp>,
}

impl Walk<'_> {
    fn into_step(self) -> Step {
        Step {
            run: self.run,
            savepoints: self.savepoints,
            baseline: self.baseline,
            grants_call: self.grants_call,
            rest_until: self.rest_until,
        }
    }

    fn see(&mut self, seen: Seen) {
        match (self.run.phase, seen) {
            (Phase::Done, _) => {}
            (Phase::Due, Seen::Busy(why)) => self.wait_turn(&why),
            (Phase::Due, _) => self.begin(),
            (Phase::Waiting, Seen::Busy(why)) => self.hold(HoldKind::Cap, why, TURN_EVERY),
            (Phase::Resolving, Seen::Jobs(Ok(jobs))) => self.resolve(&jobs),
            (Phase::Resolving, Seen::Jobs(Err(fault))) if fault.kind == FaultKind::Gone => {
                self.out_of_sight(&fault);
            }
            (Phase::Waiting, Seen::Vitals(Ok(vitals))) => self.gate(&vitals),
            (Phase::Waiting, Seen::Vitals(Err(fault))) if fault.kind == FaultKind::Gone => {
                self.look_for_name_again();
            }
            (Phase::Resolving, Seen::Jobs(Err(fault)))
            | (Phase::Waiting, Seen::Vitals(Err(fault))) => {
                self.unreachable(&fault);
            }
            (Phase::Triggering, Seen::Nothing) => self.send(),
            (Phase::Triggering, Seen::Replied(reply)) => self.replied(reply),
            (Phase::Triggering, Seen::Searched(searched)) if self.is_unsent() => {
                self.looked_first(*searched);
            }
            (Phase::Triggering | Phase::Following, Seen::Operation(operation)) => {
                self.operation(operation);
            }
            (Phase::Triggering | Phase::Following, Seen::Searched(searched)) => {
                self.searched(*searched);
            }
            (Phase::Verifying, Seen::Read { reading, beside }) => self.read(reading, &beside),
            // A row that does not fit what was seen of it: begin again by looking for the name.
            (
                Phase::Resolving
                | Phase::Waiting
                | Phase::Triggering
                | Phase::Following
                | Phase::Verifying,
                _,
            ) => {
                self.enter(Phase::Resolving);
            }
        }
    }

    // === small moves ===

    fn enter(&mut self, phase: Phase) {
        if self.run.phase != phase {
            self.run.phase = phase;
            self.run.phase_since = self.now;
        }
        // That the cap held it must be known until it has called: a run that was frozen and not
        // sent in time is not late for that.
        if !self.is_capped() {
            self.run.hold = None;
        }
    }

    fn rest(&mut self, how_long: SignedDuration) {
        self.rest_until = Some(self.now + how_long);
    }

    fn hold(&mut self, kind: HoldKind, why: impl Into<String>, how_long: SignedDuration) {
        let why = why.into();
        if self
            .run
            .hold
            .as_ref()
            .is_none_or(|hold| hold.kind != kind || hold.why != why)
        {
            self.run.hold = Some(Hold {
                kind,
                since: self.now,
                why,
            });
        }
        self.rest(how_long);
    }

    fn warn(&mut self, warning: String) {
        if self.run.warnings.len() < WARNINGS_MAX && !self.run.warnings.contains(&warning) {
            self.run.warnings.push(warning);
        }
    }

    fn format(&self) -> Format {
        self.run.asked.format.unwrap_or(self.policy.format)
    }

    fn target(&self) -> Option<&str> {
        self.run
            .asked
            .target
            .as_deref()
            .or(self.policy.target.as_deref())
    }

    fn past_deadline(&self) -> bool {
        self.now >= self.run.trigger_deadline
    }

    fn end(&mut self, outcome: Outcome) {
        self.enter(Phase::Done);
        self.run.hold = None;
        self.run.outcome = Some(outcome);
        self.run.ended_at = Some(self.now);
        self.run.unknown = None;
        self.run.owner = None;
        schedule_looks(&mut self.run, self.now);
    }

    fn fail(&mut self, cause: Cause) {
        self.end(Outcome::Failed { cause });
    }

    /// The attempt under way. Phases after the gate have one; a row without is begun again.
    fn with_attempt(&mut self, act: impl FnOnce(&mut Attempt)) {
        match self.run.attempts.last_mut() {
            Some(attempt) => act(attempt),
            None => self.enter(Phase::Resolving),
        }
    }

    // === the end of an attempt ===

    fn attempt_failed(&mut self, cause: Cause) {
        let kept = cause.clone();
        self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::Failed { cause: kept }));
        self.again_or_fail(cause);
    }

    /// After an attempt with a proven end: one more, or the end of the run.
    fn again_or_fail(&mut self, cause: Cause) {
        if self.past_deadline() || !self.may_try_again(cause.kind) {
            return self.fail(cause);
        }
        self.run.unknown = None;
        self.run.faults += 1;
        self.look_for_name_again();
        let why = format!("the last attempt failed: {}", cause.text);
        let pause = backoff(self.run.id, self.run.faults);
        let pause = match cause.kind {
            CauseKind::TaskFailed => pause.max(TOLD_LATE),
            _ => pause,
        };
        self.hold(HoldKind::Backoff, why, pause);
    }

    fn may_try_again(&self, kind: CauseKind) -> bool {
        let made = |attempt: &&Attempt| !matches!(attempt.end, Some(AttemptEnd::NotSent { .. }));
        if self.run.attempts.iter().filter(made).count() >= self.policy.attempts as usize {
            return false;
        }
        // Nobody could tell what a second request leaves from what the first still may.
        if self
            .run
            .attempts
            .iter()
            .any(|attempt| attempt.listing.is_some() && made(&attempt) && attempt.sent_at.is_some())
        {
            return false;
        }
        match kind {
            // Each such failure may restart the job: one more at most, and none where the job
            // tolerates no failed checkpoint.
            CauseKind::TaskFailed => {
                let failures = self
                    .run
                    .attempts
                    .iter()
                    .filter(|attempt| failed_by(attempt, CauseKind::TaskFailed));
                let tolerates = self
                    .run
                    .attempt()
                    .is_some_and(|attempt| attempt.tolerable_failures != Some(0));
                tolerates && failures.count() <= 1
            }
            CauseKind::Denied
            | CauseKind::Refused
            | CauseKind::Ambiguous
            | CauseKind::NoSavepointDirectory
            | CauseKind::UnsupportedFormat
            | CauseKind::LostSight
            | CauseKind::LostReply => false,
            CauseKind::NotRunning
            | CauseKind::Unreachable
            | CauseKind::NotReady
            | CauseKind::Target
            | CauseKind::Expired
            | CauseKind::SavepointFailed
            | CauseKind::Broken
            | CauseKind::Lost => true,
        }
    }
}

fn failed_by(attempt: &Attempt, kind: CauseKind) -> bool {
    matches!(&attempt.end, Some(AttemptEnd::Failed { cause }) if cause.kind == kind)
}

fn of_fault(kind: CauseKind, fault: &Fault) -> Cause {
    Cause {
        kind,
        text: fault.text.clone(),
        hint: fault.hint.clone(),
    }
}
