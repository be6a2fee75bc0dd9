//! The catalog as a process sees it: the model, and what goes wrong on the way there.
//!
//! A write may fail before it happens, happen and be reported as failed, take seconds, and happen
//! or not when the process dies meanwhile.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use lowtide_core::baseline::Baseline;
use lowtide_core::name::{AppKey, Location, RunId};
use lowtide_core::ports::{Catalog, CatalogError, Claim, Commit, ScheduleMemory};
use lowtide_core::run::{Context, Run};
use lowtide_core::savepoint::Savepoint;
use rand::Rng;

use crate::model::Write;
use crate::planted::ModelBug;
use crate::points::pass;
use crate::state::{Sim, State};
use crate::trouble::{Spot, Trouble};

/// How long a slow catalog takes, in milliseconds; `SQLite`'s own busy time-out is 5 s.
const SLOW_MS: (u64, u64) = (50, 6_000);

/// The catalog in the hands of one process.
#[derive(Clone)]
pub struct Memory {
    /// The simulation.
    pub sim: Arc<Sim>,
    /// The process's index.
    pub process: usize,
}

/// What happens to one call.
#[derive(Debug, Clone, Copy, Default)]
struct Way {
    before: Duration,
    after: Duration,
    fails: bool,
    reply_lost: bool,
}

impl State {
    fn way_to_catalog(&mut self, now: Timestamp) -> Way {
        let mut way = Way {
            fails: self.chance(2),
            ..Way::default()
        };
        if way.fails {
            self.trouble(now, Trouble::CatalogBroken, None, "");
        } else {
            way.reply_lost = self.chance(2);
        }
        if way.reply_lost {
            self.trouble(now, Trouble::CatalogReplyLost, None, "");
        }
        if self.chance(10) {
            self.tally.count(Trouble::CatalogSlow);
            let slow = self.ms(SLOW_MS.0, SLOW_MS.1);
            if self.rng.random_bool(0.5) {
                way.before = slow;
            } else {
                way.after = slow;
            }
        }
        way
    }
}

fn broken(text: &str) -> CatalogError {
    CatalogError::Broken(text.to_owned())
}

impl Memory {
    /// A read: nothing to lose but the answer.
    async fn read<T>(&self, read: impl FnOnce(&mut State) -> T + Send) -> Result<T, CatalogError> {
        let way = self.sim.with(State::way_to_catalog);
        if way.before + way.after > Duration::ZERO {
            tokio::time::sleep(way.before + way.after).await;
        }
        if way.fails || way.reply_lost {
            return Err(broken("disk I/O error"));
        }
        Ok(read(&mut self.sim.lock()))
    }

    /// A write, by a process that may die over it.
    async fn write<T: Send + 'static>(
        &self,
        act: impl Fn(&mut State, Timestamp) -> Result<T, CatalogError> + Send + Sync + 'static,
    ) -> Result<T, CatalogError> {
        let act = Arc::new(act);
        let now_or_never = || {
            let _ = self.sim.with(|state, now| act(state, now));
        };
        pass(&self.sim, self.process, Spot::BeforeCommit, now_or_never).await;
        let way = self.sim.with(State::way_to_catalog);
        if way.fails {
            tokio::time::sleep(way.before).await;
            return Err(broken("database is locked"));
        }
        let done = if way.before > Duration::ZERO {
            self.write_later(way.before, act).await?
        } else {
            self.sim.with(|state, now| act(state, now))?
        };
        pass(&self.sim, self.process, Spot::AfterCommit, || {}).await;
        if way.after > Duration::ZERO {
            tokio::time::sleep(way.after).await;
        }
        if way.reply_lost {
            return Err(broken("connection lost"));
        }
        Ok(done)
    }

    /// A write that is on its way for a while: it arrives although the process dies meanwhile, or
    /// not.
    async fn write_later<T: Send + 'static>(
        &self,
        wait: Duration,
        act: Arc<impl Fn(&mut State, Timestamp) -> Result<T, CatalogError> + Send + Sync + 'static>,
    ) -> Result<T, CatalogError> {
        let survives = self.sim.with(|state, _| state.rng.random_bool(0.5));
        if !survives {
            tokio::time::sleep(wait).await;
            return self.sim.with(|state, now| act(state, now));
        }
        let sim = Arc::clone(&self.sim);
        let arrives = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            sim.with(|state, now| act(state, now))
        });
        arrives
            .await
            .unwrap_or_else(|_| Err(broken("the write panicked")))
    }
}

impl State {
    fn claim(
        &mut self,
        now: Timestamp,
        process: usize,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> Vec<Claim> {
        let rows: Vec<(Run, Option<Run>)> = runs
            .iter()
            .map(|run| (run.clone(), self.model.runs.get(&run.id).cloned()))
            .collect();
        let claims = self.model.claim(runs, considered);
        for (run, claim) in runs.iter().zip(&claims) {
            if *claim != Claim::Claimed {
                continue;
            }
            let app = self.app_ix(&run.application);
            match run.nominal() {
                Some(_) => self.tally.slots += 1,
                None => self.tally.requests += 1,
            }
            if let Some(outcome) = &run.outcome {
                *self.tally.outcomes.entry(outcome.short()).or_default() += 1;
            }
            self.journal.write(
                now,
                app,
                format_args!(
                    "process {process} claims run {} of {:?}: {}",
                    run.id,
                    run.nominal(),
                    run.outcome
                        .as_ref()
                        .map_or("due".to_owned(), lowtide_core::run::Outcome::short)
                ),
            );
        }
        self.witness_claim(now, &rows, &claims, considered);
        claims
    }

    fn commit(
        &mut self,
        now: Timestamp,
        process: usize,
        write: &Write,
    ) -> Result<(), CatalogError> {
        let before = self.model.runs.get(&write.run.id).cloned();
        self.model.commit(write)?;
        let Some(before) = before else { return Ok(()) };
        self.tally.commits += 1;
        let app = self.app_ix(&write.run.application);
        if before.owner.as_ref().map(|owner| &owner.who)
            != write.run.owner.as_ref().map(|owner| &owner.who)
            && before.owner.is_some()
            && write.run.owner.is_some()
        {
            self.trouble(now, Trouble::TakenOver, app, &format!("{}", write.run.id));
        }
        self.journal.write(
            now,
            app,
            format_args!(
                "process {process} commits {} v{}: {}, attempts {}{}{}{}",
                write.run.id,
                write.run.version,
                write.run.phase.as_str(),
                write.run.attempts.len(),
                write
                    .run
                    .hold
                    .as_ref()
                    .map_or_else(String::new, |hold| format!(", holds: {}", hold.why)),
                write
                    .run
                    .unknown
                    .as_ref()
                    .map_or_else(String::new, |unknown| format!(", unknown: {}", unknown.why)),
                write
                    .run
                    .outcome
                    .as_ref()
                    .map_or_else(String::new, |outcome| format!(", {}", outcome.short()))
            ),
        );
        if app.is_some() {
            self.witness_commit(now, &before, write);
        }
        if self.has(ModelBug::CommitNotDurable) {
            self.processes[process].last_commit = Some(before);
        }
        Ok(())
    }
}

impl Catalog for Memory {
    async fn claim(
        &self,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> Result<Vec<Claim>, CatalogError> {
        let runs = runs.to_vec();
        let considered = considered.map(|(key, until)| (key.clone(), until));
        let process = self.process;
        self.write(move |state, now| {
            let considered = considered.as_ref().map(|(key, until)| (key, *until));
            Ok(state.claim(now, process, &runs, considered))
        })
        .await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<(), CatalogError> {
        let write = Write {
            run: commit.run.clone(),
            savepoints: commit.savepoints.to_vec(),
            begins: commit.begins,
            cap: commit.cap,
        };
        let process = self.process;
        self.write(move |state, now| state.commit(now, process, &write))
            .await
    }

    async fn run(&self, id: RunId) -> Result<Option<Run>, CatalogError> {
        self.read(|state| state.model.runs.get(&id).cloned()).await
    }

    async fn open_runs(&self) -> Result<Vec<Run>, CatalogError> {
        self.read(|state| state.model.open_runs()).await
    }

    async fn looks_due(&self, now: Timestamp) -> Result<Vec<Run>, CatalogError> {
        self.read(|state| state.model.looks_due(now)).await
    }

    async fn reads_due(&self, now: Timestamp) -> Result<Vec<Savepoint>, CatalogError> {
        self.read(|state| state.model.reads_due(now)).await
    }

    async fn savepoints_of(&self, run: RunId) -> Result<Vec<Savepoint>, CatalogError> {
        self.read(|state| state.model.savepoints_of(run)).await
    }

    async fn amend(&self, before: &Savepoint, after: &Savepoint) -> Result<(), CatalogError> {
        let (before, after) = (before.clone(), after.clone());
        self.write(move |state, _| state.model.amend(&before, &after))
            .await
    }

    async fn baseline(&self, location: &Location) -> Result<Option<Baseline>, CatalogError> {
        self.read(|state| state.model.baselines.get(location).cloned())
            .await
    }

    async fn record_baseline(
        &self,
        location: &Location,
        baseline: &Baseline,
    ) -> Result<(), CatalogError> {
        let (location, baseline) = (location.clone(), baseline.clone());
        self.write(move |state, _| {
            state.model.record_baseline(&location, &baseline);
            Ok(())
        })
        .await
    }

    async fn context(&self, application: &AppKey) -> Result<Context, CatalogError> {
        self.read(|state| state.model.context(application)).await
    }

    async fn schedule(
        &self,
        application: &AppKey,
        text: &str,
        now: Timestamp,
    ) -> Result<ScheduleMemory, CatalogError> {
        let (application, text) = (application.clone(), text.to_owned());
        self.write(move |state, _| {
            state.witness.text_seen(&application, &text, now);
            Ok(state.model.schedule(&application, &text, now))
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use lowtide_core::ports::conformance::{self, Pausing};

    use super::*;
    use crate::scenario::draw;

    /// A catalog without faults, in the hands of the first process.
    fn quiet() -> Memory {
        let (base, mut state) = draw(1, false, None);
        state.quiet = true;
        Memory {
            sim: Sim::new(base, state),
            process: 0,
        }
    }

    impl Pausing for Memory {
        async fn pause(&self, application: &AppKey, now: Timestamp) -> Result<(), CatalogError> {
            self.sim.lock().model.pause(application, now);
            Ok(())
        }

        async fn unpause(&self, application: &AppKey, now: Timestamp) -> Result<(), CatalogError> {
            self.sim.lock().model.unpause(application, now);
            Ok(())
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_model_keeps_every_promise_of_the_port() {
        conformance::all(|| async { quiet() }).await;
    }

    #[tokio::test(start_paused = true)]
    async fn the_model_remembers_pauses() {
        conformance::pauses(&quiet()).await;
    }
}
