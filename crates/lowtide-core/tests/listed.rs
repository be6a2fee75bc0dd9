//! Stories of runs on platforms that take no trigger id, and of runs that nothing is remembered
//! of. No clock, no I/O.

use std::collections::BTreeMap;

use flink_metadata::{Metadata, SizeRule};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::{
    AppKey, ApplicationName, JobId, Location, PlatformName, SavepointId, TriggerId,
};
use lowtide_core::policy::{self, Policy};
use lowtide_core::resolve::{JobSeen, JobState};
use lowtide_core::run::{
    self, Cause, CauseKind, Context, Found, Listed, ListedState, Next, Operation, Outcome, Phase,
    Reply, Run, Searched, Seen, Step,
};
use lowtide_core::savepoint::{Format, Savepoint, Standing};
use lowtide_core::schedule::Never;
use lowtide_core::verify::{FileSeen, Reading};

const JOB: &str = "5a1d6a7e-0000-4000-8000-000000000001";
/// When the slot is due; what is listed before lies well before it.
const SLOT: i64 = 1_800_000_000;

fn second(seconds: i64) -> Timestamp {
    Timestamp::from_second(SLOT + seconds).expect("in range")
}

fn rules() -> Policy {
    Policy {
        job: "orders".into(),
        schedule: None,
        never: Never::new(Vec::new(), TimeZone::UTC).expect("no windows"),
        format: Format::Canonical,
        target: None,
        deadline: SignedDuration::from_mins(10),
        attempts: policy::ATTEMPTS,
        patience: policy::PATIENCE,
        absent_for: policy::ABSENT_FOR,
        catch_up: policy::CATCH_UP,
        concurrency: policy::CONCURRENCY,
    }
}

fn id(name: &str) -> SavepointId {
    SavepointId::new(name)
}

fn place(name: &str) -> Location {
    Location::new(format!("s3://state/vvp/{name}"))
}

/// A deployment that had a savepoint an hour ago.
fn deployment() -> Vitals {
    Vitals {
        state: JobState::Running,
        started_at: second(-9_000),
        restarted_at: None,
        tasks_ready: 4,
        tasks_total: 4,
        checkpoint_in_progress: false,
        savepoint_in_progress: false,
        back_pressured: None,
        checkpointing: true,
        checkpoint_timeout: Some(SignedDuration::from_mins(20)),
        tolerable_failures: Some(0),
        canonical_possible: true,
        listed: Some(vec![(id("old"), second(-3_600))]),
        savepoint_directory: None,
        default_scheme: None,
        store_duration: None,
    }
}

/// A job of a plain Flink cluster.
fn job() -> Vitals {
    Vitals {
        listed: None,
        savepoint_directory: Some(Location::new("/savepoints")),
        store_duration: Some(SignedDuration::from_mins(5)),
        ..deployment()
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

/// A listed savepoint that somebody asked for, made so long after the slot's time.
fn listed(name: &str, made: i64, state: ListedState) -> Listed {
    Listed {
        id: id(name),
        requested: true,
        mark: None,
        created_at: second(made),
        state,
    }
}

fn complete(name: &str, made: i64) -> Listed {
    listed(name, made, ListedState::Completed(place(name)))
}

fn old() -> Listed {
    complete("old", -3_600)
}

/// A run and the time, walked by hand.
struct Story {
    run: Run,
    now: i64,
    last: Option<Step>,
    saved: Vec<Savepoint>,
}

impl Story {
    fn slot() -> Self {
        let key = AppKey {
            platform: PlatformName::new("vvp").expect("valid"),
            application: ApplicationName::new("orders").expect("valid"),
        };
        Self {
            run: Run::of_slot(key, second(0), None, second(0), &rules()),
            now: 0,
            last: None,
            saved: Vec::new(),
        }
    }

    /// A pod that starts for the same slot later, and remembers nothing.
    fn pod(starts: i64) -> Self {
        let mut story = Self::slot().after(starts);
        let key = story.run.application.clone();
        story.run = Run::of_slot(key, second(0), None, second(starts), &rules());
        story.run.look_first_from = Some(second(starts + 30));
        story
    }

    fn see(mut self, seen: Seen) -> Self {
        let now = second(self.now);
        let step = run::advance(&self.run, seen, now, &rules(), &Context::default());
        self.run = step.run.clone();
        self.saved.extend(step.savepoints.clone());
        self.last = Some(step);
        self
    }

    fn after(mut self, seconds: i64) -> Self {
        self.now += seconds;
        self
    }

    /// Up to the frozen attempt.
    fn frozen(self, vitals: Vitals) -> Self {
        let job = JobSeen {
            id: JobId::new(JOB),
            name: "orders".into(),
            state: JobState::Running,
            started_at: vitals.started_at,
        };
        self.see(Seen::Nothing)
            .see(Seen::Jobs(Ok(vec![job])))
            .see(Seen::Vitals(Ok(Box::new(vitals))))
    }

    /// Up to the point where the one call has been granted on a platform without trigger ids.
    fn sent() -> Self {
        let story = Self::slot().frozen(deployment()).see(Seen::Nothing);
        assert!(story.grants_call());
        story
    }

    /// The same, and the answer was lost.
    fn lost() -> Self {
        Self::sent()
            .after(10)
            .see(Seen::Replied(Reply::Unclear(Fault::transient("no answer"))))
    }

    /// What the platform lists, as the row asks for it.
    fn lists(self, listed: Vec<Listed>) -> Self {
        let operation = Ok(Operation::Listed(listed));
        match run::next(&self.run) {
            Next::Operation => self.see(Seen::Operation(operation)),
            Next::Search => self.search(operation, Ok(Vec::new())),
            other => panic!("asked for {other:?}"),
        }
    }

    fn search(
        self,
        operation: Result<Operation, Fault>,
        directories: Result<Vec<Found>, Fault>,
    ) -> Self {
        assert_eq!(run::next(&self.run), Next::Search);
        let job = Ok(Some(deployment()));
        self.see(Seen::Searched(Box::new(Searched {
            operation,
            job,
            directories,
        })))
    }

    fn read(self) -> Self {
        self.see(Seen::Read {
            reading: Ok(Box::new(whole())),
            beside: Vec::new(),
        })
    }

    fn mark(&self) -> TriggerId {
        self.run.attempt().expect("frozen").trigger_id
    }

    fn grants_call(&self) -> bool {
        self.last.as_ref().is_some_and(|step| step.grants_call)
    }

    fn calls(&self) -> u32 {
        self.run.attempts.iter().map(|attempt| attempt.calls).sum()
    }

    fn short(&self) -> String {
        self.run
            .outcome
            .as_ref()
            .map_or_else(|| self.run.phase.as_str().to_owned(), Outcome::short)
    }

    /// Where the savepoint lies that fills the slot, and what it is to it.
    fn filled_with(&self) -> (Location, Standing) {
        let Some(Outcome::Kept { location }) = &self.run.outcome else {
            panic!("{}", self.short());
        };
        let record = self
            .saved
            .iter()
            .find(|one| one.location == *location)
            .expect("recorded with the outcome");
        (location.clone(), record.standing)
    }
}

// === the answer ===

#[test]
fn the_straight_way_follows_the_savepoint_that_the_reply_named() {
    let story = Story::slot().frozen(deployment());
    let attempt = story.run.attempt().expect("frozen").clone();
    assert_eq!(attempt.directory, None, "the platform chooses it");
    let before = attempt.listing.expect("listed").before;
    assert!(before.contains(&id("old")) && before.len() == 1);
    let story = story
        .see(Seen::Nothing)
        .see(Seen::Replied(Reply::Created(id("ours"))));
    assert_eq!(run::next(&story.run), Next::Operation);
    let story = story
        .after(2)
        .see(Seen::Operation(Ok(Operation::InProgress)))
        .after(2)
        .see(Seen::Operation(Ok(Operation::Completed(place("ours")))))
        .read();
    assert_eq!(story.filled_with(), (place("ours"), Standing::Kept));
    assert!(story.run.warnings.is_empty());
    assert_eq!((story.calls(), story.run.look_at), (1, None));
}

#[test]
fn a_failure_of_the_named_savepoint_ends_the_run_without_a_second_request() {
    let cause = Cause::new(CauseKind::SavepointFailed, "as the platform says");
    let story = Story::sent()
        .see(Seen::Replied(Reply::Created(id("ours"))))
        .after(2)
        .see(Seen::Operation(Ok(Operation::Failed(cause))));
    assert_eq!(story.short(), "failed(savepoint failed)");
    assert_eq!(story.calls(), 1);
}

#[test]
fn a_request_that_was_never_delivered_may_be_made_again_under_the_same_mark() {
    let story = Story::sent();
    let mark = story.mark();
    let story = story
        .see(Seen::Replied(Reply::NotSent(Fault::transient("refused"))))
        .after(5);
    assert_eq!(story.run.phase, Phase::Resolving);
    let job = JobSeen {
        id: JobId::new(JOB),
        name: "orders".into(),
        state: JobState::Running,
        started_at: deployment().started_at,
    };
    let story = story
        .see(Seen::Jobs(Ok(vec![job])))
        .see(Seen::Vitals(Ok(Box::new(deployment()))))
        .see(Seen::Nothing);
    assert!(story.grants_call());
    assert_eq!(story.mark(), mark, "no list shows two requests of a run");
}

// === the reply was lost ===

#[test]
fn after_a_lost_reply_our_mark_makes_it_ours() {
    let story = Story::lost();
    let ours = Listed {
        mark: Some(story.mark()),
        ..complete("ours", 1)
    };
    let story = story
        .after(3)
        .lists(vec![old(), ours, complete("other", 2)]);
    assert_eq!(run::next(&story.run), Next::Read(place("ours")));
    let story = story.read();
    assert_eq!(story.filled_with(), (place("ours"), Standing::Kept));
    assert_eq!(story.calls(), 1);
}

#[test]
fn after_a_lost_reply_what_carries_no_mark_fills_the_slot_and_is_foreign() {
    let story = Story::lost()
        .after(3)
        .lists(vec![old(), complete("new", 1)])
        .read();
    assert_eq!(story.filled_with(), (place("new"), Standing::Foreign));
    assert!(story.run.warnings[0].contains("no clear answer"));
    assert!(story.run.warnings[1].contains("counts as foreign"));
    assert!(story.run.look_at.is_some(), "ours may still turn up");
    assert_eq!(story.calls(), 1);
}

#[test]
fn of_several_candidates_the_newest_completed_one_fills_the_slot() {
    let copy = Listed {
        requested: false,
        ..complete("copied", 9)
    };
    let failed = ListedState::Failed(Cause::new(CauseKind::SavepointFailed, "no"));
    let story = Story::lost()
        .after(10)
        .lists(vec![
            complete("newer", 6),
            copy,
            complete("older", 2),
            listed("failed", 8, failed),
            old(),
        ])
        .read();
    assert_eq!(story.filled_with(), (place("newer"), Standing::Foreign));
    assert!(story.run.warnings[1].contains("newest of several"));
}

#[test]
fn a_broken_one_of_somebody_elses_fills_nothing() {
    let story =
        Story::lost()
            .after(5)
            .lists(vec![old(), complete("newer", 4), complete("older", 2)]);
    assert_eq!(run::next(&story.run), Next::Read(place("newer")));
    let file = FileSeen {
        location: place("newer").join("f"),
        rule: SizeRule::Exactly(9),
        found_bytes: None,
    };
    let broken = Reading {
        files: vec![file],
        ..whole()
    };
    let story = story.see(Seen::Read {
        reading: Ok(Box::new(broken)),
        beside: Vec::new(),
    });
    assert!(story.run.outcome.is_none() && story.run.unknown.is_some());
    assert_eq!(story.saved[0].standing, Standing::Foreign);
    let story = story
        .after(5)
        .lists(vec![old(), complete("newer", 4), complete("older", 2)])
        .read();
    assert_eq!(story.filled_with(), (place("older"), Standing::Foreign));
    assert_eq!(story.calls(), 1);
}

#[test]
fn what_is_in_progress_is_waited_for_and_at_the_end_what_is_complete_counts() {
    let slow = || listed("slow", 4, ListedState::InProgress);
    let story = Story::lost()
        .after(3)
        .lists(vec![complete("new", 1), slow()]);
    assert!(story.run.unknown.is_some() && story.run.outcome.is_none());
    // Twenty minutes for the job, five to spare.
    let story = story
        .after(1_500)
        .lists(vec![complete("new", 1), slow()])
        .read();
    assert_eq!(story.filled_with(), (place("new"), Standing::Foreign));
}

#[test]
fn somebody_elses_in_progress_at_the_end_is_sight_lost() {
    let slow = || listed("slow", 4, ListedState::InProgress);
    let story = Story::lost().after(3).lists(vec![slow()]);
    assert!(story.run.unknown.is_some());
    let story = story.after(1_500).lists(vec![slow()]);
    assert_eq!(story.short(), "failed(lost sight)");
    assert_eq!(story.calls(), 1);
}

#[test]
fn a_failure_is_believed_once_nothing_can_arrive_any_more() {
    let cause = || Cause::new(CauseKind::SavepointFailed, "as the platform says");
    let failed = || listed("failed", 1, ListedState::Failed(cause()));
    let story = Story::lost().after(3).lists(vec![failed()]);
    assert!(story.run.outcome.is_none());
    let story = story.after(60).lists(vec![failed()]);
    assert!(story.run.outcome.is_none(), "the first list may be older");
    let story = story.after(10).lists(vec![failed()]);
    assert_eq!(story.short(), "failed(savepoint failed)");
    assert_eq!(story.calls(), 1);
}

#[test]
fn nothing_until_the_deadline_is_a_lost_reply() {
    let mut story = Story::lost();
    while story.now < 600 {
        story = story.after(10).lists(vec![old()]);
        assert!(!story.grants_call());
    }
    let story = story.after(10).lists(vec![old()]);
    assert_eq!(story.short(), "failed(lost reply)");
    let Some(Outcome::Failed { cause }) = &story.run.outcome else {
        panic!("{}", story.short());
    };
    assert!(
        cause
            .hint
            .as_deref()
            .is_some_and(|hint| hint.contains("not repeated"))
    );
    assert_eq!(story.calls(), 1);
    assert!(story.run.look_at.is_some());
}

#[test]
fn one_list_at_the_deadline_is_no_proof() {
    let story = Story::lost().after(700).lists(vec![old()]);
    assert!(story.run.outcome.is_none());
    let story = story
        .after(10)
        .lists(vec![old(), complete("late", 20)])
        .read();
    assert_eq!(story.filled_with(), (place("late"), Standing::Foreign));
}

#[test]
fn what_comes_after_the_end_is_late_where_it_is_ours_and_foreign_where_nobody_can_tell() {
    let mut story = Story::lost();
    while story.run.outcome.is_none() {
        story = story.after(10).lists(vec![old()]);
        assert!(story.now < 2_000, "it ends");
    }
    let found = |name: &str, foreign| Found {
        location: place(name),
        has_metadata: true,
        foreign,
    };
    let there = [Some(vec![found("ours", false), found("other", true)])];
    let (after, news) = run::look(&story.run, &there, &[], second(story.now + 15));
    let standings: Vec<_> = news.iter().map(|one| one.standing).collect();
    assert_eq!(standings, [Standing::Late, Standing::Foreign]);
    assert_eq!(after.outcome, story.run.outcome);
}

#[test]
fn a_savepoint_that_somebody_deleted_is_not_asked_for_again() {
    let gone = || {
        Ok(Operation::NotFound {
            job_started_at: Some(deployment().started_at),
        })
    };
    let story = Story::sent()
        .see(Seen::Replied(Reply::Created(id("ours"))))
        .after(2)
        .see(Seen::Operation(gone()));
    assert!(!story.grants_call() && story.run.unknown.is_some());
    let story = story.after(2_000).search(gone(), Ok(Vec::new()));
    assert_eq!(story.short(), "failed(lost sight)");
    assert_eq!(story.calls(), 1);
}

// === nothing is remembered ===

/// A pod that has waited, and now looks before it calls.
fn looks(vitals: Vitals) -> Story {
    let story = Story::pod(20).frozen(vitals.clone());
    assert_eq!(story.run.phase, Phase::Waiting, "it waits before it looks");
    let story = story.after(30).see(Seen::Vitals(Ok(Box::new(vitals))));
    assert_eq!(run::next(&story.run), Next::Search);
    story
}

fn unknown() -> Operation {
    Operation::NotFound {
        job_started_at: Some(job().started_at),
    }
}

#[test]
fn a_pod_that_finds_nothing_calls_once() {
    for story in [
        looks(job()).search(Ok(unknown()), Ok(Vec::new())),
        looks(deployment()).lists(vec![old()]),
    ] {
        assert!(story.grants_call());
        assert_eq!(story.calls(), 1);
        assert_ne!(run::next(&story.run), Next::Step, "no second grant");
    }
}

#[test]
fn a_pod_finds_an_earlier_ones_request_by_its_trigger_id() {
    let story = looks(job()).search(Ok(Operation::InProgress), Ok(Vec::new()));
    assert!(!story.grants_call());
    assert_eq!(story.run.phase, Phase::Following);
    let story = story
        .after(2)
        .see(Seen::Operation(Ok(Operation::Completed(place("ours")))))
        .read();
    assert_eq!(story.filled_with(), (place("ours"), Standing::Kept));
}

#[test]
fn a_pod_finds_an_earlier_ones_savepoint_by_its_directory() {
    let found = Found {
        location: Location::new("/savepoints/orders/20270115T080000Z-1/savepoint-24ae85"),
        has_metadata: true,
        foreign: false,
    };
    let story = looks(job()).search(Ok(unknown()), Ok(vec![found.clone()]));
    assert!(!story.grants_call());
    let story = story.read();
    assert_eq!(story.filled_with(), (found.location, Standing::Kept));
}

#[test]
fn a_pod_that_cannot_read_the_directory_calls_only_where_the_404_proves_that_nobody_asked() {
    let away = || Err(Fault::transient("stale file handle"));
    let story = looks(job()).search(Ok(unknown()), away());
    assert!(story.grants_call(), "the cluster would still remember");
    let restarted = Ok(Operation::NotFound {
        job_started_at: Some(second(10)),
    });
    let story = looks(job()).search(restarted.clone(), away());
    assert!(!story.grants_call() && story.run.outcome.is_none());
    let never = Err(Fault::unsupported("no hands for this store"));
    let story = looks(job()).search(restarted, never);
    assert_eq!(
        (story.calls(), story.short()),
        (0, "failed(lost sight)".into())
    );
    let late = Story::pod(300).frozen(job()).after(30);
    let story = late
        .see(Seen::Vitals(Ok(Box::new(job()))))
        .search(Ok(unknown()), away());
    assert!(!story.grants_call(), "the cluster may have forgotten");
}

#[test]
fn attempts_of_a_pod_share_a_directory_and_use_the_next_id_only_after_the_one_before() {
    let refused = || Seen::Replied(Reply::NotSent(Fault::transient("refused")));
    let story = looks(job()).search(Ok(unknown()), Ok(Vec::new()));
    let (first_id, first) = (story.mark(), story.run.attempts[0].directory.clone());
    let again = |story: Story| {
        let job_seen = JobSeen {
            id: JobId::new(JOB),
            name: "orders".into(),
            state: JobState::Running,
            started_at: job().started_at,
        };
        story
            .after(5)
            .see(Seen::Jobs(Ok(vec![job_seen])))
            .see(Seen::Vitals(Ok(Box::new(job()))))
            .search(Ok(unknown()), Ok(Vec::new()))
    };
    let story = again(story.see(refused()));
    assert_eq!(story.mark(), first_id, "the first one was never delivered");
    let failed = Operation::Failed(Cause::new(CauseKind::SavepointFailed, "no"));
    let story = story
        .see(Seen::Replied(Reply::Accepted))
        .see(Seen::Operation(Ok(failed)));
    let story = again(story);
    assert!(story.grants_call());
    assert_ne!(story.mark(), first_id);
    assert_eq!(story.run.attempts[2].directory, first);
}

#[test]
fn a_pod_finds_an_earlier_ones_savepoint_by_its_mark() {
    let story = looks(deployment());
    let ours = Listed {
        mark: Some(story.mark()),
        ..complete("ours", 5)
    };
    let story = story.lists(vec![old(), ours]);
    assert!(!story.grants_call());
    let story = story.read();
    assert_eq!(story.filled_with(), (place("ours"), Standing::Kept));
}

#[test]
fn a_pod_finds_what_was_made_since_the_slots_time() {
    let mut vitals = deployment();
    let since = (id("new"), second(5));
    vitals.listed.as_mut().expect("lists").push(since);
    let story = looks(vitals).lists(vec![old(), complete("new", 5)]);
    assert!(!story.grants_call());
    let story = story.read();
    assert_eq!(story.filled_with(), (place("new"), Standing::Foreign));
    assert!(story.run.warnings[0].contains("counts as foreign"));
}

#[test]
fn a_pod_that_cannot_look_never_calls() {
    let blind = |story: Story| story.search(Err(Fault::transient("refused")), Ok(Vec::new()));
    let story = blind(looks(deployment()));
    assert!(!story.grants_call() && story.run.outcome.is_none());
    let story = blind(story.after(5));
    assert!(!story.grants_call() && story.run.outcome.is_none());
    let mut late = looks(deployment());
    late.run.trigger_deadline = second(late.now);
    let late = blind(late);
    assert!(!late.grants_call());
    assert_eq!(late.short(), "failed(unreachable)");
}
