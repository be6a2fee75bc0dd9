//! What the server's tasks and the test's threads share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;

use super::answer::Refusal;
use super::auth::Auth;
use super::deployment::{Deployment, State};
use super::drive::{self, Fate};
use super::fault::{self, Active, Deed};
use super::log::Seen;
use super::profile::Profile;
use super::route::Call;
use super::savepoint::{Failure, Phase};
use super::settings::{NotRunning, SecondSavepoint, Settings};
use super::store::{NewSavepoint, Store};

/// The emulator's heart. No lock is held across an `await`.
pub(super) struct Shared {
    pub profile: Profile,
    pub auth: Auth,
    pub runtime: Handle,
    store: Mutex<Store>,
    faults: Mutex<Vec<Active>>,
    log: Mutex<Vec<Seen>>,
}

impl Shared {
    pub(super) fn new(profile: Profile, auth: Auth, runtime: Handle, store: Store) -> Self {
        Self {
            profile,
            auth,
            runtime,
            store: Mutex::new(store),
            faults: Mutex::default(),
            log: Mutex::default(),
        }
    }

    pub(super) fn store(&self) -> MutexGuard<'_, Store> {
        lock(&self.store)
    }

    pub(super) fn faults(&self) -> MutexGuard<'_, Vec<Active>> {
        lock(&self.faults)
    }

    pub(super) fn log(&self) -> MutexGuard<'_, Vec<Seen>> {
        lock(&self.log)
    }

    /// The settings for a deployment, or those for all.
    pub(super) fn settings(&self, deployment: Option<&str>) -> Settings {
        self.store().settings(deployment).clone()
    }

    /// Takes one use of the first fault of the wanted kind.
    pub(super) fn fault(
        &self,
        call: Call,
        deployment: Option<&str>,
        wanted: impl Fn(&Deed) -> bool,
    ) -> Option<Deed> {
        fault::take(&mut self.faults(), call, deployment, wanted)
    }

    /// Has a savepoint taken, as the settings say; returns its id.
    pub(super) fn take(
        self: &Arc<Self>,
        store: &mut Store,
        new: &NewSavepoint,
        fate: Fate,
    ) -> Result<String, Refusal> {
        let settings = store.settings(Some(&new.deployment)).clone();
        let unknown = || Refusal::new(404, format!("Deployment {} not found", new.deployment));
        let deployment = store.deployments.get(&new.deployment).ok_or_else(unknown)?;
        let runs = deployment.running_job().is_some();
        if !runs && settings.not_running == NotRunning::Refused {
            let state = deployment.state().word();
            let message = format!("Deployment {} is in state {state}", deployment.name);
            return Err(Refusal::new(400, message));
        }
        let under_way = deployment.savepoints.iter().any(|id| {
            let other = store.savepoints.get(id);
            other.is_some_and(|other| other.phase == Phase::Started)
        });
        if under_way && settings.second_savepoint == SecondSavepoint::Refused {
            let message = format!("A savepoint of {} is in progress", deployment.name);
            return Err(Refusal::new(409, message));
        }
        let id = store.begin(new.clone()).ok_or_else(unknown)?;
        let fate = if runs {
            fate
        } else {
            Fate::Fails(no_job(store, &new.deployment))
        };
        let queues = settings.second_savepoint == SecondSavepoint::Queued;
        self.runtime
            .spawn(drive::savepoint(Arc::clone(self), id.clone(), fate, queues));
        Ok(id)
    }
}

/// The failure of a savepoint that no job can take.
fn no_job(store: &mut Store, deployment: &str) -> Failure {
    let state = store
        .deployments
        .get(deployment)
        .map_or(State::Failed, Deployment::state);
    let message = format!(
        "There is no job: the deployment is in state {}",
        state.word()
    );
    if let Some(deployment) = store.deployments.get_mut(deployment) {
        deployment.note(
            "TRANSITIONING_TO_FAILED_STATE_BECAUSE_OF_A_MISSING_JOB",
            &message,
        );
    }
    Failure::now("MissingJob", message)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Whoever panicked has said so on stderr; what it held is still whole.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
