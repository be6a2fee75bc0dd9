//! Random sequences of operations, against a model so plain that it can be read: vectors that
//! are searched from one end to the other.

use jiff::{SignedDuration, Timestamp};
use lowtide_core::name::AppKey;
use lowtide_core::ports::{Catalog as _, CatalogError, Claim, Commit, ScheduleMemory};
use lowtide_core::run::{CONTEXT_SAVEPOINTS, Context, Phase, Run};
use lowtide_core::savepoint::{Savepoint, Standing, Verification};
use lowtide_core::schedule::Pause;
use proptest::prelude::*;

use super::open_in;
use super::records::{at, key, savepoint, slot, step, unread, verified};
use crate::Catalog;

const APPLICATIONS: [&str; 2] = ["a", "b"];
const SLOTS: i64 = 4;
const PLACES: i64 = 5;

#[derive(Debug, Clone)]
enum Operation {
    Claim {
        application: usize,
        slots: Vec<i64>,
        considered: Option<i64>,
    },
    Commit {
        application: usize,
        slot: i64,
        phase: Phase,
        stale: bool,
        begins: bool,
        cap: Option<u32>,
        look_at: Option<i64>,
        left: Vec<(i64, Standing, u8)>,
    },
    Amend {
        application: usize,
        place: i64,
        stale: bool,
        standing: Standing,
        verification: u8,
        verify_at: Option<i64>,
    },
    Schedule {
        application: usize,
        text: bool,
        now: i64,
    },
    Pause {
        application: usize,
        now: i64,
    },
    Unpause {
        application: usize,
        now: i64,
    },
}

fn phase() -> impl Strategy<Value = Phase> {
    prop::sample::select(vec![
        Phase::Due,
        Phase::Resolving,
        Phase::Waiting,
        Phase::Triggering,
        Phase::Following,
        Phase::Verifying,
        Phase::Done,
    ])
}

fn standing() -> impl Strategy<Value = Standing> {
    prop::sample::select(vec![
        Standing::Kept,
        Standing::Late,
        Standing::Orphan,
        Standing::Foreign,
    ])
}

fn operation() -> impl Strategy<Value = Operation> {
    let application = 0..APPLICATIONS.len();
    let second = 0..20_i64;
    let left = prop::collection::vec((0..PLACES, standing(), 0..4_u8), 0..3);
    let claim = (
        application.clone(),
        prop::collection::vec(0..SLOTS, 0..4),
        prop::option::of(second.clone()),
    )
        .prop_map(|(application, slots, considered)| Operation::Claim {
            application,
            slots,
            considered,
        });
    let commit = (
        application.clone(),
        0..SLOTS,
        phase(),
        prop::bool::weighted(0.1),
        any::<bool>(),
        prop::option::of(0..3_u32),
        prop::option::of(second.clone()),
        left,
    )
        .prop_map(
            |(application, slot, phase, stale, begins, cap, look_at, left)| Operation::Commit {
                application,
                slot,
                phase,
                stale,
                begins,
                cap,
                look_at,
                left,
            },
        );
    let amend = (
        application.clone(),
        0..PLACES,
        prop::bool::weighted(0.1),
        standing(),
        0..4_u8,
        prop::option::of(second.clone()),
    )
        .prop_map(
            |(application, place, stale, standing, verification, verify_at)| Operation::Amend {
                application,
                place,
                stale,
                standing,
                verification,
                verify_at,
            },
        );
    let when = (application, second, any::<bool>());
    prop_oneof![
        3 => claim,
        6 => commit,
        2 => amend,
        1 => when.clone().prop_map(|(application, now, text)| Operation::Schedule {
            application, text, now,
        }),
        1 => when.clone().prop_map(|(application, now, _)| Operation::Pause { application, now }),
        1 => when.prop_map(|(application, now, _)| Operation::Unpause { application, now }),
    ]
}

#[derive(Default)]
struct Model {
    runs: Vec<Run>,
    savepoints: Vec<Savepoint>,
    schedules: Vec<(AppKey, String, Timestamp)>,
    pauses: Vec<(AppKey, Pause)>,
}

impl Model {
    fn claim(&mut self, runs: &[Run], considered: Option<(&AppKey, Timestamp)>) -> Vec<Claim> {
        let mut claims = Vec::new();
        for run in runs {
            if let Some(there) = self.runs.iter().find(|there| there.id == run.id) {
                claims.push(Claim::Taken(Box::new(there.clone())));
            } else {
                self.runs.push(run.clone());
                claims.push(Claim::Claimed);
            }
        }
        if let Some((key, until)) = considered {
            for (of, _, considered_until) in &mut self.schedules {
                if of == key {
                    *considered_until = until.max(*considered_until);
                }
            }
        }
        claims
    }

    fn commit(&mut self, commit: &Commit<'_>) -> Result<(), &'static str> {
        let run = commit.run;
        let is_between = |run: &Run| !matches!(run.phase, Phase::Due | Phase::Done);
        let others = || self.runs.iter().filter(|other| other.id != run.id);
        let there = self.runs.iter().position(|there| there.id == run.id);
        let Some(there) = there.filter(|there| self.runs[*there].version + 1 == run.version) else {
            return Err("stale");
        };
        let under_way =
            others().any(|other| other.application == run.application && is_between(other));
        let triggered = others()
            .filter(|other| other.application.platform == run.application.platform)
            .filter(|other| other.is_triggered())
            .count();
        // Here the index speaks where the step does not say that it begins.
        if under_way && (commit.begins || is_between(run)) {
            return Err("busy");
        }
        if commit.cap.is_some_and(|cap| triggered >= cap as usize) {
            return Err("busy");
        }
        self.runs[there] = run.clone();
        for savepoint in commit.savepoints {
            let place = |known: &Savepoint| known.location == savepoint.location;
            match self.savepoints.iter_mut().find(|known| place(known)) {
                Some(known) if savepoint.replaces(known) => *known = savepoint.clone(),
                Some(_) => {}
                None => self.savepoints.push(savepoint.clone()),
            }
        }
        Ok(())
    }

    fn amend(&mut self, before: &Savepoint, after: &Savepoint) -> Result<(), &'static str> {
        match self.savepoints.iter_mut().find(|known| *known == before) {
            Some(known) => {
                *known = after.clone();
                Ok(())
            }
            None => Err("stale"),
        }
    }

    fn schedule(&mut self, key: &AppKey, text: &str, now: Timestamp) -> ScheduleMemory {
        let there = self.schedules.iter().find(|(of, ..)| of == key).cloned();
        let considered_until = match there {
            Some((_, remembered, until)) if remembered == text => until,
            _ => {
                self.schedules.retain(|(of, ..)| of != key);
                self.schedules.push((key.clone(), text.to_owned(), now));
                now
            }
        };
        let pauses = self
            .pauses
            .iter()
            .filter(|(of, _)| of == key)
            .map(|(_, pause)| *pause)
            .filter(|pause| pause.until.is_none_or(|until| until > considered_until))
            .collect();
        ScheduleMemory {
            considered_until,
            pauses,
        }
    }

    fn pause(&mut self, key: &AppKey, now: Timestamp) -> bool {
        if self.lasting(key).is_some() {
            return false;
        }
        let pause = Pause {
            from: now,
            until: None,
        };
        self.pauses.push((key.clone(), pause));
        true
    }

    fn unpause(&mut self, key: &AppKey, now: Timestamp) -> bool {
        let Some(lasting) = self.lasting(key) else {
            return false;
        };
        lasting.until = Some(now.max(lasting.from));
        true
    }

    fn lasting(&mut self, key: &AppKey) -> Option<&mut Pause> {
        self.pauses
            .iter_mut()
            .filter(|(of, _)| of == key)
            .map(|(_, pause)| pause)
            .find(|pause| pause.until.is_none())
    }

    fn context(&self, key: &AppKey) -> Context {
        let mut good: Vec<_> = self
            .savepoints
            .iter()
            .filter(|known| known.application == *key && known.is_good())
            .filter(|known| known.standing == Standing::Kept)
            .collect();
        good.sort_by_key(|known| std::cmp::Reverse((known.taken_at, known.location.clone())));
        good.truncate(CONTEXT_SAVEPOINTS);
        let open = self.runs.iter().filter(|run| run.phase != Phase::Done);
        Context::of_measures(
            good.iter().filter_map(|known| known.duration_ms).collect(),
            good.iter()
                .filter_map(|known| known.verification.report())
                .map(|report| report.state_bytes)
                .collect(),
            u32::try_from(open.count()).unwrap_or(u32::MAX),
        )
    }
}

fn verification(kind: u8) -> Verification {
    match kind {
        0 => Verification::Nothing,
        1 => unread(),
        2 => Verification::Unverified {
            reason: "no way in".to_owned(),
            at: at(1),
            tries: 2,
        },
        _ => verified(7),
    }
}

fn left_at(
    run: &Run,
    place: i64,
    standing: Standing,
    kind: u8,
    verify_at: Option<Timestamp>,
) -> Savepoint {
    Savepoint {
        verify_at,
        ..savepoint(run, &place.to_string(), place, standing, verification(kind))
    }
}

fn kind_of(answer: Result<(), CatalogError>) -> Result<(), &'static str> {
    answer.map_err(|error| match error {
        CatalogError::Stale => "stale",
        CatalogError::Busy(_) => "busy",
        CatalogError::Broken(why) => panic!("{why}"),
    })
}

async fn apply(operation: &Operation, catalog: &Catalog, model: &mut Model) {
    match operation.clone() {
        Operation::Claim {
            application,
            slots,
            considered,
        } => {
            let key = key(APPLICATIONS[application]);
            let runs: Vec<_> = slots.iter().map(|number| slot(&key, *number)).collect();
            let considered = considered.map(|second| (&key, at(second)));
            let claims = catalog.claim(&runs, considered).await;
            assert_eq!(claims, Ok(model.claim(&runs, considered)));
        }
        Operation::Commit {
            application,
            slot: number,
            phase,
            stale,
            begins,
            cap,
            look_at,
            left,
        } => {
            let claimed = slot(&key(APPLICATIONS[application]), number);
            let there = model.runs.iter().find(|there| there.id == claimed.id);
            let mut run = step(there.unwrap_or(&claimed), phase);
            run.version += u64::from(stale);
            run.look_at = look_at.map(at);
            let savepoints: Vec<_> = left
                .iter()
                .map(|(place, standing, kind)| left_at(&run, *place, *standing, *kind, None))
                .collect();
            let commit = Commit {
                run: &run,
                savepoints: &savepoints,
                begins,
                cap,
            };
            let answer = kind_of(catalog.commit(commit).await);
            assert_eq!(answer, model.commit(&commit));
        }
        Operation::Amend {
            application,
            place,
            stale,
            standing,
            verification,
            verify_at,
        } => {
            let run = slot(&key(APPLICATIONS[application]), 0);
            let other = left_at(&run, place, standing, verification, verify_at.map(at));
            let known = model
                .savepoints
                .iter()
                .find(|known| known.location == other.location);
            let mut before = known.unwrap_or(&other).clone();
            if stale {
                before.taken_at += SignedDuration::from_nanos(1);
            }
            let answer = kind_of(catalog.amend(&before, &other).await);
            assert_eq!(answer, model.amend(&before, &other));
        }
        Operation::Schedule {
            application,
            text,
            now,
        } => {
            let (key, text) = (key(APPLICATIONS[application]), if text { "A" } else { "B" });
            let memory = catalog.schedule(&key, text, at(now)).await;
            assert_eq!(memory, Ok(model.schedule(&key, text, at(now))));
        }
        Operation::Pause { application, now } => {
            let key = key(APPLICATIONS[application]);
            let changed = catalog.pause(&key, at(now)).await;
            assert_eq!(changed, Ok(model.pause(&key, at(now))));
        }
        Operation::Unpause { application, now } => {
            let key = key(APPLICATIONS[application]);
            let changed = catalog.unpause(&key, at(now)).await;
            assert_eq!(changed, Ok(model.unpause(&key, at(now))));
        }
    }
}

/// Everything that can be asked, compared.
async fn compare(catalog: &Catalog, model: &Model) {
    let now = at(10);
    let sorted = |runs: Vec<&Run>, by: fn(&Run) -> Option<Timestamp>| {
        let mut runs: Vec<Run> = runs.into_iter().cloned().collect();
        runs.sort_by_key(|run| (by(run), run.id));
        runs
    };
    let open = model.runs.iter().filter(|run| run.phase != Phase::Done);
    assert_eq!(
        catalog.open_runs().await,
        Ok(sorted(open.collect(), |run| Some(run.created_at)))
    );
    let due = model
        .runs
        .iter()
        .filter(|run| run.phase == Phase::Done)
        .filter(|run| run.look_at.is_some_and(|at| at <= now));
    assert_eq!(
        catalog.looks_due(now).await,
        Ok(sorted(due.collect(), |run| run.look_at))
    );
    let mut reads: Vec<_> = model
        .savepoints
        .iter()
        .filter(|known| known.verify_at.is_some_and(|at| at <= now))
        .cloned()
        .collect();
    reads.sort_by_key(|known| (known.verify_at, known.location.clone()));
    assert_eq!(catalog.reads_due(now).await, Ok(reads));
    for run in &model.runs {
        assert_eq!(catalog.run(run.id).await, Ok(Some(run.clone())));
        let mut left: Vec<_> = model
            .savepoints
            .iter()
            .filter(|known| known.run() == Some(run.id))
            .cloned()
            .collect();
        left.sort_by_key(|known| (known.taken_at, known.location.clone()));
        assert_eq!(catalog.savepoints_of(run.id).await, Ok(left));
    }
    for key in APPLICATIONS.map(key) {
        assert_eq!(catalog.context(&key).await, Ok(model.context(&key)));
        let latest = model
            .savepoints
            .iter()
            .filter(|known| known.application == key && known.is_good())
            .filter(|known| known.standing != Standing::Orphan)
            .max_by_key(|known| (known.taken_at, known.location.clone()));
        assert_eq!(catalog.latest_good(&key).await, Ok(latest.cloned()));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn any_sequence_ends_as_in_the_model(
        operations in prop::collection::vec(operation(), 1..50),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let directory = tempfile::tempdir().unwrap();
            let mut catalog = open_in(directory.path()).await;
            let mut model = Model::default();
            for (count, operation) in operations.iter().enumerate() {
                apply(operation, &catalog, &mut model).await;
                if count % 16 == 15 {
                    // What was read before is read by whoever opens the file next.
                    catalog.close().await;
                    catalog = open_in(directory.path()).await;
                }
                compare(&catalog, &model).await;
            }
        });
    }
}
