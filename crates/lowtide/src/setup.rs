//! Opens what a command needs, and nothing before it is needed: the configuration, the catalog,
//! the clients of the platforms that it will talk to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use lowtide_catalog::{Catalog, OpenError};
use lowtide_core::engine::{Application, Engine};
use lowtide_core::name::{AppKey, Location, PlatformName};
use lowtide_core::policy::{CONCURRENCY, Policy};
use lowtide_core::run::Run;
use lowtide_core::savepoint::Savepoint;
use lowtide_core::schedule::Never;
use lowtide_world::Hands;
use lowtide_world::kubernetes::Source;
use lowtide_world::platform::PlatformSettings;
use lowtide_world::store::{Paths, Stores};

use crate::cli::Common;
use crate::config::{self, CatalogPlace, Config, ConfigError};
use crate::identity;
use crate::names;
use crate::trouble::Trouble;
use crate::wall_clock::WallClock;

/// Is told of each committed step.
pub type Watch = Box<dyn Fn(&Run, Option<&[Savepoint]>) + Send + Sync>;

/// The engine with everything real.
#[cfg(not(feature = "crash-points"))]
pub type RealEngine = Engine<Hands, Catalog, WallClock, Watch>;
/// The engine with everything real, and points at which a test may end it.
#[cfg(feature = "crash-points")]
pub type RealEngine =
    Engine<crate::crash::Crashing<Hands>, crate::crash::Crashing<Catalog>, WallClock, Watch>;

/// A configuration that was read whole.
#[derive(Debug)]
pub struct Setup {
    /// All that the file says.
    pub config: Config,
}

impl Setup {
    /// Finds and reads the configuration.
    pub fn read(common: &Common) -> Result<Self, Trouble> {
        let env = std::env::var_os("LOWTIDE_CONFIG");
        let path =
            config::find(common.config.as_deref(), env.as_deref()).map_err(Trouble::Config)?;
        let config = config::load(&path).map_err(Trouble::Config)?;
        Ok(Self { config })
    }

    /// The stores of the configuration, for commands that need none: one that is not there says
    /// nothing of stores, and what lies in files needs no store.
    pub fn stores_if_there(
        common: &Common,
        locations: &[Location],
    ) -> Result<Arc<Stores>, Trouble> {
        if locations.iter().all(|location| location.scheme() == "file") {
            return Ok(Arc::default());
        }
        let setup = Self::if_there(common)?;
        Ok(setup.map_or_else(Arc::default, |setup| setup.stores()))
    }

    /// The configuration, for commands that need none; `None` if there is none.
    pub fn if_there(common: &Common) -> Result<Option<Self>, Trouble> {
        match Self::read(common) {
            Ok(setup) => Ok(Some(setup)),
            Err(Trouble::Config(ConfigError::NotFound { .. })) => Ok(None),
            Err(wrong) => Err(wrong),
        }
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

    /// The zone in which an application's times are shown.
    pub fn zone(&self, key: &AppKey) -> TimeZone {
        self.application(key)
            .and_then(|application| application.policy.schedule.as_ref())
            .map_or_else(
                || self.config.zone.clone(),
                |schedule| schedule.zone().clone(),
            )
    }

    /// Whether nothing is remembered beyond this process.
    pub fn forgets(&self) -> bool {
        self.config.catalog == CatalogPlace::None
    }

    /// Refuses what makes no sense without a memory.
    pub fn must_remember(&self, command: &'static str) -> Result<(), Trouble> {
        if self.forgets() {
            return Err(Trouble::NoCatalog { command });
        }
        Ok(())
    }

    /// Opens the catalog, for a program that stays; without one, a memory that ends with this
    /// process.
    pub async fn catalog(&self) -> Result<Catalog, Trouble> {
        let opened = match &self.config.catalog {
            CatalogPlace::File(path) => Catalog::open(path).await,
            CatalogPlace::None => Catalog::in_memory().await,
        };
        opened.map_err(cannot_open)
    }

    /// Opens the catalog, for a command that ends; without one, a memory that ends with it.
    pub async fn catalog_briefly(&self) -> Result<Catalog, Trouble> {
        let opened = match &self.config.catalog {
            CatalogPlace::File(path) => Catalog::open_briefly(path).await,
            CatalogPlace::None => Catalog::in_memory().await,
        };
        opened.map_err(cannot_open)
    }

    /// The stores where savepoints lie. Nothing is made or sent before a location asks for it.
    pub fn stores(&self) -> Arc<Stores> {
        Arc::new(Stores::new(self.config.stores.clone()))
    }

    /// Where what a platform writes is reached; nowhere else for one that is not configured.
    pub fn paths(&self, platform: &PlatformName) -> Paths {
        let platform = self.config.platforms.get(platform);
        let pairs = platform.map_or(&[][..], PlatformSettings::paths);
        Paths::new(pairs, self.stores())
    }

    /// Where a location is reached that no application was named for: as the first platform says
    /// that knows anything of it, else as it stands there.
    pub fn paths_of(&self, location: &Location) -> Paths {
        let all = self.config.platforms.values();
        let mut paths = all.map(|platform| Paths::new(platform.paths(), self.stores()));
        paths
            .find(|paths| paths.concern(location))
            .unwrap_or_else(|| Paths::new(&[], self.stores()))
    }

    /// Prepares clients for these platforms; certificates are read here, nothing is sent.
    /// `source` says how objects of Kubernetes are read, where a platform needs them.
    pub fn hands(
        &self,
        platforms: &BTreeSet<&PlatformName>,
        source: Source,
    ) -> Result<Hands, Trouble> {
        let settings: BTreeMap<PlatformName, PlatformSettings> = self
            .config
            .platforms
            .iter()
            .filter(|(name, _)| platforms.contains(name))
            .map(|(name, platform)| (name.clone(), platform.clone().reading(source)))
            .collect();
        Hands::with_stores(settings, &self.stores()).map_err(|wrong| Trouble::Platform {
            platform: wrong.platform,
            source: Box::new(wrong.wrong),
        })
    }

    /// Opens the catalog if there is one: who only reads makes none.
    pub async fn catalog_if_there(&self) -> Result<Option<Catalog>, Trouble> {
        match &self.config.catalog {
            CatalogPlace::File(path) if path.exists() => self.catalog_briefly().await.map(Some),
            CatalogPlace::File(_) | CatalogPlace::None => Ok(None),
        }
    }

    /// The application that is meant, configured or only remembered: `latest`, `list` and `show`
    /// still answer for what is no longer listed. What is configured goes first, so that an
    /// application that moved to another platform keeps its short name.
    pub async fn known(&self, typed: &str, catalog: Option<&Catalog>) -> Result<AppKey, Trouble> {
        match names::find(typed, self.keys()) {
            Ok(key) => return Ok(key.clone()),
            Err(wrong @ Trouble::AmbiguousName { .. }) => return Err(wrong),
            Err(_) => {}
        }
        let remembered = match catalog {
            Some(catalog) => catalog
                .applications()
                .await
                .map_err(Trouble::catalog("read the applications"))?,
            None => Vec::new(),
        };
        let all: BTreeSet<&AppKey> = self.keys().chain(&remembered).collect();
        names::find(typed, all.iter().copied()).cloned()
    }

    /// The rules for an open run that nobody walks: those of its application. One whose
    /// application is no longer configured is only brought to its end: what was sent is followed
    /// with no further attempt, what was not is ended after its deadline. `None` if there is
    /// nothing to do for it, or its platform is not configured either: then it concerns others.
    pub fn policy(&self, run: &Run, now: Timestamp) -> Option<Policy> {
        let key = &run.application;
        if let Some(application) = self.application(key) {
            return Some(application.policy.clone());
        }
        let sent = run
            .attempt()
            .is_some_and(|attempt| attempt.sent_at.is_some());
        let is_ours = self.config.platforms.contains_key(&key.platform);
        if is_ours && (sent || now >= run.trigger_deadline) {
            closing_policy(run)
        } else {
            None
        }
    }
}

fn cannot_open(wrong: OpenError) -> Trouble {
    Trouble::CatalogOpen {
        hint: Some(wrong.hint().to_owned()),
        source: Box::new(wrong),
    }
}

/// The engine over an open catalog.
pub fn engine(
    catalog: Catalog,
    hands: Hands,
    watch: impl Fn(&Run, Option<&[Savepoint]>) + Send + Sync + 'static,
) -> Result<RealEngine, Trouble> {
    #[cfg(feature = "crash-points")]
    let (hands, catalog) = crate::crash::around(hands, catalog);
    Ok(Engine {
        world: hands,
        catalog,
        clock: WallClock,
        me: identity::owner_id()?,
        watch: Box::new(watch),
    })
}

fn closing_policy(run: &Run) -> Option<Policy> {
    Some(Policy {
        job: run.application.application.to_string(),
        schedule: None,
        never: Never::new(Vec::new(), TimeZone::UTC).ok()?,
        format: run
            .attempt()
            .map(|attempt| attempt.format)
            .unwrap_or_default(),
        target: None,
        deadline: SignedDuration::ZERO,
        attempts: 0,
        patience: SignedDuration::ZERO,
        absent_for: SignedDuration::ZERO,
        catch_up: SignedDuration::ZERO,
        concurrency: CONCURRENCY,
    })
}
