//! The catalog in memory, with the port's promises and no faults of its own; what a process gets
//! to see of it is [`crate::memory`]'s.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lowtide_core::baseline::Baseline;
use lowtide_core::name::{AppKey, Location, PlatformName, RunId};
use lowtide_core::ports::{CatalogError, Claim, ScheduleMemory};
use lowtide_core::run::{CONTEXT_SAVEPOINTS, Context, Phase, Run};
use lowtide_core::savepoint::{Savepoint, Standing};
use lowtide_core::schedule::Pause;

/// What is remembered of a schedule.
#[derive(Debug, Clone)]
pub struct Remembered {
    /// The text.
    pub text: String,
    /// Up to when slots have been considered.
    pub considered_until: Timestamp,
}

/// An owned [`lowtide_core::ports::Commit`].
#[derive(Debug, Clone)]
pub struct Write {
    /// The row as it becomes.
    pub run: Run,
    /// Savepoints to record.
    pub savepoints: Vec<Savepoint>,
    /// Whether the run begins.
    pub begins: bool,
    /// The cap to respect, if the run is about to trigger.
    pub cap: Option<u32>,
}

/// Which rules a broken model leaves out.
#[derive(Debug, Clone, Copy, Default)]
// Each rule is left out by itself.
#[expect(clippy::struct_excessive_bools)]
pub struct Lapses {
    /// No version check.
    pub versions: bool,
    /// No cap.
    pub cap: bool,
    /// No savepoints.
    pub savepoints: bool,
    /// Claims replace.
    pub claims: bool,
    /// No pauses.
    pub pauses: bool,
}

/// The rows.
#[derive(Debug, Default)]
pub struct Model {
    /// Runs.
    pub runs: BTreeMap<RunId, Run>,
    open: BTreeSet<RunId>,
    looking: BTreeSet<RunId>,
    reading: BTreeSet<Location>,
    /// Savepoints.
    pub savepoints: BTreeMap<Location, Savepoint>,
    /// What later readings of savepoints are compared with.
    pub baselines: BTreeMap<Location, Baseline>,
    /// Schedules.
    pub schedules: BTreeMap<AppKey, Remembered>,
    /// Pauses.
    pub pauses: BTreeMap<AppKey, Vec<Pause>>,
    /// What it leaves out on purpose.
    pub lapses: Lapses,
}

impl Model {
    /// An empty one that leaves some rules out.
    pub fn with_lapses(lapses: Lapses) -> Self {
        Self {
            lapses,
            ..Self::default()
        }
    }

    /// Runs that have not ended.
    pub fn open(&self) -> impl Iterator<Item = &Run> {
        self.open.iter().filter_map(|id| self.runs.get(id))
    }

    /// See [`lowtide_core::ports::Catalog::claim`].
    pub fn claim(&mut self, runs: &[Run], considered: Option<(&AppKey, Timestamp)>) -> Vec<Claim> {
        let claims = runs
            .iter()
            .map(|run| match self.runs.get(&run.id) {
                Some(row) if !self.lapses.claims => Claim::Taken(Box::new(row.clone())),
                _ => {
                    self.put(run.clone());
                    Claim::Claimed
                }
            })
            .collect();
        if let Some((key, until)) = considered
            && let Some(memory) = self.schedules.get_mut(key)
        {
            memory.considered_until = memory.considered_until.max(until);
        }
        claims
    }

    /// See [`lowtide_core::ports::Catalog::commit`].
    pub fn commit(&mut self, write: &Write) -> Result<(), CatalogError> {
        let run = &write.run;
        let Some(row) = self.runs.get(&run.id) else {
            return Err(CatalogError::Stale);
        };
        if row.version + 1 != run.version && !self.lapses.versions {
            return Err(CatalogError::Stale);
        }
        if write.begins
            && let Some(other) = self.begun(&run.application, run.id)
        {
            return Err(CatalogError::Busy(format!("run {} is under way", other.id)));
        }
        if let Some(cap) = write.cap
            && !self.lapses.cap
            && self.under_way(&run.application.platform, run.id) >= cap as usize
        {
            return Err(CatalogError::Busy(format!(
                "{cap} savepoints are under way"
            )));
        }
        self.put(run.clone());
        if !self.lapses.savepoints {
            for new in &write.savepoints {
                let known = self.savepoints.get(&new.location);
                if known.is_none_or(|known| new.replaces(known)) {
                    self.record(new.clone());
                }
            }
        }
        Ok(())
    }

    fn begun(&self, application: &AppKey, except: RunId) -> Option<&Run> {
        self.open().find(|run| {
            run.id != except && run.application == *application && run.phase > Phase::Due
        })
    }

    /// How many runs of a platform trigger or follow, besides one.
    pub fn under_way(&self, platform: &PlatformName, except: RunId) -> usize {
        self.open()
            .filter(|run| run.id != except && run.application.platform == *platform)
            .filter(|run| run.is_triggered())
            .count()
    }

    /// Stores a row, whatever was there.
    pub fn put(&mut self, run: Run) {
        set(&mut self.open, run.id, run.phase != Phase::Done);
        set(
            &mut self.looking,
            run.id,
            run.phase == Phase::Done && run.look_at.is_some(),
        );
        self.runs.insert(run.id, run);
    }

    /// Stores a savepoint's record.
    pub fn record(&mut self, savepoint: Savepoint) {
        set(
            &mut self.reading,
            savepoint.location.clone(),
            savepoint.verify_at.is_some(),
        );
        self.savepoints
            .insert(savepoint.location.clone(), savepoint);
    }

    /// See [`lowtide_core::ports::Catalog::open_runs`].
    pub fn open_runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = self.open().cloned().collect();
        runs.sort_by_key(|run| (run.created_at, run.id));
        runs
    }

    /// See [`lowtide_core::ports::Catalog::looks_due`].
    pub fn looks_due(&self, now: Timestamp) -> Vec<Run> {
        let due = |run: &&Run| run.look_at.is_some_and(|at| at <= now);
        let mut runs: Vec<Run> = self
            .looking
            .iter()
            .filter_map(|id| self.runs.get(id))
            .filter(due)
            .cloned()
            .collect();
        runs.sort_by_key(|run| (run.look_at, run.id));
        runs
    }

    /// Whether looks are still to come.
    pub fn looks_pending(&self) -> bool {
        !self.looking.is_empty()
    }

    /// See [`lowtide_core::ports::Catalog::reads_due`].
    pub fn reads_due(&self, now: Timestamp) -> Vec<Savepoint> {
        let due = |one: &&Savepoint| one.verify_at.is_some_and(|at| at <= now);
        let mut savepoints: Vec<Savepoint> = self
            .reading
            .iter()
            .filter_map(|location| self.savepoints.get(location))
            .filter(due)
            .cloned()
            .collect();
        savepoints.sort_by_key(|one| one.verify_at);
        savepoints
    }

    /// See [`lowtide_core::ports::Catalog::savepoints_of`].
    pub fn savepoints_of(&self, run: RunId) -> Vec<Savepoint> {
        let mut savepoints: Vec<Savepoint> = self
            .savepoints
            .values()
            .filter(|one| one.run() == Some(run))
            .cloned()
            .collect();
        savepoints.sort_by_key(|one| one.taken_at);
        savepoints
    }

    /// See [`lowtide_core::ports::Catalog::amend`].
    pub fn amend(&mut self, before: &Savepoint, after: &Savepoint) -> Result<(), CatalogError> {
        if self.savepoints.get(&before.location) != Some(before)
            || before.location != after.location
        {
            return Err(CatalogError::Stale);
        }
        self.record(after.clone());
        Ok(())
    }

    /// See [`lowtide_core::ports::Catalog::record_baseline`].
    pub fn record_baseline(&mut self, location: &Location, baseline: &Baseline) {
        let known = self.baselines.get(location);
        if known.is_none_or(|known| baseline.replaces(known)) {
            self.baselines.insert(location.clone(), baseline.clone());
        }
    }

    /// See [`lowtide_core::ports::Catalog::context`].
    pub fn context(&self, application: &AppKey) -> Context {
        let mut good: Vec<&Savepoint> = self
            .savepoints
            .values()
            .filter(|one| one.application == *application && one.is_good())
            .filter(|one| one.standing == Standing::Kept)
            .collect();
        good.sort_by_key(|one| std::cmp::Reverse(one.taken_at));
        good.truncate(CONTEXT_SAVEPOINTS);
        let durations = good.iter().filter_map(|one| one.duration_ms).collect();
        let sizes = good
            .iter()
            .filter_map(|one| one.verification.report())
            .map(|report| report.state_bytes)
            .collect();
        let company = u32::try_from(self.open().count()).unwrap_or(u32::MAX);
        Context::of_measures(durations, sizes, company)
    }

    /// See [`lowtide_core::ports::Catalog::schedule`].
    pub fn schedule(&mut self, application: &AppKey, text: &str, now: Timestamp) -> ScheduleMemory {
        let fresh = || Remembered {
            text: text.to_owned(),
            considered_until: now,
        };
        let memory = self
            .schedules
            .entry(application.clone())
            .or_insert_with(fresh);
        if memory.text != text {
            *memory = fresh();
        }
        let pauses = if self.lapses.pauses {
            Vec::new()
        } else {
            // What ended by then concerns no later slot.
            let considered_until = memory.considered_until;
            let pauses = self.pauses.get(application).into_iter().flatten();
            pauses
                .filter(|pause| pause.until.is_none_or(|until| until > considered_until))
                .copied()
                .collect()
        };
        ScheduleMemory {
            considered_until: memory.considered_until,
            pauses,
        }
    }

    /// Pauses an application, if it is not.
    pub fn pause(&mut self, application: &AppKey, from: Timestamp) {
        let pauses = self.pauses.entry(application.clone()).or_default();
        if pauses.last().is_none_or(|pause| pause.until.is_some()) {
            pauses.push(Pause { from, until: None });
        }
    }

    /// Ends an application's pause, if it is paused.
    pub fn unpause(&mut self, application: &AppKey, until: Timestamp) {
        if let Some(pause) = self
            .pauses
            .get_mut(application)
            .and_then(|pauses| pauses.last_mut())
            .filter(|pause| pause.until.is_none())
        {
            pause.until = Some(until.max(pause.from));
        }
    }
}

fn set<K: Ord>(keys: &mut BTreeSet<K>, key: K, there: bool) {
    if there {
        keys.insert(key);
    } else {
        keys.remove(&key);
    }
}
