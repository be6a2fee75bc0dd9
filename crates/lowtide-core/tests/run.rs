//! Stories of one run: what is seen, and what is decided. No clock, no I/O.

use std::collections::BTreeMap;

use flink_metadata::{Metadata, SizeRule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::{AppKey, ApplicationName, JobId, Location, PlatformName, RunId};
use lowtide_core::policy::{self, Policy};
use lowtide_core::resolve::{JobSeen, JobState};
use lowtide_core::run::{
    self, AttemptEnd, Cause, CauseKind, Context, Found, Next, Operation, Origin, Outcome, Phase,
    Reply, Run, Searched, Seen, SkipReason, Step,
};
use lowtide_core::savepoint::{Format, Standing, Verification};
use lowtide_core::schedule::{Never, Window};
use lowtide_core::verify::{FileSeen, Reading};

const JOB: &str = "24ae8500000000000000000000000001";

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).expect("in range")
}

fn rules() -> Policy {
    Policy {
        job: "orders".into(),
        schedule: None,
        never: Never::new(Vec::new(), TimeZone::UTC).expect("no windows"),
        format: Format::Canonical,
        target: None,
        deadline: policy::DEADLINE,
        attempts: policy::ATTEMPTS,
        patience: policy::PATIENCE,
        absent_for: policy::ABSENT_FOR,
        catch_up: policy::CATCH_UP,
        concurrency: policy::CONCURRENCY,
    }
}

fn job(state: JobState) -> JobSeen {
    JobSeen {
        id: JobId::new(JOB),
        name: "orders".into(),
        state,
        started_at: second(-1_000),
    }
}

fn vitals() -> Vitals {
    Vitals {
        state: JobState::Running,
        started_at: second(-1_000),
        restarted_at: None,
        tasks_ready: 4,
        tasks_total: 4,
        checkpoint_in_progress: false,
        savepoint_in_progress: false,
        back_pressured: None,
        checkpointing: true,
        checkpoint_timeout: Some(SignedDuration::from_secs(600)),
        tolerable_failures: Some(0),
        canonical_possible: true,
        listed: None,
        savepoint_directory: Some(Location::new("/savepoints")),
        default_scheme: None,
        store_duration: Some(SignedDuration::from_mins(5)),
    }
}

fn whole() -> Reading {
    let metadata = Metadata {
        version: 6,
        checkpoint_id: 7,
        master_states: Vec::new(),
        operators: Vec::new(),
        properties: None,
    };
    Reading {
        metadata: Some(Ok(metadata)),
        files: Vec::new(),
        extra: Vec::new(),
        listed: BTreeMap::new(),
    }
}

fn missing_a_file() -> Reading {
    let file = FileSeen {
        location: Location::new("/savepoints/x/f"),
        rule: SizeRule::Exactly(9),
        found_bytes: None,
    };
    Reading {
        files: vec![file],
        ..whole()
    }
}

/// A run and the time, walked by hand.
struct Story {
    run: Run,
    now: i64,
    policy: Policy,
    last: Option<Step>,
}

impl Story {
    fn of(origin: Origin, policy: Policy) -> Self {
        let key = AppKey {
            platform: PlatformName::new("flink").expect("valid"),
            application: ApplicationName::new("orders").expect("valid"),
        };
        let run = match origin {
            Origin::Slot { nominal } => Run::of_slot(key, nominal, None, second(0), &policy),
            other => Run::of_request(key, RunId::from_bytes([7; 16]), other, second(0), &policy),
        };
        Self {
            run,
            now: 0,
            policy,
            last: None,
        }
    }

    fn slot() -> Self {
        Self::of(Origin::Slot { nominal: second(0) }, rules())
    }

    /// Up to the point where the one call has been granted.
    fn sent() -> Self {
        Self::slot().see(Seen::Nothing).send()
    }

    fn send(self) -> Self {
        self.see(Seen::Jobs(Ok(vec![job(JobState::Running)])))
            .see(Seen::Vitals(Ok(Box::new(vitals()))))
            .see(Seen::Nothing)
    }

    fn see(mut self, seen: Seen) -> Self {
        let step = run::advance(
            &self.run,
            seen,
            second(self.now),
            &self.policy,
            &Context::default(),
        );
        self.run = step.run.clone();
        self.last = Some(step);
        self
    }

    fn after(mut self, seconds: i64) -> Self {
        self.now += seconds;
        self
    }

    fn accepted(self) -> Self {
        self.see(Seen::Replied(Reply::Accepted))
    }

    fn operation(self, operation: Operation) -> Self {
        self.see(Seen::Operation(Ok(operation)))
    }

    fn search(
        self,
        job: Result<Option<Vitals>, Fault>,
        directories: Result<Vec<Found>, Fault>,
    ) -> Self {
        let operation = Ok(Operation::NotFound {
            job_started_at: None,
        });
        self.see(Seen::Searched(Box::new(Searched {
            operation,
            job,
            directories,
        })))
    }

    fn read(self, reading: Reading) -> Self {
        self.see(Seen::Read {
            reading: Ok(Box::new(reading)),
            beside: Vec::new(),
        })
    }

    fn grants_call(&self) -> bool {
        self.last.as_ref().is_some_and(|step| step.grants_call)
    }

    fn short(&self) -> String {
        self.run
            .outcome
            .as_ref()
            .map_or_else(|| self.run.phase.as_str().to_owned(), Outcome::short)
    }

    fn hint(&self) -> Option<&str> {
        match &self.run.outcome {
            Some(Outcome::Failed { cause }) => cause.hint.as_deref(),
            _ => None,
        }
    }
}

fn place() -> Location {
    Location::new("/savepoints/orders/20270115T080000Z-1/savepoint-24ae85-0123456789ab")
}

fn failed(kind: CauseKind) -> Operation {
    Operation::Failed(Cause::new(kind, "as Flink says"))
}

#[test]
fn the_straight_way_ends_kept() {
    let story = Story::sent();
    assert!(story.grants_call());
    let attempt = story.run.attempt().expect("one").clone();
    assert_eq!(
        attempt.directory.expect("of its own").target,
        Location::new("/savepoints/orders/20270115T080000Z-1")
    );
    let story = story.accepted();
    assert_eq!(
        (story.run.phase, story.grants_call()),
        (Phase::Following, false)
    );
    let story = story
        .after(1)
        .operation(Operation::InProgress)
        .after(1)
        .operation(Operation::Completed(place()));
    assert_eq!(run::next(&story.run), Next::Read(place()));
    let story = story.read(whole());
    assert_eq!(story.run.outcome, Some(Outcome::Kept { location: place() }));
    let saved = &story.last.expect("a step").savepoints;
    assert_eq!(saved.len(), 1);
    assert_eq!(
        (saved[0].standing, saved[0].duration_ms),
        (Standing::Kept, Some(2_000))
    );
    assert_eq!(
        story.run.look_at, None,
        "nothing was strange: nothing is looked for"
    );
}

#[test]
fn sent_is_a_step_of_its_own_and_grants_one_call() {
    let frozen = Story::slot()
        .see(Seen::Nothing)
        .see(Seen::Jobs(Ok(vec![job(JobState::Running)])))
        .see(Seen::Vitals(Ok(Box::new(vitals()))));
    assert_eq!(frozen.run.phase, Phase::Triggering);
    assert!(!frozen.grants_call() && frozen.run.attempts[0].sent_at.is_none());
    let sent = frozen.see(Seen::Nothing);
    assert!(sent.grants_call() && sent.run.attempts[0].sent_at.is_some());
    assert_eq!(
        run::next(&sent.run),
        Next::Operation,
        "whoever takes over only looks"
    );
}

#[test]
fn what_was_frozen_long_ago_is_frozen_anew() {
    let story = Story::slot()
        .see(Seen::Nothing)
        .see(Seen::Jobs(Ok(vec![job(JobState::Running)])))
        .see(Seen::Vitals(Ok(Box::new(vitals()))))
        .after(60)
        .see(Seen::Nothing);
    assert_eq!(
        (story.run.phase, story.grants_call()),
        (Phase::Resolving, false)
    );
    assert!(matches!(
        story.run.attempts[0].end,
        Some(AttemptEnd::NotSent { .. })
    ));
}

#[test]
fn a_404_within_the_window_repeats_the_same_request() {
    let same = Operation::NotFound {
        job_started_at: Some(second(-1_000)),
    };
    let story = Story::sent()
        .see(Seen::Replied(Reply::Unclear(Fault::transient("cut"))))
        .after(5)
        .operation(same);
    assert!(story.grants_call());
    assert_eq!(
        (story.run.attempts.len(), story.run.attempts[0].calls),
        (1, 2)
    );
}

#[test]
fn a_404_means_nothing_after_the_window_or_on_another_incarnation_or_after_acceptance() {
    let same = Operation::NotFound {
        job_started_at: Some(second(-1_000)),
    };
    let restarted = Operation::NotFound {
        job_started_at: Some(second(3)),
    };
    let late = Story::sent().after(271).operation(same.clone());
    let other = Story::sent().after(5).operation(restarted);
    let accepted = Story::sent().accepted().after(5).operation(same);
    for story in [late, other, accepted] {
        assert!(!story.grants_call());
        assert!(story.run.unknown.is_some());
        assert_eq!(run::next(&story.run), Next::Search);
    }
}

#[test]
fn unknown_ends_as_found() {
    let found = vec![Found {
        location: place(),
        has_metadata: true,
        foreign: false,
    }];
    let story = Story::sent()
        .accepted()
        .after(5)
        .see(Seen::Operation(Err(Fault::transient("refused"))))
        .after(5)
        .search(Err(Fault::transient("refused")), Ok(found))
        .read(whole());
    assert_eq!(story.short(), "kept");
    assert_eq!(story.run.unknown, None);
}

#[test]
fn lost_needs_two_looks_ten_seconds_apart_and_a_job_that_began_later() {
    let fresh = Vitals {
        started_at: second(30),
        ..vitals()
    };
    let story = Story::sent()
        .accepted()
        .after(40)
        .operation(Operation::NotFound {
            job_started_at: Some(second(30)),
        })
        .search(Ok(Some(fresh.clone())), Ok(vec![]));
    assert!(story.run.unknown.is_some(), "one look proves nothing");
    let story = story.after(9).search(Ok(Some(fresh.clone())), Ok(vec![]));
    assert!(story.run.unknown.is_some(), "nine seconds are not ten");
    let orphan = vec![Found {
        location: place(),
        has_metadata: false,
        foreign: false,
    }];
    let story = story.after(1).search(Ok(Some(fresh)), Ok(orphan));
    assert!(matches!(
        story.run.attempts[0].end,
        Some(AttemptEnd::Lost { .. })
    ));
    assert_eq!(story.run.phase, Phase::Resolving, "a new attempt may begin");
    let saved = &story.last.expect("a step").savepoints;
    assert_eq!(
        (saved[0].standing, &saved[0].verification),
        (Standing::Orphan, &Verification::Nothing)
    );
}

#[test]
fn nothing_is_proven_without_sight() {
    let gone_dark = Err(Fault::permanent("permission denied"));
    let fresh = Vitals {
        started_at: second(30),
        ..vitals()
    };
    let mut story = Story::sent()
        .accepted()
        .after(40)
        .operation(Operation::NotFound {
            job_started_at: Some(second(30)),
        });
    for _ in 0..10 {
        story = story
            .after(30)
            .search(Ok(Some(fresh.clone())), gone_dark.clone());
        assert_eq!(story.run.attempts.len(), 1);
    }
    let story = story.after(600).search(Ok(Some(fresh)), gone_dark);
    assert_eq!(story.short(), "failed(lost sight)");
    assert!(story.hint().is_some());
    assert!(story.run.look_at.is_some(), "what comes late is looked for");
}

#[test]
fn a_job_that_is_gone_is_lost_only_after_its_checkpoint_timeout() {
    let mut story = Story::sent()
        .accepted()
        .after(10)
        .operation(Operation::NotFound {
            job_started_at: None,
        });
    for _ in 0..20 {
        story = story.after(29).search(Ok(None), Ok(vec![]));
        assert!(story.run.unknown.is_some(), "at {} s", story.now);
    }
    let story = story
        .after(20)
        .search(Ok(None), Ok(vec![]))
        .after(10)
        .search(Ok(None), Ok(vec![]));
    assert!(
        matches!(story.run.attempts[0].end, Some(AttemptEnd::Lost { .. })),
        "{}",
        story.short()
    );
}

#[test]
fn a_savepoint_in_progress_on_the_new_incarnation_keeps_it_unknown() {
    let busy = Vitals {
        started_at: second(30),
        savepoint_in_progress: true,
        ..vitals()
    };
    let story = Story::sent()
        .accepted()
        .after(40)
        .operation(Operation::NotFound {
            job_started_at: Some(second(30)),
        })
        .search(Ok(Some(busy.clone())), Ok(vec![]))
        .after(60)
        .search(Ok(Some(busy)), Ok(vec![]));
    assert!(story.run.unknown.is_some() && story.run.attempts[0].end.is_none());
}

#[test]
fn completed_with_a_failure_cause_is_a_failure() {
    let story = Story::sent()
        .accepted()
        .operation(failed(CauseKind::TaskFailed));
    assert_eq!(
        story.short(),
        "failed(task failed)",
        "the job tolerates no failed checkpoint: no second attempt"
    );
}

#[test]
fn a_failure_that_restarts_the_job_has_one_more_attempt_where_it_is_tolerated() {
    let fail_once = |mut story: Story| {
        if let Some(attempt) = story.run.attempts.last_mut() {
            attempt.tolerable_failures = Some(3);
        }
        story.accepted().operation(failed(CauseKind::TaskFailed))
    };
    let first = fail_once(Story::sent());
    assert_eq!(first.run.phase, Phase::Resolving);
    let second = fail_once(first.after(40).send());
    assert_eq!(second.run.attempts.len(), 2);
    assert_ne!(
        second.run.attempts[0].trigger_id,
        second.run.attempts[1].trigger_id
    );
    assert_eq!(second.short(), "failed(task failed)");
}

#[test]
fn attempts_are_counted() {
    let mut story = Story::slot().see(Seen::Nothing);
    for _ in 0..3 {
        assert_eq!(story.run.phase, Phase::Resolving);
        story = story
            .after(40)
            .send()
            .accepted()
            .operation(failed(CauseKind::Expired));
    }
    assert_eq!(story.short(), "failed(expired)");
}

#[test]
fn a_refused_connection_at_trigger_costs_no_attempt() {
    let mut story = Story::slot().see(Seen::Nothing);
    for _ in 0..5 {
        let refused = Reply::NotSent(Fault::transient("connection refused"));
        story = story.after(40).send().see(Seen::Replied(refused));
        assert_eq!(story.run.phase, Phase::Resolving);
        assert!(
            story
                .last
                .as_ref()
                .is_some_and(|step| step.rest_until.is_some()),
            "it backs off"
        );
    }
}

#[test]
fn a_refusal_ends_the_run() {
    let refusal = Cause::new(CauseKind::Refused, "Bad request");
    assert_eq!(
        Story::sent()
            .see(Seen::Replied(Reply::Refused(refusal)))
            .short(),
        "failed(refused)"
    );
}

#[test]
fn unreachable_until_the_deadline() {
    let down = || Seen::Jobs(Err(Fault::transient("connection refused")));
    let story = Story::slot().see(Seen::Nothing).see(down());
    assert_eq!(story.run.phase, Phase::Resolving);
    assert_eq!(
        story.after(3_600).see(down()).short(),
        "failed(unreachable)"
    );
}

#[test]
fn a_wrong_token_fails_at_once() {
    let denied = Seen::Jobs(Err(
        Fault::permanent("401 Unauthorized").hint("check `auth:`")
    ));
    let story = Story::slot().see(Seen::Nothing).see(denied);
    assert_eq!(
        (story.short().as_str(), story.hint()),
        ("failed(denied)", Some("check `auth:`"))
    );
}

#[test]
fn an_unknown_name_is_refused_at_once_by_take_and_waited_for_by_a_slot() {
    let strangers = || {
        Seen::Jobs(Ok(vec![JobSeen {
            name: "Orders".into(),
            ..job(JobState::Running)
        }]))
    };
    let taken = Story::of(Origin::Take, rules())
        .see(Seen::Nothing)
        .see(strangers());
    assert_eq!(taken.short(), "failed(not running)");
    assert!(
        taken
            .hint()
            .is_some_and(|hint| hint.contains("did you mean `Orders`"))
    );
    let waiting = Story::slot().see(Seen::Nothing).see(strangers());
    assert_eq!(waiting.short(), "resolving");
    assert_eq!(
        waiting.after(600).see(strangers()).short(),
        "failed(not running)"
    );
}

#[test]
fn only_ended_jobs_are_a_skip_or_a_failure() {
    for (state, outcome) in [
        (JobState::Finished, "skipped(finished)"),
        (JobState::Cancelled, "skipped(cancelled)"),
        (JobState::Failed, "failed(not running)"),
    ] {
        let story = Story::slot()
            .see(Seen::Nothing)
            .see(Seen::Jobs(Ok(vec![job(state)])));
        assert_eq!(story.short(), "resolving", "it may come back");
        assert_eq!(
            story
                .after(600)
                .see(Seen::Jobs(Ok(vec![job(state)])))
                .short(),
            outcome
        );
        let taken = Story::of(Origin::Take, rules())
            .see(Seen::Nothing)
            .see(Seen::Jobs(Ok(vec![job(state)])));
        assert_eq!(taken.short(), "failed(not running)");
        assert!(taken.hint().is_some_and(|hint| hint.contains("again")));
    }
}

#[test]
fn a_platform_that_cannot_see_every_job_says_so_in_its_own_words() {
    let blind = || {
        let fault = Fault::gone("no pods belong to `orders`").hint("only pods are seen");
        Seen::Jobs(Err(fault))
    };
    let slot = Story::slot().see(Seen::Nothing).see(blind());
    assert_eq!(slot.short(), "resolving", "its pods may come");
    let ended = slot.after(600).see(blind());
    assert_eq!(ended.short(), "failed(not running)");
    assert_eq!(ended.hint(), Some("only pods are seen"));
    let taken = Story::of(Origin::Take, rules())
        .see(Seen::Nothing)
        .see(blind());
    assert_eq!(taken.short(), "failed(not running)");
}

#[test]
fn several_jobs_of_a_name_are_refused_with_their_ids() {
    let twin = JobSeen {
        id: JobId::new("ffff"),
        ..job(JobState::Running)
    };
    let story = Story::slot()
        .see(Seen::Nothing)
        .see(Seen::Jobs(Ok(vec![job(JobState::Running), twin])));
    assert_eq!(story.short(), "failed(ambiguous)");
    let Some(Outcome::Failed { cause }) = &story.run.outcome else {
        panic!("not failed")
    };
    assert!(cause.text.contains(JOB) && cause.text.contains("ffff"));
}

#[test]
fn the_gate_holds_until_the_deadline() {
    let restarting = || {
        Seen::Vitals(Ok(Box::new(Vitals {
            state: JobState::Restarting,
            ..vitals()
        })))
    };
    let story = Story::slot()
        .see(Seen::Nothing)
        .see(Seen::Jobs(Ok(vec![job(JobState::Running)])))
        .see(restarting());
    assert!(story.run.hold.is_some());
    assert_eq!(
        story.after(3_600).see(restarting()).short(),
        "failed(not ready)"
    );
}

#[test]
fn a_cap_never_ends_a_run() {
    let story = Story::slot()
        .see(Seen::Nothing)
        .see(Seen::Jobs(Ok(vec![job(JobState::Running)])))
        .see(Seen::Busy("4 savepoints are under way on `flink`".into()))
        .after(7_200)
        .see(Seen::Vitals(Ok(Box::new(vitals()))));
    assert_eq!(story.run.phase, Phase::Triggering);
    assert!(story.see(Seen::Nothing).grants_call());
}

#[test]
fn a_slot_that_waits_for_its_turn_past_its_deadline_is_skipped() {
    let busy = || Seen::Busy("an earlier run is under way".into());
    let story = Story::slot().see(busy());
    assert_eq!(story.short(), "due");
    assert_eq!(story.after(3_600).see(busy()).short(), "skipped(overlap)");
}

#[test]
fn never_windows_hold_slots_but_not_a_take() {
    // The story begins on Friday 15 January 2027, 08:00 UTC.
    let window = |text: &str| {
        let never = Never::new(vec![Window::parse(text).expect("a window")], TimeZone::UTC)
            .expect("windows");
        Policy { never, ..rules() }
    };
    let slot = Origin::Slot { nominal: second(0) };
    let short = Story::of(slot, window("07:30-08:30")).see(Seen::Nothing);
    assert_eq!(short.short(), "due");
    assert_eq!(short.after(1_800).see(Seen::Nothing).short(), "resolving");
    let long = Story::of(slot, window("07:30-12:00")).see(Seen::Nothing);
    assert_eq!(long.short(), "skipped(never-window)");
    assert!(matches!(
        long.run.outcome,
        Some(Outcome::Skipped {
            reason: SkipReason::Never,
            ..
        })
    ));
    assert_eq!(
        Story::of(Origin::Run, window("07:30-12:00"))
            .see(Seen::Nothing)
            .short(),
        "skipped(never-window)"
    );
    assert_eq!(
        Story::of(Origin::Take, window("07:30-12:00"))
            .see(Seen::Nothing)
            .short(),
        "resolving"
    );
}

#[test]
fn broken_is_proven_and_another_attempt_may_begin() {
    let complete = |story: Story| {
        story
            .accepted()
            .operation(Operation::Completed(place()))
            .read(missing_a_file())
    };
    let story = complete(Story::sent());
    assert_eq!(story.run.phase, Phase::Resolving);
    let saved = &story.last.as_ref().expect("a step").savepoints;
    assert!(matches!(saved[0].verification, Verification::Broken { .. }));
    let once = Policy {
        attempts: 1,
        ..rules()
    };
    let story = complete(
        Story::of(Origin::Slot { nominal: second(0) }, once)
            .see(Seen::Nothing)
            .send(),
    );
    assert_eq!(story.short(), "failed(broken)");
}

#[test]
fn what_cannot_be_read_is_unverified_and_never_taken_again() {
    let mut story = Story::sent()
        .accepted()
        .operation(Operation::Completed(place()));
    for _ in 0..3 {
        assert_eq!(run::next(&story.run), Next::Read(place()));
        story = story.after(10).see(Seen::Read {
            reading: Err(Fault::gone("no such directory")),
            beside: vec![],
        });
    }
    assert_eq!(story.short(), "unverified");
    let saved = &story.last.expect("a step").savepoints;
    assert_eq!(saved[0].standing, Standing::Kept);
    assert!(saved[0].verify_at.is_some(), "verification is tried again");
}

#[test]
fn what_lies_beside_is_late_or_an_orphan() {
    let beside = vec![
        Found {
            location: place(),
            has_metadata: true,
            foreign: false,
        },
        Found {
            location: Location::new("/savepoints/x/late"),
            has_metadata: true,
            foreign: false,
        },
        Found {
            location: Location::new("/savepoints/x/orphan"),
            has_metadata: false,
            foreign: false,
        },
    ];
    let story = Story::sent()
        .accepted()
        .operation(Operation::Completed(place()))
        .see(Seen::Read {
            reading: Ok(Box::new(whole())),
            beside,
        });
    let standings: Vec<Standing> = story
        .last
        .expect("a step")
        .savepoints
        .iter()
        .map(|s| s.standing)
        .collect();
    assert_eq!(
        standings,
        [Standing::Kept, Standing::Late, Standing::Orphan]
    );
}

#[test]
fn what_comes_after_the_end_is_late() {
    let story = Story::sent()
        .accepted()
        .see(Seen::Operation(Err(Fault::transient("refused"))))
        .after(1_000)
        .search(Err(Fault::transient("refused")), Ok(vec![]));
    assert_eq!(story.short(), "failed(lost sight)");
    let found = vec![Found {
        location: place(),
        has_metadata: true,
        foreign: false,
    }];
    let (after, news) = run::look(&story.run, &[Some(found.clone())], &[], second(1_020));
    assert_eq!(news[0].standing, Standing::Late);
    assert!(after.look_at.is_some());
    let (_, again) = run::look(&story.run, &[Some(found)], &news, second(1_100));
    assert!(again.is_empty(), "known already");
}

#[test]
fn a_run_that_has_ended_never_changes() {
    let story = Story::sent()
        .accepted()
        .operation(failed(CauseKind::TaskFailed));
    let before = story.run.clone();
    let after = story.see(Seen::Operation(Ok(Operation::Completed(place()))));
    assert_eq!(before, after.run);
}

#[test]
fn what_was_asked_for_stays_with_the_row() {
    let mut story = Story::of(Origin::Take, rules()).see(Seen::Nothing);
    story.run.asked = run::Asked {
        format: Some(Format::Native),
        target: Some("/elsewhere".into()),
    };
    let story = story.send();
    let attempt = story.run.attempt().expect("one");
    assert_eq!(attempt.format, Format::Native);
    let own = attempt.directory.as_ref().expect("of its own");
    assert_eq!(own.base, Location::new("/elsewhere"));
}
