//! How an emulator is started.

use std::net::TcpListener;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use jiff::Timestamp;

use super::auth::Auth;
use super::emulator::Emulator;
use super::profile::Profile;
use super::settings::Settings;
use super::shared::Shared;
use super::store::Store;

/// The namespace that is always there.
const DEFAULT_NAMESPACE: &str = "default";

/// What an emulator is to be like; made by [`Emulator::builder`].
#[derive(Debug)]
pub struct Builder {
    profile: Profile,
    bearer: bool,
    namespaces: Vec<String>,
    settings: Settings,
}

impl Builder {
    /// 2.7, the community edition.
    pub(super) fn new() -> Self {
        Self {
            profile: Profile::V2_7,
            bearer: false,
            namespaces: Vec::new(),
            settings: Settings::default(),
        }
    }

    /// The release that it is; 2.7 unless told.
    #[must_use]
    pub fn profile(mut self, profile: Profile) -> Self {
        self.profile = profile;
        self
    }

    /// It asks for API tokens; the community edition, which it is unless told, does not.
    #[must_use]
    pub fn bearer(mut self) -> Self {
        self.bearer = true;
        self
    }

    /// One more namespace; `default` is there. The community edition has no other.
    #[must_use]
    pub fn namespace(mut self, name: &str) -> Self {
        self.namespaces.push(name.to_owned());
        self
    }

    /// How it behaves at first.
    #[must_use]
    pub fn settings(mut self, settings: Settings) -> Self {
        self.settings = settings;
        self
    }

    /// Starts it on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// No port or thread is to be had, or the community edition was to have a second namespace.
    pub fn start(self) -> Result<Emulator> {
        ensure!(
            self.bearer || self.namespaces.is_empty(),
            "the community edition has the namespace {DEFAULT_NAMESPACE} only"
        );
        let listener = TcpListener::bind("127.0.0.1:0").context("listen on loopback")?;
        let url = format!("http://{}", listener.local_addr()?);
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("vvp-emulator")
            .enable_all()
            .build()?;
        let names = self
            .namespaces
            .into_iter()
            .chain([DEFAULT_NAMESPACE.to_owned()]);
        let store = Store {
            namespaces: names.map(|name| (name, Timestamp::now())).collect(),
            settings: self.settings,
            ..Store::default()
        };
        let auth = if self.bearer {
            Auth::bearer()
        } else {
            Auth::community()
        };
        let shared = Shared::new(self.profile, auth, runtime.handle().clone(), store);
        let emulator = Emulator {
            url,
            shared: Arc::new(shared),
            runtime: Some(runtime),
        };
        emulator.listen_on(listener)?;
        Ok(emulator)
    }
}
