//! The emulator as tests hold it.

use std::collections::BTreeMap;
use std::fmt;
use std::net::TcpListener;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, ensure};
use serde_json::Value;
use tokio::runtime::Runtime;

use super::auth::Role;
use super::builder::Builder;
use super::deployment::{Backing, Deployment, DeploymentSpec, State};
use super::drive::{self, Fate};
use super::fault::{Fault, Fired};
use super::log::Seen;
use super::pods;
use super::profile::Profile;
use super::route::Call;
use super::savepoint::{MadeBy, Origin, Savepoint};
use super::serve::serve;
use super::settings::Settings;
use super::shared::Shared;
use super::store::{NewSavepoint, Store};
use crate::flink::JobHandle;
use crate::http::until;

/// How long a request that is being answered may take to end when the emulator does.
const STOP_TIMEOUT: Duration = Duration::from_secs(1);

/// The longest name of a deployment since 2.4 (vendor documentation, "REST API for CI/CD").
const NAME_BYTES_MAX: usize = 63;

/// A running emulator; it ends when it is dropped.
pub struct Emulator {
    pub(super) url: String,
    pub(super) shared: Arc<Shared>,
    pub(super) runtime: Option<Runtime>,
}

impl fmt::Debug for Emulator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Emulator")
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

impl Emulator {
    /// What an emulator is to be like.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Its address, `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The release that it is.
    pub fn profile(&self) -> Profile {
        self.shared.profile
    }

    /// Answers on one more listener too, such as one that was made in another network namespace.
    ///
    /// # Errors
    /// The kernel refuses.
    pub fn listen_on(&self, listener: TcpListener) -> Result<()> {
        listener.set_nonblocking(true)?;
        let _inside = self.shared.runtime.enter();
        let listener = tokio::net::TcpListener::from_std(listener)?;
        self.shared
            .runtime
            .spawn(serve(listener, Arc::clone(&self.shared)));
        Ok(())
    }

    /// Makes an API token and returns its secret.
    ///
    /// # Errors
    /// It is the community edition.
    pub fn token(&self, namespace: &str, role: Role) -> Result<String> {
        ensure!(
            !self.shared.auth.is_community(),
            "the community edition has no tokens"
        );
        let name = format!("{}-{}", role.word(), self.shared.auth.tokens().len());
        Ok(self.shared.auth.issue(namespace, &name, role).secret)
    }

    /// Takes a token back.
    pub fn revoke(&self, secret: &str) {
        self.shared.auth.revoke(|token| token.secret == secret);
    }

    /// Makes a deployment and returns its id.
    ///
    /// # Errors
    /// There is no such namespace; since 2.4: the name is taken, or is none.
    pub fn deploy(&self, spec: DeploymentSpec) -> Result<String> {
        let mut store = self.shared.store();
        self.check_name(&store, spec.namespace_name(), spec.name())?;
        let (deployment, job) = spec.into_record();
        let id = deployment.id.clone();
        ensure!(
            !store.deployments.contains_key(&id),
            "there is a deployment {id}"
        );
        store.deployments.insert(id.clone(), deployment);
        store.jobs.extend(job.map(|job| (job.id.clone(), job)));
        Ok(id)
    }

    fn check_name(&self, store: &Store, namespace: &str, name: &str) -> Result<()> {
        ensure!(
            store.namespaces.contains_key(namespace),
            "no namespace {namespace}"
        );
        if !self.shared.profile.addresses_by_name() {
            return Ok(());
        }
        let letters = name
            .bytes()
            .all(|it| matches!(it, b'a'..=b'z' | b'0'..=b'9' | b'-'));
        let fits = letters && !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        ensure!(
            fits,
            "{name:?} is no name: lower-case letters, digits, dashes, at most 63"
        );
        let taken = store
            .deployments
            .values()
            .any(|it| it.namespace == namespace && it.name == name);
        ensure!(!taken, "the name {name} is taken");
        Ok(())
    }

    /// Removes a deployment with its jobs and savepoints, not its files.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn remove(&self, deployment: &str) -> Result<()> {
        ensure!(
            self.shared.store().remove_deployment(deployment),
            "no deployment {deployment}"
        );
        Ok(())
    }

    /// Gives a deployment another name.
    ///
    /// # Errors
    /// There is none with this id; since 2.4 names do not change.
    pub fn rename(&self, deployment: &str, name: &str) -> Result<()> {
        ensure!(
            !self.shared.profile.addresses_by_name(),
            "names do not change since 2.4"
        );
        self.change(deployment, |it| {
            name.clone_into(&mut it.name);
            it.touch();
        })
    }

    /// The state that a deployment is in.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn state(&self, deployment: &str) -> Result<State> {
        let store = self.shared.store();
        let found = store.deployments.get(deployment);
        Ok(found.with_context(|| no_deployment(deployment))?.state())
    }

    /// Puts a simulated deployment into a state at once, with a job where it runs: also into one that cannot
    /// be asked for, such as failed.
    ///
    /// # Errors
    /// There is none with this id, or a real job is behind it.
    pub fn force_state(&self, deployment: &str, state: State) -> Result<()> {
        let mut store = self.shared.store();
        let found = store.deployments.get(deployment);
        let found = found.with_context(|| no_deployment(deployment))?;
        let simulated = matches!(found.backing, Backing::Simulated { .. });
        ensure!(simulated, "a real job is behind {deployment}");
        if state != State::Running {
            store.end_job(deployment);
        } else if found.job.is_none() {
            let id = super::id::uuid();
            store.begin_job(super::deployment::Job::started(id, deployment, None));
        }
        drop(store);
        self.change(deployment, |it| {
            it.become_state(state);
            if let Some(desired) = State::desired(state.word()) {
                it.desired = desired;
            }
        })
    }

    /// Has a deployment shown as `TRANSITIONING` from now on for this long.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn hold_in_transition(&self, deployment: &str, time: Duration) -> Result<()> {
        self.change(deployment, |it| {
            it.transitioning_until = Some(Instant::now() + time);
        })
    }

    /// Begins an upgrade: the job ends with a savepoint and another one starts from it. Returns at once.
    pub fn upgrade(&self, deployment: &str) {
        let shared = Arc::clone(&self.shared);
        self.shared
            .runtime
            .spawn(drive::upgrade(shared, deployment.to_owned()));
    }

    /// Waits until a deployment is in `state`.
    ///
    /// # Errors
    /// Time is up, or there is none with this id.
    pub fn wait_state(&self, deployment: &str, state: State, limit: Duration) -> Result<()> {
        until(&format!("the deployment to be {state:?}"), limit, || {
            Ok((self.state(deployment)? == state).then_some(()))
        })
    }

    /// The id of the job that a deployment runs now.
    pub fn job_id(&self, deployment: &str) -> Option<String> {
        self.shared.store().deployments.get(deployment)?.job.clone()
    }

    /// The real job behind a deployment, the newest where it was started again.
    pub fn job(&self, deployment: &str) -> Option<JobHandle> {
        match &self.shared.store().deployments.get(deployment)?.backing {
            Backing::Flink { job, .. } => job.clone(),
            Backing::Simulated { .. } => None,
        }
    }

    /// A savepoint that somebody else asks for at this moment; returns its id.
    ///
    /// # Errors
    /// The server would refuse it.
    pub fn take_foreign(&self, deployment: &str) -> Result<String> {
        let new = NewSavepoint {
            deployment: deployment.to_owned(),
            origin: Origin::UserRequest,
            made_by: MadeBy::Foreign,
            annotations: BTreeMap::new(),
            native: false,
        };
        let taken = self
            .shared
            .take(&mut self.shared.store(), &new, Fate::Natural);
        taken.map_err(|refusal| anyhow!("{}: {}", refusal.status, refusal.message))
    }

    /// The savepoints of a deployment that there really are, oldest first.
    pub fn savepoints(&self, deployment: &str) -> Vec<Savepoint> {
        let store = self.shared.store();
        let owner = store.deployments.get(deployment);
        let ids = owner.map(|it| it.savepoints.iter());
        ids.into_iter()
            .flatten()
            .filter_map(|id| store.savepoints.get(id).cloned())
            .collect()
    }

    /// How it behaves, for all deployments without settings of their own.
    pub fn settings(&self) -> Settings {
        self.shared.settings(None)
    }

    /// Changes how it behaves, for all deployments without settings of their own.
    pub fn set(&self, change: impl FnOnce(&mut Settings)) {
        let mut store = self.shared.store();
        change(&mut store.settings);
        drive::go_on_deleting(&self.shared, &mut store);
    }

    /// Changes how it behaves for one deployment, which from then on has settings of its own.
    ///
    /// # Errors
    /// There is none with this id.
    pub fn set_for(&self, deployment: &str, change: impl FnOnce(&mut Settings)) -> Result<()> {
        let mut settings = self.shared.settings(Some(deployment));
        change(&mut settings);
        self.change(deployment, |it| it.settings = Some(Box::new(settings)))?;
        drive::go_on_deleting(&self.shared, &mut self.shared.store());
        Ok(())
    }

    /// Adds a fault; the result counts how often it has happened.
    pub fn fault(&self, fault: Fault) -> Fired {
        let (active, fired) = fault.into_active();
        self.shared.faults().push(active);
        fired
    }

    /// Removes all faults.
    pub fn clear_faults(&self) {
        self.shared.faults().clear();
    }

    /// All requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Seen> {
        self.shared.log().clone()
    }

    /// How many requests came so far that asked for `call`.
    pub fn count(&self, call: Call) -> usize {
        self.shared
            .log()
            .iter()
            .filter(|seen| seen.call == Some(call))
            .count()
    }

    /// Forgets all requests so far.
    pub fn forget(&self) {
        self.shared.log().clear();
    }

    /// The pods of a deployment that runs, as manifests without a Kubernetes namespace; those of its session
    /// cluster where it has one.
    pub fn pods(&self, deployment: &str) -> Vec<Value> {
        let store = self.shared.store();
        let Some(found) = store.deployments.get(deployment) else {
            return Vec::new();
        };
        pods_of(found, found.job.iter(), &store.settings)
    }

    /// The same in the middle of an upgrade: also the pods of the job before the one that runs.
    pub fn pods_in_upgrade(&self, deployment: &str) -> Vec<Value> {
        let store = self.shared.store();
        let Some(found) = store.deployments.get(deployment) else {
            return Vec::new();
        };
        let last = found.jobs.len().saturating_sub(2);
        pods_of(found, found.jobs[last..].iter(), &store.settings)
    }

    fn change(&self, deployment: &str, change: impl FnOnce(&mut Deployment)) -> Result<()> {
        let mut store = self.shared.store();
        let found = store.deployments.get_mut(deployment);
        change(found.with_context(|| no_deployment(deployment))?);
        Ok(())
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let Some(runtime) = self.runtime.take() else {
            return;
        };
        // A thread of its own: a test may drop us inside a runtime, where waiting for one is not allowed.
        let stopping = thread::spawn(move || runtime.shutdown_timeout(STOP_TIMEOUT));
        let _ = stopping.join();
    }
}

fn no_deployment(id: &str) -> String {
    format!("no deployment {id}")
}

fn pods_of<'j>(
    deployment: &Deployment,
    jobs: impl Iterator<Item = &'j String>,
    settings: &Settings,
) -> Vec<Value> {
    match &deployment.session_cluster {
        Some(cluster) => pods::of_session_cluster(cluster, &deployment.namespace),
        None => jobs
            .flat_map(|job| pods::of_job(deployment, job, settings.slug))
            .collect(),
    }
}
