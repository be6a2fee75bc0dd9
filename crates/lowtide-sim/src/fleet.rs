//! The truth about platforms, jobs and savepoints, whatever any process believes.
//!
//! It follows Flink where Flink is what matters: a trigger id is remembered by one incarnation of
//! the `JobManager` until five minutes after its end; an answer of 202 promises nothing;
//! statistics lag; a savepoint's directory exists before its `_metadata`, which is written last;
//! a killed `JobManager` forgets all requests and loses pending savepoints.
//!
//! Some platforms are like Ververica Platform instead: a savepoint is a resource with an id of the
//! platform's own, in a directory that the platform chooses; no request is ever recognised, and
//! nothing is forgotten but what somebody deletes.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use lowtide_core::name::{JobId, Location, PlatformName, RunId, SavepointId, TriggerId};
use lowtide_core::resolve::{JobSeen, JobState};
use lowtide_core::run::{Attempt, Cause, Found, Listed, ListedState};

/// How long a platform remembers a result (`rest.async.store-duration`, Flink's default).
pub const STORE_DURATION: SignedDuration = SignedDuration::from_mins(5);
/// How far statistics lag behind (Flink caches them for 3 s).
pub const STATISTICS_LAG: SignedDuration = SignedDuration::from_secs(3);

/// What lies between Lowtide and a platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Link {
    /// Nothing in the way.
    Clear,
    /// Connections are refused.
    Refused,
    /// A proxy answers 5xx.
    ServerError,
    /// Nothing is ever answered.
    Silent,
    /// The token is refused.
    Denied,
}

/// Whether Lowtide can read the store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Store {
    /// It can.
    Readable,
    /// Not for the moment, since then.
    Away,
    /// Never: Lowtide has no hands for it.
    Blind,
}

/// One platform.
#[derive(Debug)]
pub struct Platform {
    /// What configurations call it.
    pub name: PlatformName,
    /// Whether jobs survive the `JobManager`.
    pub ha: bool,
    /// Whether the `JobManager` runs.
    pub up: bool,
    /// When it last came up: the start of its incarnation.
    pub up_since: Timestamp,
    /// Counts incarnations.
    pub incarnation: u64,
    /// The way there.
    pub link: Link,
    /// The store.
    pub store: Store,
    /// When store or link last changed: what could be seen since then.
    pub seen_well_since: Timestamp,
    /// How many savepoints may be under way.
    pub cap: u32,
    /// Where savepoints go by default.
    pub base: Location,
    /// What it is like, if it takes no trigger ids.
    pub lister: Option<Lister>,
    /// Jobs, ended ones too.
    pub jobs: BTreeMap<JobId, Job>,
    /// What the `JobManager` remembers of requests.
    pub operations: BTreeMap<(JobId, TriggerId), OperationTruth>,
    /// Directories of savepoints.
    pub directories: BTreeMap<Location, Directory>,
}

impl Platform {
    /// What is remembered under a trigger id just now.
    pub fn remembered(
        &self,
        job: &JobId,
        id: TriggerId,
        now: Timestamp,
    ) -> Option<&OperationTruth> {
        self.operations
            .get(&(job.clone(), id))
            .filter(|operation| operation.is_remembered(now))
    }

    /// The directories in an attempt's own one.
    pub fn directories_of(&self, attempt: &Attempt) -> Vec<Found> {
        let Some(own) = &attempt.directory else {
            return Vec::new();
        };
        let prefix = format!("{}/", own.target);
        self.directories
            .range(own.target.clone()..)
            .take_while(|(location, _)| location.as_str().starts_with(own.target.as_str()))
            .filter(|(location, _)| location.as_str().starts_with(&prefix))
            .map(|(location, directory)| Found {
                location: location.clone(),
                has_metadata: directory.has_metadata,
                foreign: false,
            })
            .collect()
    }

    /// The savepoint resources of a job, listed or not.
    pub fn resources_of(
        &self,
        job: &JobId,
    ) -> impl Iterator<Item = (&Resource, &OperationTruth)> + use<'_> {
        let job = job.clone();
        self.operations
            .range((job.clone(), TriggerId::from_bytes([0; 16]))..)
            .take_while(move |((of, _), _)| *of == job)
            .filter_map(|(_, truth)| truth.resource.as_ref().map(|one| (one, truth)))
    }

    /// As the platform lists a job's savepoints just now.
    pub fn listed(&self, job: &JobId, now: Timestamp) -> Vec<Listed> {
        self.resources_of(job)
            .filter(|(resource, _)| resource.listed_from <= now)
            .map(|(resource, truth)| Listed {
                id: resource.id.clone(),
                requested: true,
                mark: resource.mark,
                created_at: resource.created_at,
                state: match &truth.fate {
                    Fate::InProgress => ListedState::InProgress,
                    Fate::Completed(location) => ListedState::Completed(location.clone()),
                    Fate::Failed(cause) => ListedState::Failed(cause.clone()),
                },
            })
            .collect()
    }

    /// What became of the savepoint that the platform calls so; `None` if there is none.
    pub fn resource(&self, job: &JobId, id: &SavepointId) -> Option<&OperationTruth> {
        self.resources_of(job)
            .find(|(resource, _)| resource.id == *id)
            .map(|(_, truth)| truth)
    }

    /// The resource whose savepoint lies there.
    pub fn resource_at(&self, location: &Location) -> Option<(&Resource, &OperationTruth)> {
        self.operations
            .values()
            .find(|truth| truth.location == *location)
            .and_then(|truth| truth.resource.as_ref().map(|one| (one, truth)))
    }

    /// What a job's list shows complete since an attempt's request, as far as it may concern the
    /// attempt: what carries another run's mark does not.
    pub fn completed_since(&self, attempt: &Attempt, now: Timestamp) -> Vec<Found> {
        let Some(listing) = &attempt.listing else {
            return Vec::new();
        };
        let ours = |one: &Listed| {
            one.mark == Some(attempt.trigger_id)
                || !listing.foreign && listing.savepoint.as_ref() == Some(&one.id)
        };
        self.listed(&attempt.job, now)
            .into_iter()
            .filter(|one| ours(one) || one.mark.is_none() && !listing.before.contains(&one.id))
            .filter_map(|one| match &one.state {
                ListedState::Completed(location) => Some(Found {
                    location: location.clone(),
                    has_metadata: true,
                    foreign: !ours(&one),
                }),
                _ => None,
            })
            .collect()
    }

    /// As the platform lists its jobs.
    pub fn jobs_seen(&self) -> Vec<JobSeen> {
        self.jobs
            .iter()
            .map(|(id, job)| JobSeen {
                id: id.clone(),
                name: job.name.clone(),
                state: job.state,
                started_at: job.started_at,
            })
            .collect()
    }

    /// The one job of an application that has not ended.
    pub fn live_job(&self, application: usize) -> Option<JobId> {
        self.jobs
            .iter()
            .find(|(_, job)| job.application == application && !job.state.is_ended())
            .map(|(id, _)| id.clone())
    }
}

/// One job.
#[derive(Debug, Clone)]
pub struct Job {
    /// Whose it is.
    pub application: usize,
    /// Its name.
    pub name: String,
    /// Where it is in its life.
    pub state: JobState,
    /// When its incarnation began.
    pub started_at: Timestamp,
    /// When it last restarted.
    pub restarted_at: Option<Timestamp>,
    /// Whether all its tasks run.
    pub ready: bool,
    /// Its limit for a savepoint, if that can be read.
    pub timeout_told: Option<SignedDuration>,
    /// Its limit for a savepoint.
    pub timeout: SignedDuration,
    /// How many failed checkpoints it tolerates.
    pub tolerable_failures: Option<u32>,
    /// Until when a checkpoint is in progress.
    pub checkpoint_until: Option<Timestamp>,
    /// Until when it is under back-pressure.
    pub pressed_until: Option<Timestamp>,
    /// Savepoints in progress, and the last ones that were: when each began and ended.
    pub savepoints: Vec<(Timestamp, Option<Timestamp>)>,
}

impl Job {
    /// Whether a savepoint was in progress at a time.
    pub fn busy_at(&self, at: Timestamp) -> bool {
        self.savepoints
            .iter()
            .any(|(from, until)| *from <= at && until.is_none_or(|until| at < until))
    }

    /// Marks the end of the savepoint that began then, and forgets what nobody asks about.
    pub fn savepoint_ended(&mut self, began: Timestamp, now: Timestamp) {
        if let Some(entry) = self
            .savepoints
            .iter_mut()
            .find(|(from, until)| *from == began && until.is_none())
        {
            entry.1 = Some(now);
        }
        self.savepoints.retain(|(_, until)| {
            until.is_none_or(|until| now.duration_since(until) < STATISTICS_LAG * 60)
        });
    }
}

/// What became of a request, as the platform has it.
#[derive(Debug, Clone)]
pub enum Fate {
    /// Under way.
    InProgress,
    /// It left a savepoint.
    Completed(Location),
    /// It failed.
    Failed(Cause),
}

/// What a platform is like that takes no trigger ids.
#[derive(Debug, Clone, Copy)]
pub struct Lister {
    /// Whether it keeps the marks that requests carry.
    pub keeps_marks: bool,
    /// What its clock shows more than true time.
    pub skew: SignedDuration,
}

/// A savepoint as a thing of its own.
#[derive(Debug, Clone)]
pub struct Resource {
    /// What the platform calls it.
    pub id: SavepointId,
    /// The mark of the request, where the platform keeps it.
    pub mark: Option<TriggerId>,
    /// When it was made, by the platform's clock.
    pub created_at: Timestamp,
    /// From when on lists show it.
    pub listed_from: Timestamp,
}

/// Whoever asked, it was nobody of us.
pub const SOMEONE: (RunId, u32) = (RunId::from_bytes([0; 16]), 0);

/// A request that the platform has taken up.
#[derive(Debug, Clone)]
pub struct OperationTruth {
    /// Whose it is.
    pub run: RunId,
    /// Which attempt.
    pub attempt: u32,
    /// The incarnation that took it up.
    pub incarnation: u64,
    /// When it was taken up.
    pub began: Timestamp,
    /// Its directory.
    pub location: Location,
    /// What became of it.
    pub fate: Fate,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What is listed of it, where the platform takes no trigger ids.
    pub resource: Option<Resource>,
}

impl OperationTruth {
    /// Whether the platform still knows it.
    pub fn is_remembered(&self, now: Timestamp) -> bool {
        self.ended
            .is_none_or(|ended| now.duration_since(ended) < STORE_DURATION)
    }
}

/// How a savepoint's files are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Files {
    /// All there, all as long as they must be.
    Whole,
    /// One is missing.
    Missing,
    /// One is too short.
    Short,
    /// The `_metadata` is cut.
    Cut,
}

/// A savepoint's directory.
#[derive(Debug, Clone)]
pub struct Directory {
    /// Whose it is.
    pub application: usize,
    /// Which run's attempt asked for it; [`SOMEONE`] if none did.
    pub of: (RunId, u32),
    /// Whether it has a `_metadata`.
    pub has_metadata: bool,
    /// How its files are.
    pub files: Files,
    /// Until when its `_metadata` is visible, but not yet whole.
    pub grows_until: Timestamp,
    /// Flink's number.
    pub checkpoint: u64,
    /// Bytes of its one data file.
    pub bytes: u64,
}

/// What is true of an attempt.
#[derive(Debug, Clone, Default)]
pub struct AttemptTruth {
    /// Calls that a process began to make.
    pub calls: u32,
    /// Requests on their way.
    pub in_flight: BTreeSet<u64>,
    /// Requests taken up that have not ended.
    pub in_progress: u32,
    /// Requests taken up so far.
    pub taken: u32,
    /// By which processes, as far as the platform was up: each has its own time of the grant.
    pub granted_at: BTreeSet<Timestamp>,
    /// When the platform completed a whole savepoint for it that it never called failed.
    pub whole_at: Option<Timestamp>,
}
