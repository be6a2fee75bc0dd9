//! The controllers: what VVP does by itself after a request was accepted.
//!
//! A savepoint is driven from `STARTED` to its end, a deployment towards its desired state, a savepoint that
//! is to be deleted to its deletion. Each is a task; whatever it works on may be gone when it comes back.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context as _, Result, bail};
use tokio::task::spawn_blocking;

use super::deployment::{Backing, Job, SimulatedLocation, State};
use super::flink::{self, Ask, Taken};
use super::id;
use super::savepoint::{Failure, MadeBy, Origin, Phase, Savepoint};
use super::settings::Deletion;
use super::shared::Shared;
use super::store::{NewSavepoint, Store};
use crate::flink::JobSpec;
use crate::say;

/// What is to become of a savepoint.
#[derive(Debug, Clone)]
pub(super) enum Fate {
    /// What becomes of it in Flink.
    Natural,
    /// It stays `STARTED`.
    Stuck,
    /// It goes to `FAILED`.
    Fails(Failure),
}

/// Drives a savepoint to its end. `queues`: it waits for its turn.
pub(super) async fn savepoint(shared: Arc<Shared>, id: String, fate: Fate, queues: bool) {
    let turn = {
        let store = shared.store();
        let Some(deployment) = store.savepoints.get(&id).map(|it| &it.deployment) else {
            return;
        };
        store
            .deployments
            .get(deployment)
            .map(|it| Arc::clone(&it.turn))
    };
    let _turn = match turn {
        Some(turn) if queues => Some(turn.lock_owned().await),
        _ => None,
    };
    match fate {
        // The turn is kept for ever: whoever queues behind a stuck savepoint is stuck too.
        Fate::Stuck => std::future::pending().await,
        Fate::Fails(failure) => shared.store().fail(&id, failure),
        Fate::Natural => {
            take(&shared, &id, false).await;
        }
    }
}

/// Has a savepoint really taken, and tells whether it was. `stops`: the job ends with it.
async fn take(shared: &Arc<Shared>, id: &str, stops: bool) -> bool {
    let Some(work) = work(&shared.store(), id, stops) else {
        return false;
    };
    let taken = match work {
        Work::Flink(ask) => flink::savepoint(&ask).await.map(|taken| {
            let data = local_path(&taken.location);
            (taken, data)
        }),
        Work::Simulated {
            takes,
            location,
            job,
        } => {
            tokio::time::sleep(takes).await;
            if runs(shared, id) {
                simulate(location, &job).await
            } else {
                Err(Failure::now("SavepointFailedInFlink", "The job has ended"))
            }
        }
    };
    let mut store = shared.store();
    match taken {
        Ok((taken, data)) => complete(&mut store, id, taken, data),
        Err(failure) => {
            store.fail(id, failure);
            false
        }
    }
}

/// Whether the job that a savepoint is of still runs.
fn runs(shared: &Shared, id: &str) -> bool {
    let store = shared.store();
    let savepoint = store.savepoints.get(id);
    let deployment = savepoint.and_then(|it| store.deployments.get(&it.deployment));
    savepoint.is_some()
        && deployment.and_then(|it| it.job.as_ref()) == savepoint.and_then(|it| it.job.as_ref())
}

/// How a savepoint is taken.
enum Work {
    Flink(Ask),
    Simulated {
        takes: std::time::Duration,
        location: SimulatedLocation,
        job: String,
    },
}

fn work(store: &Store, id: &str, stops: bool) -> Option<Work> {
    let savepoint = store.savepoints.get(id)?;
    let deployment = store.deployments.get(&savepoint.deployment)?;
    let job = savepoint.job.clone().unwrap_or_default();
    Some(match &deployment.backing {
        Backing::Flink { cluster, .. } => Work::Flink(Ask {
            url: cluster.url().to_owned(),
            job: id::undashed(&job),
            target: deployment.target_directory.clone(),
            native: savepoint.native,
            stops,
        }),
        Backing::Simulated { takes, location } => Work::Simulated {
            takes: *takes,
            location: location.clone(),
            job,
        },
    })
}

fn complete(store: &mut Store, id: &str, taken: Taken, data: Option<PathBuf>) -> bool {
    let Some(savepoint) = store.savepoints.get_mut(id) else {
        return false;
    };
    savepoint.location = Some(taken.location);
    savepoint.flink_savepoint_id = Some(taken.id);
    savepoint.data = data;
    // One that is to be deleted goes on to its deletion.
    if savepoint.phase == Phase::Started {
        savepoint.become_phase(Phase::Completed);
    }
    if let Some(deployment) = store.deployments.get_mut(&savepoint.deployment) {
        deployment.note("TRANSITIONED_TO_COMPLETED", "The savepoint is complete");
    }
    true
}

/// A savepoint without a Flink.
async fn simulate(
    location: SimulatedLocation,
    job: &str,
) -> Result<(Taken, Option<PathBuf>), Failure> {
    let id = id::uuid();
    let plain = id::undashed(&id);
    let name = format!("savepoint-{}-{}", &job[..job.len().min(6)], &plain[..12]);
    let (location, data) = match location {
        SimulatedLocation::Invented => (format!("file:/vvp/savepoints/{name}"), None),
        SimulatedLocation::Fixed(location) => (location, None),
        SimulatedLocation::CopyOf { template, into } => {
            let folder = into.join(name);
            let made = folder.clone();
            let copied = spawn_blocking(move || copy(&template, &made)).await;
            copied
                .map_err(|_| Failure::now("SavepointLost", "the emulator ends"))?
                .map_err(|error| Failure::now("SavepointFailedInFlink", format!("{error:#}")))?;
            (format!("file:{}", folder.display()), Some(folder))
        }
    };
    Ok((Taken { location, id }, data))
}

/// Copies the files of a savepoint, its `_metadata` last, as Flink writes it.
fn copy(template: &Path, folder: &Path) -> Result<()> {
    std::fs::create_dir_all(folder)?;
    let entries = std::fs::read_dir(template).with_context(|| template.display().to_string())?;
    let mut names: Vec<_> = entries.flatten().map(|entry| entry.file_name()).collect();
    names.sort_by_key(|name| name == "_metadata");
    for name in names {
        std::fs::copy(template.join(&name), folder.join(&name))?;
    }
    Ok(())
}

/// The folder of a `file:` location.
pub(super) fn local_path(location: &str) -> Option<PathBuf> {
    let path = location.strip_prefix("file:")?;
    Some(Path::new("/").join(path.trim_start_matches('/')))
}

/// Moves a deployment to its desired state. A second change waits for the first.
pub(super) async fn transition(shared: Arc<Shared>, id: String, origin: Origin) {
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
        annotations: std::collections::BTreeMap::new(),
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
        annotations: std::collections::BTreeMap::new(),
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
pub(super) async fn upgrade(shared: Arc<Shared>, id: String) {
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

/// Marks a savepoint for deletion, and deletes it where it is eligible.
pub(super) fn delete(shared: &Arc<Shared>, store: &mut Store, id: &str) {
    let Some(savepoint) = store.savepoints.get_mut(id) else {
        return;
    };
    if savepoint.phase == Phase::Deleting {
        return;
    }
    savepoint.failure = None;
    savepoint.become_phase(Phase::PendingDeletion);
    go_on_deleting(shared, store);
}

/// Begins to delete all that are marked and eligible.
pub(super) fn go_on_deleting(shared: &Arc<Shared>, store: &mut Store) {
    let pending = store
        .savepoints
        .values()
        .filter(|it| it.phase == Phase::PendingDeletion);
    let ids: Vec<String> = pending.map(|it| it.id.clone()).collect();
    for id in ids {
        let Some(savepoint) = store.savepoints.get(&id) else {
            continue;
        };
        let settings = store.settings(Some(&savepoint.deployment));
        let eligible = settings.deletion != Deletion::StaysPending && !store.is_shared(savepoint);
        let takes = settings.deletion_takes;
        if let Some(savepoint) = store.savepoints.get_mut(&id).filter(|_| eligible) {
            savepoint.become_phase(Phase::Deleting);
            let shared_again = Arc::clone(shared);
            shared.runtime.spawn(async move {
                tokio::time::sleep(takes).await;
                end_deletion(&shared_again, &id).await;
            });
        }
    }
}

async fn end_deletion(shared: &Arc<Shared>, id: &str) {
    let Some(savepoint) = deletable(shared, id) else {
        return;
    };
    remove_data(shared, savepoint).await;
    let mut store = shared.store();
    store.remove_savepoint(id);
    go_on_deleting(shared, &mut store);
}

/// The savepoint whose files are to go now, unless the settings say that this fails.
fn deletable(shared: &Shared, id: &str) -> Option<Savepoint> {
    let mut store = shared.store();
    let deployment = store.savepoints.get(id)?.deployment.clone();
    let fails = store.settings(Some(&deployment)).deletion == Deletion::Fails;
    let savepoint = store.savepoints.get_mut(id)?;
    if fails {
        let failure = Failure::now("SavepointDeletionFailure", "The files could not be deleted");
        savepoint.fail(Phase::FailedDeletion, failure);
        return None;
    }
    Some(savepoint.clone())
}

/// Removes a savepoint's files, unless another savepoint points to them.
pub(super) async fn remove_data(shared: &Arc<Shared>, savepoint: Savepoint) {
    let needed = {
        let store = shared.store();
        let mut others = store.savepoints.values().filter(|it| it.id != savepoint.id);
        others.any(|it| it.location == savepoint.location)
    };
    let folder = savepoint.data.filter(|_| !needed);
    if let Some(folder) = folder.filter(|it| it.join("_metadata").is_file()) {
        // Where it fails the files stay, which tests see.
        let _ = spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    }
}
