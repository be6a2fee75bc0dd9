//! Deployments and their jobs as the emulator keeps them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use super::id;
use super::settings::Settings;
use crate::flink::{Cluster, JobHandle, JobSpec};

/// The state of a deployment, desired or actual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Its job runs.
    Running,
    /// Its job was ended with a savepoint.
    Suspended,
    /// Its job was ended without one.
    Cancelled,
    /// On its way from one state to another; never desired.
    Transitioning,
    /// Its job failed for good; never desired.
    Failed,
    /// Its job came to its end; never desired.
    Finished,
}

impl State {
    /// As the API writes it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Running => "RUNNING",
            Self::Suspended => "SUSPENDED",
            Self::Cancelled => "CANCELLED",
            Self::Transitioning => "TRANSITIONING",
            Self::Failed => "FAILED",
            Self::Finished => "FINISHED",
        }
    }

    /// A state that may be desired.
    pub(super) fn desired(word: &str) -> Option<Self> {
        [Self::Running, Self::Suspended, Self::Cancelled]
            .into_iter()
            .find(|state| state.word() == word)
    }
}

/// What stands behind a simulated deployment's savepoints.
#[derive(Debug, Clone)]
pub enum SimulatedLocation {
    /// Nothing: a location where no file is.
    Invented,
    /// The same one each time, such as a savepoint that a real Flink took before.
    Fixed(String),
    /// A fresh copy of the folder `template`, below the folder `into`.
    CopyOf {
        /// A folder with a `_metadata`.
        template: PathBuf,
        /// Where the copies are made.
        into: PathBuf,
    },
}

/// What runs behind a deployment.
#[derive(Debug, Clone)]
pub(super) enum Backing {
    Flink {
        cluster: Arc<Cluster>,
        spec: Arc<JobSpec>,
        job: Option<JobHandle>,
    },
    Simulated {
        takes: Duration,
        location: SimulatedLocation,
    },
}

/// What a deployment is to be like; [`super::Emulator::deploy`] makes it.
#[derive(Debug, Clone)]
pub struct DeploymentSpec {
    name: String,
    namespace: String,
    id: Option<String>,
    labels: BTreeMap<String, String>,
    session_cluster: Option<String>,
    target_directory: Option<String>,
    state: State,
    backing: Backing,
}

impl DeploymentSpec {
    /// A deployment that is `job` on `cluster`, made from `spec`; resumed, it is submitted from `spec` again.
    pub fn flink(name: &str, cluster: &Arc<Cluster>, spec: &JobSpec, job: &JobHandle) -> Self {
        Self::new(
            name,
            Backing::Flink {
                cluster: Arc::clone(cluster),
                spec: Arc::new(spec.clone()),
                job: Some(job.clone()),
            },
        )
    }

    /// A deployment without a Flink, whose savepoints take the time `takes`.
    pub fn simulated(name: &str, takes: Duration) -> Self {
        let location = SimulatedLocation::Invented;
        Self::new(name, Backing::Simulated { takes, location })
    }

    fn new(name: &str, backing: Backing) -> Self {
        Self {
            name: name.to_owned(),
            namespace: "default".to_owned(),
            id: None,
            labels: BTreeMap::new(),
            session_cluster: None,
            target_directory: None,
            state: State::Running,
            backing,
        }
    }

    /// Its namespace; `default` unless told.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        namespace.clone_into(&mut self.namespace);
        self
    }

    /// Its id, a UUID; a random one unless told.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.id = Some(id.to_owned());
        self
    }

    /// One more label.
    #[must_use]
    pub fn label(mut self, key: &str, value: &str) -> Self {
        self.labels.insert(key.to_owned(), value.to_owned());
        self
    }

    /// It runs on this session cluster, so that its pods are not its own.
    #[must_use]
    pub fn session_cluster(mut self, name: &str) -> Self {
        self.session_cluster = Some(name.to_owned());
        self
    }

    /// Where a real Flink puts its savepoints; the cluster's own directory unless told.
    #[must_use]
    pub fn target_directory(mut self, directory: &str) -> Self {
        self.target_directory = Some(directory.to_owned());
        self
    }

    /// The state that a simulated deployment begins in; running unless told.
    #[must_use]
    pub fn state(mut self, state: State) -> Self {
        self.state = state;
        self
    }

    /// What stands behind a simulated deployment's savepoints; nothing unless told.
    #[must_use]
    pub fn location(mut self, place: SimulatedLocation) -> Self {
        if let Backing::Simulated { location, .. } = &mut self.backing {
            *location = place;
        }
        self
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn namespace_name(&self) -> &str {
        &self.namespace
    }

    /// The record, and that of its job where one runs.
    pub(super) fn into_record(self) -> (Deployment, Option<Job>) {
        let deployment_id = self.id.unwrap_or_else(id::uuid);
        let now = Timestamp::now();
        let flink_job = match &self.backing {
            Backing::Flink { job, .. } => job.as_ref().map(|job| id::dashed(&job.id)),
            Backing::Simulated { .. } => None,
        };
        let job = (self.state == State::Running).then(|| {
            let job = flink_job.unwrap_or_else(id::uuid);
            Job::started(job, &deployment_id, None)
        });
        let desired = match self.state {
            State::Suspended | State::Cancelled => self.state,
            _ => State::Running,
        };
        let deployment = Deployment {
            id: deployment_id,
            namespace: self.namespace,
            name: self.name,
            labels: self.labels,
            session_cluster: self.session_cluster,
            target_directory: self.target_directory,
            backing: self.backing,
            desired,
            actual: self.state,
            transitioning_until: None,
            job: job.as_ref().map(|job| job.id.clone()),
            jobs: job.iter().map(|job| job.id.clone()).collect(),
            savepoints: Vec::new(),
            events: Vec::new(),
            settings: None,
            created: now,
            modified: now,
            version: 1,
            turn: Arc::default(),
            transition: Arc::default(),
        };
        (deployment, job)
    }
}

/// A deployment.
#[derive(Debug)]
pub(super) struct Deployment {
    pub id: String,
    pub namespace: String,
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub session_cluster: Option<String>,
    pub target_directory: Option<String>,
    pub backing: Backing,
    pub desired: State,
    pub actual: State,
    /// Until when a test has it shown as `TRANSITIONING`.
    pub transitioning_until: Option<Instant>,
    /// The id of the job that runs.
    pub job: Option<String>,
    /// The ids of all its jobs, oldest first.
    pub jobs: Vec<String>,
    /// The ids of its savepoints, oldest first.
    pub savepoints: Vec<String>,
    pub events: Vec<Event>,
    /// Its own settings, where it has some.
    pub settings: Option<Box<Settings>>,
    pub created: Timestamp,
    pub modified: Timestamp,
    pub version: u32,
    /// Held by the savepoint whose turn it is, where savepoints queue.
    pub turn: Arc<tokio::sync::Mutex<()>>,
    /// Held by the change of state that is under way.
    pub transition: Arc<tokio::sync::Mutex<()>>,
}

impl Deployment {
    /// The state that it is in.
    pub(super) fn state(&self) -> State {
        let held = self
            .transitioning_until
            .is_some_and(|until| Instant::now() < until);
        if held {
            State::Transitioning
        } else {
            self.actual
        }
    }

    /// The job that a savepoint can be taken of.
    pub(super) fn running_job(&self) -> Option<&str> {
        let running = self.state() == State::Running;
        self.job.as_deref().filter(|_| running)
    }

    /// Changes the actual state.
    pub(super) fn become_state(&mut self, state: State) {
        self.actual = state;
        self.touch();
    }

    /// Counts a change.
    pub(super) fn touch(&mut self) {
        self.modified = Timestamp::now();
        self.version += 1;
    }

    /// Notes an event about it.
    pub(super) fn note(&mut self, name: &'static str, message: &str) {
        self.events.push(Event {
            id: id::uuid(),
            job: self.job.clone(),
            name,
            message: message.to_owned(),
            at: Timestamp::now(),
        });
    }
}

/// A job of a deployment.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub id: String,
    pub deployment: String,
    pub restored_from: Option<String>,
    pub created: Timestamp,
    /// When it ended; `None` while it runs.
    pub terminated: Option<Timestamp>,
}

impl Job {
    pub(super) fn started(id: String, deployment: &str, restored_from: Option<String>) -> Self {
        Self {
            id,
            deployment: deployment.to_owned(),
            restored_from,
            created: Timestamp::now(),
            terminated: None,
        }
    }
}

/// Something that happened to a deployment.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub id: String,
    pub job: Option<String>,
    /// One of the swagger's names.
    pub name: &'static str,
    pub message: String,
    pub at: Timestamp,
}
