//! The three traits that the simulator replaces: [`World`], [`Catalog`] and [`Clock`].
//!
//! Static dispatch; methods return `impl Future + Send`, so that the program may walk runs on
//! any thread.

#[cfg(feature = "conformance")]
pub mod conformance;

use std::future::Future;

use jiff::Timestamp;

use crate::baseline::Baseline;
use crate::fault::Fault;
use crate::gate::Vitals;
use crate::name::{AppKey, JobId, Location, PlatformName, RunId};
use crate::resolve::JobSeen;
use crate::run::{Attempt, Context, Found, Operation, Reply, Run};
use crate::savepoint::Savepoint;
use crate::schedule::Pause;
use crate::verify::Reading;

/// Wall-clock time, and waiting for it.
pub trait Clock: Send + Sync {
    /// Now.
    fn now(&self) -> Timestamp;
    /// Waits until the wall clock shows this time.
    fn sleep_until(&self, at: Timestamp) -> impl Future<Output = ()> + Send;
}

/// Platforms and stores: one piece of I/O a method, nothing decided.
pub trait World: Send + Sync {
    /// The jobs of this name, ended ones too, and others that may have been meant. Where the
    /// platform cannot see every job, [`FaultKind::Gone`](crate::fault::FaultKind::Gone) may say
    /// in its own words that it sees none of this name, and why that may be.
    fn jobs(
        &self,
        platform: &PlatformName,
        name: &str,
    ) -> impl Future<Output = Result<Vec<JobSeen>, Fault>> + Send;

    /// What the job looks like just now; [`FaultKind::Gone`](crate::fault::FaultKind::Gone) if
    /// there is no such job.
    fn vitals(
        &self,
        platform: &PlatformName,
        job: &JobId,
    ) -> impl Future<Output = Result<Vitals, Fault>> + Send;

    /// The same for a gate that the run has not been at before: an answer to a question that was put
    /// since the run was asked for will do.
    fn first_vitals(
        &self,
        platform: &PlatformName,
        job: &JobId,
    ) -> impl Future<Output = Result<Vitals, Fault>> + Send {
        self.vitals(platform, job)
    }

    /// Makes the attempt's one call.
    fn trigger(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> impl Future<Output = Reply> + Send;

    /// Asks what became of the attempt's trigger id; where the platform takes none, of the
    /// savepoint that it named, or what it lists.
    fn operation(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<Operation, Fault>> + Send;

    /// Lists the directories in the attempt's own one; where the platform chooses the directory,
    /// what it lists as completed since the request. One that does not exist is empty, but only
    /// where the directory that it would lie in can be seen: else it is a fault, because absence
    /// that cannot be told from blindness proves nothing.
    fn directories(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> impl Future<Output = Result<Vec<Found>, Fault>> + Send;

    /// Reads a savepoint's `_metadata` and the sizes of all that it references.
    fn read(
        &self,
        platform: &PlatformName,
        location: &Location,
    ) -> impl Future<Output = Result<Reading, Fault>> + Send;
}

/// Why the catalog could not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    /// Somebody else committed a step of this run meanwhile.
    #[error("the run was changed by another process")]
    Stale,
    /// The run may not begin, or go on, now; why, for people.
    #[error("{0}")]
    Busy(String),
    /// The catalog itself does not work.
    #[error("the catalog: {0}")]
    Broken(String),
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// The row is ours.
    Claimed,
    /// The slot had been claimed before; its row as it is.
    Taken(Box<Run>),
}

/// What the catalog remembers of an application's schedule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScheduleMemory {
    /// Up to when slots have been considered; never before the schedule's text was first seen.
    pub considered_until: Timestamp,
    /// When the application was paused, as far as that concerns later slots.
    pub pauses: Vec<Pause>,
}

/// A step of a run, to be committed as one.
#[derive(Debug, Clone, Copy)]
pub struct Commit<'a> {
    /// The row as it becomes; its `version` is one more than the version that it replaces.
    pub run: &'a Run,
    /// Savepoints to record with it.
    pub savepoints: &'a [Savepoint],
    /// The run begins: refused as [`CatalogError::Busy`] while another run of the application is
    /// between due and done.
    pub begins: bool,
    /// The run is about to trigger: refused as [`CatalogError::Busy`] while this many runs of the
    /// platform are triggering or following.
    pub cap: Option<u32>,
}

/// The memory: rows under a version check.
pub trait Catalog: Send + Sync {
    /// Inserts new runs and moves the application's memory forward, all in one transaction. A
    /// run whose id is there already is left as it is. One answer for each run. A memory that is
    /// further already, or of which nothing is remembered yet, stays as it is.
    fn claim(
        &self,
        runs: &[Run],
        considered: Option<(&AppKey, Timestamp)>,
    ) -> impl Future<Output = Result<Vec<Claim>, CatalogError>> + Send;

    /// Commits a step, if the row still has the version before it: else
    /// [`CatalogError::Stale`], whatever else is in its way. A savepoint whose location is known
    /// already is recorded if it [replaces](Savepoint::replaces) what is there.
    fn commit(&self, commit: Commit<'_>) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// One run.
    fn run(&self, id: RunId) -> impl Future<Output = Result<Option<Run>, CatalogError>> + Send;

    /// Every run that has not ended, oldest first.
    fn open_runs(&self) -> impl Future<Output = Result<Vec<Run>, CatalogError>> + Send;

    /// Ended runs whose directories are to be looked into at or before this time, oldest first.
    fn looks_due(
        &self,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Run>, CatalogError>> + Send;

    /// Savepoints that are to be read again at or before this time, oldest first.
    fn reads_due(
        &self,
        now: Timestamp,
    ) -> impl Future<Output = Result<Vec<Savepoint>, CatalogError>> + Send;

    /// The savepoints that a run left, oldest first.
    fn savepoints_of(
        &self,
        run: RunId,
    ) -> impl Future<Output = Result<Vec<Savepoint>, CatalogError>> + Send;

    /// Replaces a savepoint's record, if it still is exactly as `before` says and the location
    /// stays the same: else [`CatalogError::Stale`].
    fn amend(
        &self,
        before: &Savepoint,
        after: &Savepoint,
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// What later readings of a savepoint are compared with.
    fn baseline(
        &self,
        location: &Location,
    ) -> impl Future<Output = Result<Option<Baseline>, CatalogError>> + Send;

    /// Records what later readings of a savepoint are compared with, if nothing is recorded or it
    /// [replaces](Baseline::replaces) what is.
    fn record_baseline(
        &self,
        location: &Location,
        baseline: &Baseline,
    ) -> impl Future<Output = Result<(), CatalogError>> + Send;

    /// Medians over the application's latest good kept savepoints, and how many runs have not ended
    /// ([`Context::of_measures`]).
    fn context(
        &self,
        application: &AppKey,
    ) -> impl Future<Output = Result<Context, CatalogError>> + Send;

    /// What is remembered of the application's schedule, with the pauses that end after what
    /// was considered, or last. A text that is not the one remembered is remembered from `now`
    /// on: no slot before that ever fires.
    fn schedule(
        &self,
        application: &AppKey,
        text: &str,
        now: Timestamp,
    ) -> impl Future<Output = Result<ScheduleMemory, CatalogError>> + Send;
}
