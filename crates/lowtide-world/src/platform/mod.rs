//! Where applications run.

pub mod flink;

use std::sync::Arc;

use crate::store::Paths;

/// What a configuration says of one platform.
#[derive(Debug, Clone)]
pub enum PlatformSettings {
    /// A Flink cluster's REST endpoint.
    Flink(flink::Settings),
}

/// One platform: how to ask it, and where to find what it writes.
#[derive(Debug)]
pub(crate) enum Platform {
    /// A Flink cluster's REST endpoint.
    Flink {
        /// How to ask it.
        client: Arc<flink::Client>,
        /// Where to find what it writes.
        paths: Paths,
    },
}

impl Platform {
    pub(crate) fn new(settings: PlatformSettings) -> Result<Self, flink::SettingsError> {
        match settings {
            PlatformSettings::Flink(settings) => Ok(Self::Flink {
                client: Arc::new(flink::Client::new(&settings)?),
                paths: Paths::new(&settings.paths),
            }),
        }
    }
}
