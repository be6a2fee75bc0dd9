//! The hands of Lowtide: clients of platforms and stores.
//!
//! Nothing is decided here. Each method of [`World`] is one piece of I/O that reports what it
//! saw; this crate only says which kind of fault it met, because only it can know. Platforms and
//! stores are enums: a closed set, where `match` asks every new one every question.

mod chain;
pub mod kubernetes;
pub mod platform;
mod shared;
pub mod store;
mod text;

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::Arc;

use lowtide_core::baseline::Deep;
use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::{JobId, Location, PlatformName};
use lowtide_core::ports::World;
use lowtide_core::resolve::JobSeen;
use lowtide_core::run::{Attempt, Found, Operation, Reply};
use lowtide_core::verify::Reading;

pub use platform::flink;
pub use platform::ververica;
use platform::{Platform, PlatformSettings};
use store::Stores;
use store::deep::Pace;

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
    platforms: BTreeMap<PlatformName, Platform>,
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
            platforms.insert(name, platform);
        }
        Ok(Self { platforms })
    }

    /// Asks Flink clusters for what each run will need of them and no job has to be known for, so
    /// that by then the connection stands. For a command that has something else to do first; what
    /// goes wrong here will go wrong again, and be told, when it is needed.
    pub fn greet(&self) -> impl Future<Output = ()> + Send + use<> {
        let clients: Vec<_> = self
            .platforms
            .values()
            .filter_map(|platform| match platform {
                Platform::Flink { client, .. } => Some(Arc::clone(client)),
                // What to ask these depends on the name.
                Platform::Kubernetes { .. } | Platform::Ververica { .. } => None,
            })
            .collect();
        async move {
            futures_util::future::join_all(clients.iter().map(|client| client.greet())).await;
        }
    }

    /// Reads every byte of a savepoint of a platform: as [`read_deep`], where the platform's
    /// `paths` say that its files are reached.
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
        self.platforms.get(name).ok_or_else(|| {
            Fault::permanent(format!("no platform is named `{name}`"))
                .hint("list it under `platforms:` in the configuration")
        })
    }
}

/// Reads a location that belongs to no platform.
pub async fn read(location: &Location, stores: Arc<Stores>) -> Result<Reading, Fault> {
    store::Paths::new(&[], stores).read(location).await
}

/// Reads every byte of a location that belongs to no platform: level 2, after level 1 has found
/// what there is. Faults are of the reading; what is wrong with what was read is among the
/// findings.
pub async fn read_deep(
    location: &Location,
    reading: &Reading,
    stores: Arc<Stores>,
    pace: &Pace,
) -> Result<Deep, Fault> {
    let paths = store::Paths::new(&[], stores);
    paths.read_deep(location, reading, pace).await
}

/// A Flink cluster is told where to write: an attempt without a directory was frozen for a
/// platform that is not told.
fn no_directory() -> Fault {
    Fault::permanent("the attempt has no directory of its own")
        .hint("was the platform of this name of another kind when the savepoint was asked for?")
}

// What is not Flink's own is boxed: reading from Kubernetes is twenty kilobytes of future, and a
// run of any other platform would carry them.
impl World for Hands {
    async fn jobs(&self, platform: &PlatformName, name: &str) -> Result<Vec<JobSeen>, Fault> {
        match self.platform(platform)? {
            Platform::Flink { client, .. } => client.jobs().await,
            Platform::Kubernetes { client, .. } => client.look().await?.about(name),
            Platform::Ververica { client, .. } => Box::pin(client.jobs(name)).await,
        }
    }

    async fn vitals(&self, platform: &PlatformName, job: &JobId) -> Result<Vitals, Fault> {
        match self.platform(platform)? {
            Platform::Flink { client, .. } => client.vitals(job).await,
            Platform::Kubernetes { client, .. } => Box::pin(client.vitals(job)).await,
            Platform::Ververica { client, .. } => Box::pin(client.vitals(job)).await,
        }
    }

    async fn trigger(&self, platform: &PlatformName, attempt: &Attempt) -> Reply {
        match self.platform(platform) {
            Ok(Platform::Flink { client, .. }) => client.trigger(attempt).await,
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
            Platform::Flink { client, .. } => client.operation(attempt).await,
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
