//! The deletion of a savepoint and of its files.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use crate::ververica::savepoint::{Failure, Phase, Savepoint};
use crate::ververica::settings::Deletion;
use crate::ververica::shared::Shared;
use crate::ververica::store::Store;

/// Marks a savepoint for deletion, and deletes it where it is eligible.
pub(in crate::ververica) fn delete(shared: &Arc<Shared>, store: &mut Store, id: &str) {
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
pub(in crate::ververica) fn go_on_deleting(shared: &Arc<Shared>, store: &mut Store) {
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

/// Removes a savepoint's files, unless another savepoint points to them. One that is being deleted
/// itself does not count: of two at once, each would leave the files to the other.
pub(in crate::ververica) async fn remove_data(shared: &Arc<Shared>, savepoint: Savepoint) {
    let needed = {
        let store = shared.store();
        let mut others = store.savepoints.values().filter(|it| it.id != savepoint.id);
        others.any(|it| it.location == savepoint.location && it.phase != Phase::Deleting)
    };
    let folder = savepoint.data.filter(|_| !needed);
    if let Some(folder) = folder.filter(|it| it.join("_metadata").is_file()) {
        // Where it fails the files stay, which tests see.
        let _ = spawn_blocking(move || std::fs::remove_dir_all(folder)).await;
    }
}
