//! The hands of Lowtide: clients of platforms and stores.
//!
//! Nothing is decided here. Each method of [`World`] is one piece of I/O that reports what it
//! saw; this crate only says which kind of fault it met, because only it can know. Platforms and
//! stores are enums: a closed set, where `match` asks every new one every question.

mod ahead;
mod chain;
pub mod kubernetes;
pub mod platform;
mod shared;
pub mod store;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use lowtide_core::baseline::Deep;
use lowtide_core::compare::Plan;
use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::{JobId, Location, PlatformName};
use lowtide_core::ports::World;
use lowtide_core::resolve::JobSeen;
use lowtide_core::run::{Attempt, Found, Operation, Reply};
use lowtide_core::verify::{Metadata, ParseError, Reading};

use ahead::Ahead;
pub use platform::flink;
pub use platform::ververica;
use platform::{Platform, PlatformSettings};
use store::Stores;
use store::deep::Pace;
use store::headers::StateNames;

/// What is wrong with a platform's settings; found before anything is sent.
#[derive(Debug, thiserror::Error)]
#[error("platform `{platform}`: {wrong}")]
pub struct SettingsError {
    /// Which platform.
    pub platform: PlatformName,
    /// What is wrong.
    #[source]
    pub wrong: flink::SettingsError,
}

impl SettingsError {
    /// What a person can do about it.
    pub fn hint(&self) -> String {
        self.wrong.hint()
    }
}

/// All platforms of a configuration, ready to be asked.
#[derive(Debug)]
pub struct Hands {
    platforms: BTreeMap<PlatformName, Arc<Platform>>,
    ahead: Ahead,
}

impl Hands {
    /// Reads certificates and keys and prepares a client for each platform. Sends nothing.
    pub fn new(settings: BTreeMap<PlatformName, PlatformSettings>) -> Result<Self, SettingsError> {
        Self::with_stores(settings, &Arc::default())
    }

    /// As [`Hands::new`], with what is known of the stores where savepoints lie.
    pub fn with_stores(
        settings: BTreeMap<PlatformName, PlatformSettings>,
        stores: &Arc<Stores>,
    ) -> Result<Self, SettingsError> {
        let mut platforms = BTreeMap::new();
        for (name, settings) in settings {
            let platform = Platform::new(settings, stores).map_err(|wrong| SettingsError {
                platform: name.clone(),
                wrong,
            })?;
            platforms.insert(name, Arc::new(platform));
        }
        Ok(Self {
            platforms,
            ahead: Ahead::default(),
        })
    }

    /// Asks for the jobs of these names, each with its platform, and Flink clusters for what each
    /// run will need of them and of its job, so that by then the answers are there and the connections
    /// stand. For a command that has something else to do first; what goes wrong here will go wrong again,
    /// and be told, when it is needed.
    ///
    /// # Panics
    /// There is no runtime to ask in.
    pub fn ask_ahead<'a>(&self, names: impl IntoIterator<Item = (&'a PlatformName, &'a str)>) {
        let mut greeted = BTreeSet::new();
        let known = names.into_iter().filter_map(|(name, job)| {
            let platform = self.platforms.get(name)?;
            if greeted.insert(name) {
                let platform = Arc::clone(platform);
                tokio::spawn(async move { platform.greet().await });
            }
            Some((Arc::clone(platform), (name.clone(), job.to_owned())))
        });
        self.ahead.ask(known);
    }

    /// The plan of a running job, as far as its platform shows it.
    pub async fn plan(&self, platform: &PlatformName, job: &JobId) -> Result<Plan, Fault> {
        match self.platform(platform)? {
            Platform::Flink { client, .. } => client.plan(job).await,
            Platform::Kubernetes { client, .. } => Box::pin(client.plan(job)).await,
            Platform::Ververica { .. } => Err(Fault::unsupported(
                "Ververica Platform does not show the plan of a job",
            )
            .hint("take a savepoint of the application, and compare with that")),
        }
    }

    /// Reads every byte of a savepoint of a platform: as [`Paths::read_deep`](store::Paths::read_deep),
    /// where the platform's `paths` say that its files are reached.
    pub async fn read_deep(
        &self,
        platform: &PlatformName,
        location: &Location,
        reading: &Reading,
        pace: &Pace,
    ) -> Result<Deep, Fault> {
        let paths = self.platform(platform)?.paths();
        paths.read_deep(location, reading, pace).await
    }

    fn platform(&self, name: &PlatformName) -> Result<&Platform, Fault> {
        self.platforms.get(name).map(Arc::as_ref).ok_or_else(|| {
            Fault::permanent(format!("no platform is named `{name}`"))
                .hint("list it under `platforms:` in the configuration")
        })
    }
}

/// Reads a location that belongs to no platform.
pub async fn read(location: &Location, stores: Arc<Stores>) -> Result<Reading, Fault> {
    store::Paths::new(&[], stores).read(location).await
}

/// Reads the `_metadata` of a location that belongs to no platform, and looks at no other file of
/// it; `None` if there is a directory without one.
pub async fn read_metadata(
    location: &Location,
    stores: Arc<Stores>,
) -> Result<Option<Result<Metadata, ParseError>>, Fault> {
    let paths = store::Paths::new(&[], stores);
    paths.read_metadata(location).await
}

/// Reads the names of the keyed states of a snapshot that belongs to no platform, from the headers of
/// its state files: one an operator. What cannot be read is told for its operator.
pub async fn keyed_states(
    location: &Location,
    metadata: &Metadata,
    stores: Arc<Stores>,
) -> StateNames {
    let paths = store::Paths::new(&[], stores);
    paths.keyed_states(location, metadata).await
}

/// A Flink cluster is told where to write: an attempt without a directory was frozen for a
/// platform that is not told.
fn no_directory() -> Fault {
    Fault::permanent("the attempt has no directory of its own")
        .hint("was the platform of this name of another kind when the savepoint was asked for?")
}

// What asks is boxed: a request is a future of kilobytes, reading from Kubernetes one of twenty, and each of hundreds
// of runs would carry the largest of them from its beginning to its end.
impl World for Hands {
    async fn jobs(&self, platform: &PlatformName, name: &str) -> Result<Vec<JobSeen>, Fault> {
        if let Some(jobs) = self.ahead.take_jobs(platform, name).await {
            return Ok(jobs);
        }
        self.platform(platform)?.jobs(name, Duration::ZERO).await
    }

    async fn vitals(&self, platform: &PlatformName, job: &JobId) -> Result<Vitals, Fault> {
        self.platform(platform)?.vitals(job).await
    }

    async fn first_vitals(&self, platform: &PlatformName, job: &JobId) -> Result<Vitals, Fault> {
        match self.ahead.take_vitals(platform, job).await {
            Some(vitals) => Ok(vitals),
            None => self.vitals(platform, job).await,
        }
    }

    async fn trigger(&self, platform: &PlatformName, attempt: &Attempt) -> Reply {
        match self.platform(platform) {
            Ok(Platform::Flink { client, .. }) => Box::pin(client.trigger(attempt)).await,
            Ok(Platform::Kubernetes { client, .. }) => Box::pin(client.trigger(attempt)).await,
            Ok(Platform::Ververica { client, .. }) => Box::pin(client.trigger(attempt)).await,
            Err(fault) => Reply::NotSent(fault),
        }
    }

    async fn operation(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> Result<Operation, Fault> {
        match self.platform(platform)? {
            Platform::Flink { client, .. } => Box::pin(client.operation(attempt)).await,
            Platform::Kubernetes { client, .. } => Box::pin(client.operation(attempt)).await,
            Platform::Ververica { client, .. } => Box::pin(client.operation(attempt)).await,
        }
    }

    async fn directories(
        &self,
        platform: &PlatformName,
        attempt: &Attempt,
    ) -> Result<Vec<Found>, Fault> {
        match self.platform(platform)? {
            Platform::Flink { paths, .. } | Platform::Kubernetes { paths, .. } => {
                let own = attempt.directory.as_ref().ok_or_else(no_directory)?;
                paths.directories(&own.target, &own.base).await
            }
            Platform::Ververica { client, .. } => Box::pin(client.directories(attempt)).await,
        }
    }

    async fn read(&self, platform: &PlatformName, location: &Location) -> Result<Reading, Fault> {
        self.platform(platform)?.paths().read(location).await
    }
}
