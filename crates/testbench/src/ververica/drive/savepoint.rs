//! From `STARTED` to the end of a savepoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::task::spawn_blocking;

use crate::ververica::deployment::{Backing, SimulatedLocation};
use crate::ververica::flink::{self, Ask, Taken};
use crate::ververica::id;
use crate::ververica::savepoint::{Failure, Phase};
use crate::ververica::shared::Shared;
use crate::ververica::store::Store;

/// What is to become of a savepoint.
#[derive(Debug, Clone)]
pub(in crate::ververica) enum Fate {
    /// What becomes of it in Flink.
    Natural,
    /// It stays `STARTED`.
    Stuck,
    /// It goes to `FAILED`.
    Fails(Failure),
}

/// Drives a savepoint to its end. `queues`: it waits for its turn.
pub(in crate::ververica) async fn savepoint(
    shared: Arc<Shared>,
    id: String,
    fate: Fate,
    queues: bool,
) {
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
pub(super) async fn take(shared: &Arc<Shared>, id: &str, stops: bool) -> bool {
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
        takes: Duration,
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
fn local_path(location: &str) -> Option<PathBuf> {
    let path = location.strip_prefix("file:")?;
    Some(Path::new("/").join(path.trim_start_matches('/')))
}
