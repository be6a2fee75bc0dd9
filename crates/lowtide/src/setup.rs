//! Opens what a command needs, and nothing before it is needed: the configuration, the catalog,
//! the clients of the platforms that it will talk to.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use lowtide_catalog::Catalog;
use lowtide_core::engine::{Application, Engine};
use lowtide_core::name::{AppKey, PlatformName};
use lowtide_core::policy::Policy;
use lowtide_core::run::Run;
use lowtide_world::platform::PlatformSettings;
use lowtide_world::{Hands, flink};
use secrecy::ExposeSecret;

use crate::cli::Common;
use crate::config::{self, Auth, Config, FlinkSettings, Platform};
use crate::identity;
use crate::names;
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// Is told of each committed step.
pub type Watch = Box<dyn Fn(&Run) + Send + Sync>;

/// The engine with everything real.
pub type RealEngine = Engine<Hands, Catalog, WallClock, Watch>;

/// A configuration that was read whole.
#[derive(Debug)]
pub struct Setup {
    /// All that the file says.
    pub config: Config,
}

impl Setup {
    /// Finds and reads the configuration.
    pub fn read(common: &Common) -> Result<Self, Trouble> {
        // The environment variable is an option's default already.
        let path = config::find(common.config.as_deref(), None).map_err(Trouble::Config)?;
        let config = config::load(&path).map_err(Trouble::Config)?;
        Ok(Self { config })
    }

    /// The configured applications' keys.
    pub fn keys(&self) -> impl Iterator<Item = &AppKey> + Clone {
        self.config
            .applications
            .iter()
            .map(|application| &application.key)
    }

    /// The configured application of this key.
    pub fn application(&self, key: &AppKey) -> Option<&Application> {
        self.config
            .applications
            .iter()
            .find(|application| application.key == *key)
    }

    /// The applications that are meant; all if none is named.
    pub fn chosen(&self, typed: &[String]) -> Result<Vec<&Application>, Trouble> {
        let keys = names::find_all(typed, self.keys())?;
        Ok(keys
            .into_iter()
            .filter_map(|key| self.application(key))
            .collect())
    }

    /// The file of the catalog.
    pub fn catalog_path(&self) -> &Path {
        &self.config.catalog
    }

    /// Opens the catalog.
    pub async fn catalog(&self) -> Result<Catalog, Trouble> {
        Catalog::open(self.catalog_path())
            .await
            .map_err(|wrong| Trouble::CatalogOpen {
                path: self.catalog_path().display().to_string(),
                hint: Some(wrong.hint().to_owned()),
                source: Box::new(wrong),
            })
    }

    /// Prepares clients for these platforms; certificates are read here, nothing is sent.
    pub fn hands(&self, platforms: &BTreeSet<&PlatformName>) -> Result<Hands, Trouble> {
        let settings: BTreeMap<PlatformName, PlatformSettings> = self
            .config
            .platforms
            .iter()
            .filter(|(name, _)| platforms.contains(name))
            .map(|(name, platform)| (name.clone(), settings(platform)))
            .collect();
        Hands::new(settings).map_err(Trouble::Platforms)
    }

    /// The rules for a run: those of its application; those of its platform's defaults, without
    /// a further attempt, if the application is no longer configured. `None` if its platform is
    /// not configured either: then the run concerns others.
    pub fn policy(&self, key: &AppKey) -> Option<Policy> {
        self.application(key)
            .map(|application| application.policy.clone())
    }

    /// The engine over an open catalog.
    pub fn engine(
        &self,
        catalog: Catalog,
        hands: Hands,
        watch: impl Fn(&Run) + Send + Sync + 'static,
    ) -> Result<RealEngine, Trouble> {
        Ok(Engine {
            world: hands,
            catalog,
            clock: WallClock,
            me: identity::owner_id()?,
            watch: Box::new(watch),
        })
    }
}

fn settings(platform: &Platform) -> PlatformSettings {
    match platform {
        Platform::Flink(flink) => PlatformSettings::Flink(flink_settings(flink)),
    }
}
