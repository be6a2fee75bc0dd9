//! From one state of a deployment to another.

use std::collections::BTreeMap;
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::task::spawn_blocking;

use super::savepoint::take;
use crate::flink::JobSpec;
use crate::say;
use crate::ververica::deployment::{Backing, Job, State};
use crate::ververica::flink;
use crate::ververica::id;
use crate::ververica::savepoint::{MadeBy, Origin, Phase};
use crate::ververica::shared::Shared;
use crate::ververica::store::{NewSavepoint, Store};

/// Moves a deployment to its desired state. A second change waits for the first.
pub(in crate::ververica) async fn transition(shared: Arc<Shared>, id: String, origin: Origin) {
    let Some(lock) = transition_lock(&shared, &id) else {
        return;
    };
    let _one_at_a_time = lock.lock_owned().await;
    let Some((desired, before)) = begin_transition(&shared, &id) else {
        return;
    };
    if is_simulated(&shared, &id) {
        let takes = shared.settings(Some(&id)).transition_takes;
        tokio::time::sleep(takes).await;
    }
    let (done, otherwise) = match desired {
        State::Suspended => (suspend(&shared, &id, origin).await, before),
        State::Cancelled => (cancel(&shared, &id).await, before),
        _ => (resume(&shared, &id).await, State::Failed),
    };
    if let Some(deployment) = shared.store().deployments.get_mut(&id) {
        deployment.become_state(if done.is_ok() { desired } else { otherwise });
    }
    if let Err(error) = done {
        say::step(format!(
            "deployment {id} did not become {desired:?}: {error:#}"
        ));
    }
}

fn transition_lock(shared: &Shared, id: &str) -> Option<Arc<tokio::sync::Mutex<()>>> {
    let store = shared.store();
    Some(Arc::clone(&store.deployments.get(id)?.transition))
}

/// Marks the deployment as on its way; returns where to, and from where.
fn begin_transition(shared: &Shared, id: &str) -> Option<(State, State)> {
    let mut store = shared.store();
    let deployment = store.deployments.get_mut(id)?;
    let before = deployment.actual;
    if before == deployment.desired {
        return None;
    }
    deployment.become_state(State::Transitioning);
    Some((deployment.desired, before))
}

fn is_simulated(shared: &Shared, id: &str) -> bool {
    let store = shared.store();
    let deployment = store.deployments.get(id);
    deployment.is_some_and(|it| matches!(it.backing, Backing::Simulated { .. }))
}

/// Ends the job with a savepoint.
async fn suspend(shared: &Arc<Shared>, id: &str, origin: Origin) -> Result<()> {
    let new = NewSavepoint {
        deployment: id.to_owned(),
        origin,
        made_by: MadeBy::Platform,
        annotations: BTreeMap::new(),
        native: false,
    };
    let savepoint = {
        let mut store = shared.store();
        if store.deployments.get(id).is_none_or(|it| it.job.is_none()) {
            // Nothing runs, so there is nothing to take.
            return Ok(());
        }
        store.begin(new).context("the deployment has gone")?
    };
    if !take(shared, &savepoint, true).await {
        let event = "TOO_MANY_FAILED_SUSPENSION_ATTEMPTS";
        if let Some(deployment) = shared.store().deployments.get_mut(id) {
            deployment.note(event, "The savepoint before the suspension failed");
        }
        bail!("the savepoint before the suspension failed");
    }
    shared.store().end_job(id);
    Ok(())
}

/// Ends the job without a savepoint.
async fn cancel(shared: &Arc<Shared>, id: &str) -> Result<()> {
    let (url, job) = {
        let store = shared.store();
        let deployment = store
            .deployments
            .get(id)
            .context("the deployment has gone")?;
        let url = match &deployment.backing {
            Backing::Flink { cluster, .. } => Some(cluster.url().to_owned()),
            Backing::Simulated { .. } => None,
        };
        (url, deployment.job.clone())
    };
    let Some(job) = job else { return Ok(()) };
    if let Some(url) = url
        && let Err(failure) = flink::cancel(&url, &id::undashed(&job)).await
    {
        bail!(failure.message);
    }
    let mut store = shared.store();
    if let Some(location) = store.settings(Some(id)).retained_checkpoint.clone() {
        retain_checkpoint(&mut store, id, location);
    }
    store.end_job(id);
    Ok(())
}

fn retain_checkpoint(store: &mut Store, deployment: &str, location: String) {
    let new = NewSavepoint {
        deployment: deployment.to_owned(),
        origin: Origin::RetainedCheckpoint,
        made_by: MadeBy::Platform,
        annotations: BTreeMap::new(),
        native: false,
    };
    let begun = store.begin(new);
    if let Some(savepoint) = begun.and_then(|id| store.savepoints.get_mut(&id)) {
        savepoint.location = Some(location);
        savepoint.become_phase(Phase::Completed);
    }
}

/// Starts the job from the newest completed savepoint.
async fn resume(shared: &Arc<Shared>, id: &str) -> Result<()> {
    let (backing, restore) = {
        let store = shared.store();
        let deployment = store
            .deployments
            .get(id)
            .context("the deployment has gone")?;
        let restore = store.latest(id).and_then(|it| it.location.clone());
        (deployment.backing.clone(), restore)
    };
    let job = match backing {
        Backing::Simulated { .. } => id::uuid(),
        Backing::Flink { cluster, spec, .. } => {
            let again = JobSpec {
                restore: restore.clone(),
                ..JobSpec::clone(&spec)
            };
            let handle = spawn_blocking(move || cluster.submit(&again)).await??;
            let flink_id = id::dashed(&handle.id);
            let mut store = shared.store();
            if let Some(deployment) = store.deployments.get_mut(id)
                && let Backing::Flink { job, .. } = &mut deployment.backing
            {
                *job = Some(handle);
            }
            flink_id
        }
    };
    shared.store().begin_job(Job::started(job, id, restore));
    Ok(())
}

/// Suspends a deployment and starts it again, as a change of its template would.
pub(in crate::ververica) async fn upgrade(shared: Arc<Shared>, id: String) {
    let origin = if shared.profile.tells_upgrades() {
        Origin::SuspendAndUpgrade
    } else {
        Origin::Suspend
    };
    for desired in [State::Suspended, State::Running] {
        if let Some(deployment) = shared.store().deployments.get_mut(&id) {
            deployment.desired = desired;
        }
        transition(Arc::clone(&shared), id.clone(), origin).await;
    }
}
