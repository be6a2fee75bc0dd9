//! Where applications run.

mod duration;
pub mod flink;
pub(crate) mod http;
pub mod kubernetes;
pub mod ververica;

use std::sync::Arc;
use std::time::Duration;

use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;
use lowtide_core::name::JobId;
use lowtide_core::resolve::JobSeen;

use crate::kubernetes::Source;
use crate::store::{Paths, Stores};

/// What a configuration says of one platform.
#[derive(Debug, Clone)]
pub enum PlatformSettings {
    /// A Flink cluster's REST endpoint.
    Flink(flink::Settings),
    /// The Flink clusters of a Kubernetes namespace.
    Kubernetes(kubernetes::Settings),
    /// A namespace of Ververica Platform.
    Ververica(ververica::Settings),
}

impl PlatformSettings {
    /// The same, with objects of Kubernetes read in this way, where it needs any.
    #[must_use]
    pub fn reading(mut self, how: Source) -> Self {
        match &mut self {
            Self::Kubernetes(settings) => settings.source = how,
            Self::Ververica(settings) => {
                if let ververica::Resolve::Pods { source, .. } = &mut settings.resolve {
                    *source = how;
                }
            }
            Self::Flink(_) => {}
        }
        self
    }

    /// What the platform calls a place, and where Lowtide reaches it.
    pub fn paths(&self) -> &[(String, String)] {
        match self {
            Self::Flink(settings) => &settings.paths,
            Self::Kubernetes(settings) => &settings.paths,
            Self::Ververica(settings) => &settings.paths,
        }
    }

    /// Whether the platform itself chooses the directories of savepoints.
    pub fn chooses_directory(&self) -> bool {
        match self {
            Self::Flink(_) | Self::Kubernetes(_) => false,
            Self::Ververica(_) => true,
        }
    }
}

/// One platform: how to ask it, and where to find what it writes.
#[derive(Debug)]
pub(crate) enum Platform {
    /// A Flink cluster's REST endpoint.
    Flink {
        /// How to ask it.
        client: Box<flink::Client>,
        /// Where to find what it writes.
        paths: Paths,
    },
    /// The Flink clusters of a Kubernetes namespace.
    Kubernetes {
        /// How to ask them.
        client: Box<kubernetes::Client>,
        /// Where to find what they write.
        paths: Paths,
    },
    /// A namespace of Ververica Platform.
    Ververica {
        /// How to ask it.
        client: Box<ververica::Client>,
        /// Where to find what its jobs write.
        paths: Paths,
    },
}

impl Platform {
    /// Where to find what its jobs write.
    pub(crate) fn paths(&self) -> &Paths {
        match self {
            Self::Flink { paths, .. }
            | Self::Kubernetes { paths, .. }
            | Self::Ververica { paths, .. } => paths,
        }
    }

    pub(crate) fn new(
        settings: PlatformSettings,
        stores: &Arc<Stores>,
    ) -> Result<Self, flink::SettingsError> {
        match settings {
            PlatformSettings::Flink(settings) => Ok(Self::Flink {
                client: Box::new(flink::Client::new(&settings)?),
                paths: Paths::new(&settings.paths, Arc::clone(stores)),
            }),
            PlatformSettings::Kubernetes(settings) => Ok(Self::Kubernetes {
                client: Box::new(kubernetes::Client::new(&settings)),
                paths: Paths::new(&settings.paths, Arc::clone(stores)),
            }),
            PlatformSettings::Ververica(settings) => Ok(Self::Ververica {
                client: Box::new(ververica::Client::new(&settings)?),
                paths: Paths::new(&settings.paths, Arc::clone(stores)),
            }),
        }
    }

    /// The jobs that the name may mean, and others for suggestions; where one list answers for all
    /// names, it may be of this age.
    pub(crate) async fn jobs(&self, name: &str, age_max: Duration) -> Result<Vec<JobSeen>, Fault> {
        match self {
            Self::Flink { client, .. } => Box::pin(client.jobs_within(age_max)).await,
            Self::Kubernetes { client, .. } => Box::pin(client.look()).await?.about(name),
            Self::Ververica { client, .. } => Box::pin(client.jobs(name)).await,
        }
    }

    /// What the job looks like just now.
    pub(crate) async fn vitals(&self, job: &JobId) -> Result<Vitals, Fault> {
        match self {
            Self::Flink { client, .. } => Box::pin(client.vitals(job)).await,
            Self::Kubernetes { client, .. } => Box::pin(client.vitals(job)).await,
            Self::Ververica { client, .. } => Box::pin(client.vitals(job)).await,
        }
    }

    /// Whether vitals tell of the job's health alone. Ververica Platform's tell as well which savepoints
    /// there are before the request: the later that is known, the less can come in between.
    pub(crate) fn vitals_may_be_asked_ahead(&self) -> bool {
        match self {
            Self::Flink { .. } | Self::Kubernetes { .. } => true,
            Self::Ververica { .. } => false,
        }
    }

    /// Asks for what each run will need and no job has to be known for.
    pub(crate) async fn greet(&self) {
        match self {
            Self::Flink { client, .. } => Box::pin(client.greet()).await,
            // Nothing is kept of these.
            Self::Kubernetes { .. } | Self::Ververica { .. } => {}
        }
    }
}
