//! All that there is in one seed, behind one lock, and the chances that are drawn from it.
//!
//! The lock is never held over an await point. One source of randomness serves all, in the order
//! in which things happen; the runtime has one thread and a paused clock, so that order is a
//! function of the seed.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use lowtide_core::engine::Application;
use lowtide_core::name::{AppKey, JobId, OwnerId, PlatformName};
use lowtide_core::schedule::Schedule;
use rand::Rng;
use rand::rngs::SmallRng;
use tokio::time::Instant;

use crate::fleet::Platform;
use crate::journal::Journal;
use crate::law::{Invariant, Violation};
use crate::model::Model;
use crate::planted::ModelBug;
use crate::trouble::{Spot, Tally, Trouble};
use crate::witness::Witness;

/// How far a process's wall clock may be from true time, in milliseconds. Two processes then
/// differ by less than `lowtide_core::run::CLOCKS_APART_MAX`.
pub const SKEW_MS_MAX: i64 = 9_000;

/// An application of the simulated fleet.
pub struct App {
    /// Its rules just now, as every process has them.
    pub rules: Arc<Application>,
    /// The platform's index.
    pub platform: usize,
    /// Every schedule that it ever had.
    pub schedules: Vec<Schedule>,
}

/// A process of Lowtide, as the simulation sees it from outside.
#[derive(Default)]
pub struct Process {
    /// Who it is in the catalog during this life.
    pub owner: Option<OwnerId>,
    /// Counts its lives.
    pub life: u32,
    /// Set when it is to crash, with the spot.
    pub crash: Option<Spot>,
    /// The row that its last commit replaced, for a catalog that is not durable.
    pub last_commit: Option<lowtide_core::run::Run>,
    /// It makes no progress until then.
    pub stalled_until: Option<Instant>,
    /// How to wake it.
    pub waker: Option<Waker>,
    /// What its wall clock shows more than true time, in milliseconds.
    pub offset_ms: i64,
    /// How fast that grows, in parts of a million.
    pub drift_ppm: i64,
    /// Whether it is a pod without a catalog. Its clock is not set: what it waits for before it
    /// looks would be as uncertain as the clock.
    pub is_pod: bool,
}

/// Everything.
pub struct State {
    /// The one source of randomness.
    pub rng: SmallRng,
    /// What happened.
    pub journal: Journal,
    /// How often.
    pub tally: Tally,
    /// No more faults.
    pub quiet: bool,
    /// The planted bug, if it is in a model.
    pub bug: Option<ModelBug>,
    /// The fleet's applications.
    pub apps: Vec<App>,
    /// How many of them, the first ones, are served by processes with a catalog; pods without one
    /// take care of the others.
    pub served: usize,
    /// How many pods are at work.
    pub pods_at_work: usize,
    /// Their indices.
    pub by_key: BTreeMap<AppKey, usize>,
    /// The platforms.
    pub platforms: Vec<Platform>,
    /// Their indices.
    pub by_platform: BTreeMap<PlatformName, usize>,
    /// The catalog.
    pub model: Model,
    /// What invariants need to remember.
    pub witness: Witness,
    /// The processes.
    pub processes: Vec<Process>,
    /// The first broken invariant.
    pub violation: Option<Violation>,
    /// The zone of the schedules.
    pub zone: jiff::tz::TimeZone,
    /// Counts jobs and savepoints.
    pub serial: u64,
}

impl State {
    /// Whether something of this chance happens; never in the quiet period.
    pub fn chance(&mut self, of_a_thousand: u32) -> bool {
        !self.quiet && self.rng.random_ratio(of_a_thousand, 1000)
    }

    /// Breaks an invariant; the first counts.
    pub fn violate(
        &mut self,
        at: Timestamp,
        invariant: Invariant,
        application: Option<usize>,
        text: String,
    ) {
        self.journal
            .write(at, application, format_args!("BROKEN {invariant}: {text}"));
        self.violation.get_or_insert(Violation {
            invariant,
            at,
            application,
            text,
        });
    }

    /// Whether this bug is planted.
    pub fn has(&self, bug: ModelBug) -> bool {
        self.bug == Some(bug)
    }

    /// A new job id.
    pub fn job_id(&mut self) -> JobId {
        self.serial += 1;
        JobId::new(format!(
            "{:016x}{:016x}",
            self.rng.random::<u64>(),
            self.serial
        ))
    }

    /// The index of a platform that is configured.
    pub fn platform_ix(&self, name: &PlatformName) -> usize {
        *self
            .by_platform
            .get(name)
            .expect("processes are configured with the fleet's own platforms")
    }

    /// The index of an application, if it is one of the fleet.
    pub fn app_ix(&self, key: &AppKey) -> Option<usize> {
        self.by_key.get(key).copied()
    }

    /// A time between two, in milliseconds.
    pub fn ms(&mut self, from: u64, to: u64) -> Duration {
        Duration::from_millis(self.rng.random_range(from..=to))
    }
}

/// The simulation: shared by everything in it.
pub struct Sim {
    started: Instant,
    base: Timestamp,
    state: Mutex<State>,
}

impl Sim {
    /// Begins; must be called within the paused runtime.
    pub fn new(base: Timestamp, state: State) -> Arc<Self> {
        Arc::new(Self {
            started: Instant::now(),
            base,
            state: Mutex::new(state),
        })
    }

    /// True time.
    pub fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed())
            .expect("a simulation lasts days, not ages");
        self.base + elapsed
    }

    /// What a process's wall clock shows.
    pub fn wall(&self, process: usize) -> Timestamp {
        let now = self.now();
        let elapsed_ms = now.duration_since(self.base).as_millis();
        let state = self.lock();
        let process = &state.processes[process];
        let drift = i64::try_from(elapsed_ms).unwrap_or(i64::MAX) / 1000 * process.drift_ppm / 1000;
        let skew = (process.offset_ms + drift).clamp(-SKEW_MS_MAX, SKEW_MS_MAX);
        now + SignedDuration::from_millis(skew)
    }

    /// Everything.
    pub fn lock(&self) -> MutexGuard<'_, State> {
        // One thread: a poisoned lock means that this thread panics already.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something at this moment.
    pub fn with<T>(&self, act: impl FnOnce(&mut State, Timestamp) -> T) -> T {
        let now = self.now();
        act(&mut self.lock(), now)
    }

    /// Counts and writes down a trouble.
    pub fn trouble(&self, trouble: Trouble, application: Option<usize>, what: &str) {
        self.with(|state, now| state.trouble(now, trouble, application, what));
    }

    /// Whether faults are over.
    pub fn is_quiet(&self) -> bool {
        self.lock().quiet
    }
}

impl State {
    /// Counts and writes down a trouble.
    pub fn trouble(
        &mut self,
        now: Timestamp,
        trouble: Trouble,
        application: Option<usize>,
        what: &str,
    ) {
        self.tally.count(trouble);
        self.journal.write(
            now,
            application,
            format_args!("{}: {what}", trouble.label()),
        );
    }
}
