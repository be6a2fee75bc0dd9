//! The decision: from a row and what was seen of it to the next row.

use jiff::{SignedDuration, Timestamp};

use super::look::{savepoints_beside, schedule_looks};
use super::pace::{backoff, poll_delay};
use super::{
    Attempt, AttemptEnd, Cause, CauseKind, Context, EMPTY_TWICE_APART, Found, Hold, HoldKind, Next,
    Operation, Origin, Outcome, Phase, READS_MAX, Reply, Run, STORE_DURATION, Searched, Seen,
    SkipReason, Step, Unknown,
};
use crate::Bug;
use crate::fault::{Fault, FaultKind};
use crate::gate::{self, Gate, Vitals};
use crate::name::{Location, TriggerId};
use crate::planted::planted;
use crate::policy::Policy;
use crate::resolve::{self, JobSeen, JobState, Resolution};
use crate::savepoint::{Format, Savepoint, Standing, Verification};
use crate::schedule;
use crate::verify::{self, Reading, Report};

/// How often a name that resolves to nothing is looked for.
const LOOK_FOR_NAME_EVERY: SignedDuration = SignedDuration::from_secs(2);
/// How often the gate looks at a job.
const GATE_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// How often a run that must wait its turn asks again.
const TURN_EVERY: SignedDuration = SignedDuration::from_secs(1);
/// Shortest and longest time between two searches for a lost attempt.
const SEARCH_EVERY: (SignedDuration, SignedDuration) =
    (SignedDuration::from_secs(1), SignedDuration::from_secs(15));
/// How old what a platform tells of a job may be (Flink's `web.refresh-interval` and caches like
/// it: 3 s): sooner after a failure, a job that restarts still looks healthy.
const TOLD_LATE: SignedDuration = SignedDuration::from_secs(4);
/// How old a frozen attempt may be when it is sent: what it was frozen from may have changed.
const FROZEN_FOR: SignedDuration = SignedDuration::from_secs(10);
/// How long a platform may say "in progress" where the job's own limit cannot be read.
const IN_PROGRESS_MAX: SignedDuration = SignedDuration::from_hours(24);
/// Most warnings kept with a run.
const WARNINGS_MAX: usize = 20;
/// When an unverified savepoint is read again.
const VERIFY_AGAIN: SignedDuration = SignedDuration::from_mins(10);

/// Which single piece of I/O the run asks for.
pub fn next(run: &Run) -> Next {
    match run.phase {
        Phase::Done => Next::End,
        Phase::Due => Next::Step,
        Phase::Resolving => Next::Jobs,
        Phase::Waiting => run.job.clone().map_or(Next::Step, Next::Vitals),
        Phase::Triggering | Phase::Following => match run.attempt() {
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
    grants_call: bool,
    rest_until: Option<Timestamp>,
}

impl Walk<'_> {
    fn into_step(self) -> Step {
        Step {
            run: self.run,
            savepoints: self.savepoints,
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

    // === due ===

    fn honours_windows(&self) -> bool {
        match self.run.origin {
            Origin::Slot { .. } | Origin::Run => true,
            Origin::Take => false,
        }
    }

    /// Whether a never-window holds the run; if it does, the run waits or ends here.
    fn held_by_window(&mut self) -> bool {
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

    fn begin(&mut self) {
        if self.held_by_window() {
            return;
        }
        self.enter(Phase::Resolving);
        self.run.resolving_since = Some(self.now);
    }

    fn wait_turn(&mut self, why: &str) {
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

    fn resolve(&mut self, jobs: &[JobSeen]) {
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

    fn absent(&mut self, ended: Option<&JobSeen>, suggestions: &[String]) {
        let since = *self.run.resolving_since.get_or_insert(self.now);
        let tolerated = match self.run.origin {
            // Somebody waits for the answer, and nothing was running a moment ago.
            Origin::Take if self.run.attempts.is_empty() => SignedDuration::ZERO,
            _ => self.policy.absent_for,
        };
        if self.now.duration_since(since) < tolerated && !self.past_deadline() {
            let why = format!("no running job is named `{}`", self.policy.job);
            return self.hold(HoldKind::Absent, why, LOOK_FOR_NAME_EVERY);
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

    fn look_for_name_again(&mut self) {
        self.run.job = None;
        self.enter(Phase::Resolving);
        self.run.resolving_since = Some(self.now);
    }

    fn unreachable(&mut self, fault: &Fault) {
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

    fn gate(&mut self, vitals: &Vitals) {
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
    fn copies_may_arrive(&self) -> bool {
        let copied = |attempt: &&Attempt| attempt.calls > 1;
        self.run
            .attempts
            .iter()
            .filter(copied)
            .any(|attempt| attempt.may_be_on_its_way(self.now))
    }

    fn is_capped(&self) -> bool {
        self.run
            .hold
            .as_ref()
            .is_some_and(|hold| hold.kind == HoldKind::Cap)
    }

    fn freeze(&mut self, vitals: &Vitals) {
        let base = match self.target() {
            Some(target) => Some(qualified(target, vitals.default_scheme.as_deref())),
            None => vitals.savepoint_directory.clone(),
        };
        let (Some(base), Some(job)) = (base, self.run.job.clone()) else {
            return self.look_for_name_again();
        };
        let number = u32::try_from(self.run.attempts.len())
            .unwrap_or(u32::MAX)
            .saturating_add(1);
        let target = base
            .join(self.run.application.application.as_str())
            .join(&self.run.directory_name(number));
        self.run.attempts.push(Attempt {
            number,
            job,
            job_started_at: vitals.started_at,
            trigger_id: TriggerId::of_attempt(self.run.id, number),
            target,
            base,
            format: self.format(),
            checkpoint_timeout: vitals.checkpoint_timeout,
            tolerable_failures: vitals.tolerable_failures,
            store_duration: vitals.store_duration.unwrap_or(STORE_DURATION),
            frozen_at: self.now,
            sent_at: None,
            calls: 0,
            accepted_at: None,
            empty_at: None,
            location: None,
            named_by_platform: false,
            completed_at: None,
            reads: 0,
            end: None,
        });
        self.enter(Phase::Triggering);
        if planted(Bug::CallBeforeSent) {
            self.grants_call = true;
        }
    }

    // === triggering ===

    fn send(&mut self) {
        let now = self.now;
        let stale = self
            .run
            .attempt()
            .is_none_or(|attempt| now.duration_since(attempt.frozen_at) > FROZEN_FOR);
        if stale {
            let text = "frozen, but not sent in time".to_owned();
            self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::NotSent { text }));
            return self.look_for_name_again();
        }
        self.grant_call();
    }

    fn grant_call(&mut self) {
        let now = self.now;
        self.with_attempt(|attempt| {
            attempt.sent_at.get_or_insert(now);
            attempt.calls += 1;
        });
        self.run.unknown = None;
        self.enter(Phase::Triggering);
        self.run.hold = None;
        self.grants_call = true;
    }

    fn replied(&mut self, reply: Reply) {
        let first_call = self.run.attempt().is_some_and(|attempt| attempt.calls <= 1);
        match reply {
            Reply::Accepted => self.accepted(),
            Reply::Refused(cause) if first_call => self.attempt_failed(cause),
            Reply::NotSent(fault) if first_call => {
                let text = fault.text.clone();
                self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::NotSent { text }));
                self.look_for_name_again();
                self.unreachable(&fault);
            }
            // What is said of a repeated request says nothing of the first.
            Reply::Refused(Cause { text, .. })
            | Reply::NotSent(Fault { text, .. })
            | Reply::Unclear(Fault { text, .. }) => self.unclear(&text),
        }
    }

    fn unclear(&mut self, text: &str) {
        self.run.faults += 1;
        let why = format!("no clear answer to the request: {text}");
        self.hold(
            HoldKind::Backoff,
            why,
            backoff(self.run.id, self.run.faults),
        );
    }

    fn accepted(&mut self) {
        let now = self.now;
        self.run.faults = 0;
        self.run.unknown = None;
        self.with_attempt(|attempt| {
            attempt.accepted_at.get_or_insert(now);
            attempt.empty_at = None;
        });
        self.enter(Phase::Following);
        let sent_at = self
            .run
            .attempt()
            .and_then(|attempt| attempt.sent_at)
            .unwrap_or(now);
        self.rest(poll_delay(
            now.duration_since(sent_at),
            self.context.expected,
        ));
    }

    // === following ===

    fn operation(&mut self, operation: Result<Operation, Fault>) {
        match operation {
            Ok(Operation::Failed(cause)) if self.is_repeated() => self.lose_sight(&cause.text),
            Ok(known) => self.known(known),
            Err(fault) => self.lose_sight(&fault.text),
        }
    }

    fn known(&mut self, operation: Operation) {
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
                    .map_or_else(|| Location::new(&cause.text), |a| a.target.clone());
                self.keep_blindly(location);
            }
            Operation::Failed(cause) => self.attempt_failed(cause),
            Operation::NotFound { job_started_at } => {
                if !self.repeat_if_not_accepted(job_started_at) {
                    self.lose_sight("the platform does not know the request (any more)");
                }
            }
        }
    }

    fn is_repeated(&self) -> bool {
        self.run.attempt().is_some_and(|attempt| attempt.calls > 1)
    }

    /// A failure of a request that was made twice may be that of the copy, at a `JobManager` that
    /// came up after the first was complete: the directory tells.
    fn repetition_failed(&mut self, cause: Cause, directories: Result<Vec<Found>, Fault>) {
        match directories {
            Ok(found) => match with_metadata(&found) {
                Some(location) => self.completed(location, false),
                None => self.attempt_failed(cause),
            },
            Err(fault) => self.found_nothing(&fault.text),
        }
    }

    fn in_progress_too_long(&self) -> bool {
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
    fn repeat_if_not_accepted(&mut self, job_started_at: Option<Timestamp>) -> bool {
        let Some(attempt) = self.run.attempt() else {
            return false;
        };
        let in_window = attempt.repeat_until().is_some_and(|until| self.now < until)
            || planted(Bug::RepeatAfterWindow);
        let same_job = job_started_at == Some(attempt.job_started_at);
        if attempt.accepted_at.is_some() || !in_window || !same_job {
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

    fn lose_sight(&mut self, why: &str) {
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
        // What was said to the request may be the very cause, and is seen no more from here.
        if let Some(hold) = self.run.hold.take()
            && hold.kind == HoldKind::Backoff
        {
            self.warn(hold.why);
        }
        let pause = (now.duration_since(since) / 4).clamp(SEARCH_EVERY.0, SEARCH_EVERY.1);
        self.rest(
            pause
                .min(deadline.duration_since(now))
                .max(SignedDuration::ZERO),
        );
    }

    fn follow_deadline(&self) -> Timestamp {
        self.run
            .attempt()
            .and_then(Attempt::follow_deadline)
            .unwrap_or(self.now)
    }

    /// A search found nothing. Sight is given up only here: whatever lies in the attempt's
    /// directory by then has been looked for, also by a process that took the run over late.
    fn found_nothing(&mut self, why: &str) {
        if self.now >= self.follow_deadline() {
            return self.give_up(why);
        }
        self.lose_sight(why);
    }

    fn give_up(&mut self, why: &str) {
        let text = match &self.run.unknown {
            Some(unknown) => format!("{why}, since {}", unknown.since),
            None => why.to_owned(),
        };
        self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::LostSight));
        self.fail(Cause::new(CauseKind::LostSight, text).hint(
            "if a savepoint appears in the attempt's directory later, it will be listed as late",
        ));
    }

    fn searched(&mut self, searched: Searched) {
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
        if let Some(location) = directories
            .as_ref()
            .ok()
            .and_then(|found| with_metadata(found))
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

    /// Whether the job, as just seen, can no longer complete what was asked for.
    fn nothing_can_come(&self, job: &Result<Option<Vitals>, Fault>) -> bool {
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
    fn seen_empty_twice(&mut self) -> bool {
        let now = self.now;
        let Some(attempt) = self.run.attempts.last_mut() else {
            return false;
        };
        let first = *attempt.empty_at.get_or_insert(now);
        now.duration_since(first) >= EMPTY_TWICE_APART
    }

    fn lost(&mut self, directories: &[Found]) {
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
            | CauseKind::LostSight => false,
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

    // === verifying ===

    fn completed(&mut self, location: Location, named_by_platform: bool) {
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

    fn read(&mut self, reading: Result<Box<Reading>, Fault>, beside: &[Found]) {
        let report = match reading {
            Ok(reading) => verify::judge(&reading, self.context.median_bytes),
            Err(fault) => return self.unreadable(&fault, beside),
        };
        if report.is_whole() {
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

    fn keep(&mut self, verification: Verification, beside: &[Found]) {
        let Some(savepoint) = self.savepoint(Standing::Kept, verification) else {
            return self.enter(Phase::Resolving);
        };
        let location = savepoint.location.clone();
        self.savepoints.push(savepoint);
        self.savepoints.extend(savepoints_beside(
            &self.run,
            beside,
            Some(&location),
            self.now,
        ));
        self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::Completed));
        self.end(Outcome::Kept { location });
    }

    fn unreadable(&mut self, fault: &Fault, beside: &[Found]) {
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
        let Some(mut savepoint) = self.savepoint(Standing::Kept, verification) else {
            return self.enter(Phase::Resolving);
        };
        savepoint.verify_at = Some(self.now + VERIFY_AGAIN);
        let location = savepoint.location.clone();
        self.savepoints.push(savepoint);
        self.savepoints.extend(savepoints_beside(
            &self.run,
            beside,
            Some(&location),
            self.now,
        ));
        self.with_attempt(|attempt| attempt.end = Some(AttemptEnd::Completed));
        self.end(Outcome::Unverified {
            location,
            reason: fault.text.clone(),
            hint: fault.hint.clone(),
        });
    }

    fn broken(&mut self, report: Report, beside: &[Found]) {
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
        let Some(savepoint) = self.savepoint(
            Standing::Orphan,
            Verification::Broken {
                at: self.now,
                report,
            },
        ) else {
            return self.enter(Phase::Resolving);
        };
        let location = savepoint.location.clone();
        self.savepoints.push(savepoint);
        self.savepoints.extend(savepoints_beside(
            &self.run,
            beside,
            Some(&location),
            self.now,
        ));
        self.attempt_failed(
            Cause::new(CauseKind::Broken, text)
                .hint(format!("`lowtide inspect {location}` lists everything that is wrong; something removed or cut files while Flink wrote them")),
        );
    }

    fn savepoint(&self, standing: Standing, verification: Verification) -> Option<Savepoint> {
        let attempt = self.run.attempt()?;
        let taken_at = attempt.sent_at?;
        let duration = attempt
            .completed_at
            .filter(|_| attempt.named_by_platform)
            .map(|at| at.duration_since(taken_at));
        Some(Savepoint {
            location: attempt.location.clone()?,
            application: self.run.application.clone(),
            run: self.run.id,
            attempt: attempt.number,
            job: attempt.job.clone(),
            standing,
            format: attempt.format,
            taken_at,
            duration_ms: duration.and_then(|duration| u64::try_from(duration.as_millis()).ok()),
            verification,
            verify_at: None,
        })
    }

    /// What [`Bug::CompletedIsSuccess`] does.
    fn keep_blindly(&mut self, location: Location) {
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

fn failed_by(attempt: &Attempt, kind: CauseKind) -> bool {
    matches!(&attempt.end, Some(AttemptEnd::Failed { cause }) if cause.kind == kind)
}

fn with_metadata(found: &[Found]) -> Option<Location> {
    found
        .iter()
        .filter(|found| found.has_metadata)
        .map(|found| found.location.clone())
        .min()
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

fn of_fault(kind: CauseKind, fault: &Fault) -> Cause {
    Cause {
        kind,
        text: fault.text.clone(),
        hint: fault.hint.clone(),
    }
}

/// The cause for several running jobs of one name.
pub(crate) fn ambiguous(name: &str, several: &[JobSeen]) -> Cause {
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
pub(crate) fn not_running(name: &str, ended: Option<&JobSeen>, suggestions: &[String]) -> Cause {
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
