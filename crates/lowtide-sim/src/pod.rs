//! Runs that nothing is remembered of: the pods that a `CronJob` starts for one slot after the
//! other, with a catalog that dies with the pod. The platform is the memory.
//!
//! A pod that dies, or ends without a savepoint, is started again for the same slot, as a Job's
//! `backoffLimit` says. Slots do not overlap (`concurrencyPolicy: Forbid`).

use std::sync::{Arc, Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use lowtide_core::baseline::Baseline;
use lowtide_core::engine::{Application, Engine, Walked};
use lowtide_core::name::{AppKey, Location, OwnerId, RunId};
use lowtide_core::ports::{Catalog, CatalogError, Claim, Clock, Commit, ScheduleMemory};
use lowtide_core::run::{Context, Outcome, Run};
use lowtide_core::savepoint::Savepoint;

use crate::hands::Hands;
use crate::model::{Model, Write};
use crate::planted::ModelBug;
use crate::points::pass;
use crate::process::Body;
use crate::state::{Sim, State};
use crate::trouble::{Spot, Trouble};
use crate::wall::Wall;

/// How often the `CronJob` fires.
const EVERY: SignedDuration = SignedDuration::from_mins(12);
/// How often a pod is started again for the same slot (a Job's `backoffLimit`).
const AGAIN_MAX: u32 = 3;
/// How long a pod waits before it looks for what an earlier one may have asked for: as the product
/// page says.
const LOOKS_AFTER: SignedDuration = SignedDuration::from_secs(30);
/// How long it takes until a pod runs, in milliseconds.
const START_MS: (u64, u64) = (500, 40_000);

type Lowtide = Engine<Hands, Forgetful, Wall, fn(&Run, Option<&[Savepoint]>)>;

/// A catalog that dies with its pod.
struct Forgetful {
    sim: Arc<Sim>,
    process: usize,
    model: Mutex<Model>,
}

impl Forgetful {
    fn with<T>(&self, act: impl FnOnce(&mut Model) -> T) -> T {
        act(&mut self.model.lock().unwrap_or_else(PoisonError::into_inner))
    }

    async fn pass(&self, spot: Spot) {
        pass(&self.sim, self.process, spot, || {}).await;
    }
}

impl Catalog for Forgetful {
    async fn claim(
        &self,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> Result<Vec<Claim>, CatalogError> {
        Ok(self.with(|model| model.claim(runs, considered)))
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), CatalogError> {
        self.pass(Spot::BeforeCommit).await;
        let write = Write {
            run: commit.run.clone(),
            savepoints: commit.savepoints.to_vec(),
            begins: commit.begins,
            cap: commit.cap,
        };
        let before = self.with(|model| {
            let before = model.runs.get(&write.run.id).cloned();
            model.commit(&write).map(|()| before)
        })?;
        if let Some(before) = before {
            self.sim.with(|state, now| {
                state.tally.commits += 1;
                let app = state.app_ix(&write.run.application);
                state.journal.write(
                    now,
                    app,
                    format_args!(
                        "pod {} is at {} of run {}, attempts {}",
                        self.process,
                        write.run.phase.as_str(),
                        write.run.id,
                        write.run.attempts.len()
                    ),
                );
                state.witness_pod(now, &before, &write);
            });
        }
        self.pass(Spot::AfterCommit).await;
        Ok(())
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, CatalogError> {
        Ok(self.with(|model| model.runs.get(&id).cloned()))
    }

    async fn open_runs(&self) -> Result<Vec<Run>, CatalogError> {
        Ok(self.with(|model| model.open_runs()))
    }

    async fn looks_due(&self, now: Timestamp) -> Result<Vec<Run>, CatalogError> {
        Ok(self.with(|model| model.looks_due(now)))
    }

    async fn reads_due(&self, now: Timestamp) -> Result<Vec<Savepoint>, CatalogError> {
        Ok(self.with(|model| model.reads_due(now)))
    }

    async fn savepoints_of(&self, run: RunId) -> Result<Vec<Savepoint>, CatalogError> {
        Ok(self.with(|model| model.savepoints_of(run)))
    }

    async fn amend(&self, before: &Savepoint, after: &Savepoint) -> Result<(), CatalogError> {
        self.with(|model| model.amend(before, after))
    }

    async fn baseline(&self, location: &Location) -> Result<Option<Baseline>, CatalogError> {
        Ok(self.with(|model| model.baselines.get(location).cloned()))
    }

    async fn record_baseline(
        &self,
        location: &Location,
        baseline: &Baseline,
    ) -> Result<(), CatalogError> {
        self.with(|model| model.record_baseline(location, baseline));
        Ok(())
    }

    async fn context(&self, application: &AppKey) -> Result<Context, CatalogError> {
        Ok(self.with(|model| model.context(application)))
    }

    async fn schedule(
        &self,
        application: &AppKey,
        text: &str,
        now: Timestamp,
    ) -> Result<ScheduleMemory, CatalogError> {
        Ok(self.with(|model| model.schedule(application, text, now)))
    }
}

impl State {
    /// The application of the pods that run as this process; `None` if it has a catalog.
    pub fn pod_application(&self, process: usize) -> Option<usize> {
        let first_pod = self.processes.iter().position(|one| one.is_pod)?;
        Some(self.served + process.checked_sub(first_pod)?)
    }
}

/// One slot after the other, until the quiet period.
pub async fn pods(sim: Arc<Sim>, process: usize, application: usize) {
    let mut nominal = sim.now() + EVERY;
    loop {
        let wait = nominal.duration_since(sim.now());
        tokio::time::sleep(wait.try_into().unwrap_or_default()).await;
        if sim.is_quiet() {
            return;
        }
        sim.lock().pods_at_work += 1;
        slot(&sim, process, application, nominal).await;
        sim.lock().pods_at_work -= 1;
        while nominal <= sim.now() {
            nominal += EVERY;
        }
    }
}

/// The pods of one slot.
async fn slot(sim: &Arc<Sim>, process: usize, application: usize, nominal: Timestamp) {
    sim.lock().tally.slots += 1;
    for again in 0..=AGAIN_MAX {
        let start = sim.with(|state, now| {
            if again > 0 {
                let what = format!("slot {nominal}, {again}");
                state.trouble(now, Trouble::PodAgain, Some(application), &what);
            }
            state.ms(START_MS.0, START_MS.1)
        });
        tokio::time::sleep(start).await;
        let outcome = Arc::new(Mutex::new(None));
        let told = Arc::clone(&outcome);
        let work = |me| {
            let sim = Arc::clone(sim);
            async move {
                let ended = one_pod(sim, process, application, nominal, me).await;
                *told.lock().unwrap_or_else(PoisonError::into_inner) = ended;
            }
        };
        Body::begin(sim, process, work).await;
        let outcome = outcome
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if matches!(
            outcome,
            Some(Outcome::Kept { .. } | Outcome::Skipped { .. })
        ) {
            return;
        }
    }
}

async fn one_pod(
    sim: Arc<Sim>,
    process: usize,
    application: usize,
    nominal: Timestamp,
    me: OwnerId,
) -> Option<Outcome> {
    let (rules, blindly) = {
        let state = sim.lock();
        let rules: Arc<Application> = Arc::clone(&state.apps[application].rules);
        (rules, state.has(ModelBug::PodCallsBlindly))
    };
    let engine: Lowtide = Engine {
        world: Hands {
            sim: Arc::clone(&sim),
            process,
        },
        catalog: Forgetful {
            sim: Arc::clone(&sim),
            process,
            model: Mutex::new(Model::default()),
        },
        clock: Wall { sim, process },
        me,
        watch: |_, _| {},
    };
    let now = engine.clock.now();
    let next = Some(nominal + EVERY);
    let mut run = Run::of_slot(rules.key.clone(), nominal, next, now, &rules.policy);
    run.look_first_from = (!blindly).then_some(now + LOOKS_AFTER);
    let (run, _) = engine.claim(run).await.ok()?;
    match engine.walk(run, &rules.policy).await.ok()? {
        Walked::Ended(run) => run.outcome,
        Walked::Yielded => None,
    }
}
