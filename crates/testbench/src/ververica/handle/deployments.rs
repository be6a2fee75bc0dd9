//! Deployments, their jobs and events.

use std::sync::Arc;

use super::{Asked, Outcome};
use crate::ververica::answer::Refusal;
use crate::ververica::deployment::{Deployment, State};
use crate::ververica::drive;
use crate::ververica::savepoint::Origin;
use crate::ververica::selector;
use crate::ververica::store::Store;

pub(super) fn list(asked: &Asked<'_>) -> Outcome {
    let selector = asked.routed.parameter("labelSelector").unwrap_or_default();
    let pen = asked.pen();
    let store = asked.shared.store();
    let mut found = Vec::new();
    for deployment in of_namespace(&store, asked.namespace()) {
        let fits = selector::matches(selector, &deployment.labels);
        if fits.ok_or_else(|| Refusal::new(400, format!("Invalid selector: {selector}")))? {
            found.push(deployment);
        }
    }
    found.sort_by_key(|it| it.created);
    let items = found.into_iter().map(|it| pen.deployment(it)).collect();
    Ok(asked.list("DeploymentList", items))
}

pub(super) fn get(asked: &Asked<'_>) -> Outcome {
    let store = asked.shared.store();
    let found = find(asked, &store)?;
    Ok(asked.answer(200, asked.pen().deployment(found)))
}

/// Changes the desired state; the answer comes before the change has happened.
pub(super) fn patch(asked: &Asked<'_>) -> Outcome {
    let body = asked.json()?;
    let mut store = asked.shared.store();
    let id = find(asked, &store)?.id.clone();
    let desired = match body["spec"].get("state") {
        None => None,
        Some(state) => {
            let known = state.as_str().and_then(State::desired);
            let refused = || Refusal::new(400, format!("Unknown state {state}"));
            Some(known.ok_or_else(refused)?)
        }
    };
    if let Some(desired) = desired
        && let Some(deployment) = store.deployments.get_mut(&id)
    {
        deployment.desired = desired;
        deployment.touch();
        let shared = Arc::clone(asked.shared);
        asked
            .shared
            .runtime
            .spawn(drive::transition(shared, id.clone(), Origin::Suspend));
    }
    let changed = store.deployment(asked.namespace(), &id)?;
    Ok(asked.answer(200, asked.pen().deployment(changed)))
}

pub(super) fn list_jobs(asked: &Asked<'_>) -> Outcome {
    let wanted = asked.uuid_parameter("deploymentId")?;
    let pen = asked.pen();
    let store = asked.shared.store();
    let owners =
        of_namespace(&store, asked.namespace()).filter(|it| wanted.is_none_or(|id| id == it.id));
    let jobs = owners.flat_map(|owner| {
        let jobs = owner.jobs.iter().filter_map(|id| store.jobs.get(id));
        jobs.map(move |job| (owner, job))
    });
    let items = jobs.map(|(owner, job)| pen.job(job, owner)).collect();
    Ok(asked.list("JobList", items))
}

pub(super) fn get_job(asked: &Asked<'_>) -> Outcome {
    let id = &asked.routed.id;
    let store = asked.shared.store();
    let missing = || Refusal::new(404, format!("Job {id} not found"));
    let job = store.jobs.get(id).ok_or_else(missing)?;
    let owner = store
        .deployment(asked.namespace(), &job.deployment)
        .map_err(|_| missing())?;
    Ok(asked.answer(200, asked.pen().job(job, owner)))
}

pub(super) fn list_events(asked: &Asked<'_>) -> Outcome {
    let deployment = asked.uuid_parameter("deploymentId")?;
    let job = asked.uuid_parameter("jobId")?;
    let pen = asked.pen();
    let store = asked.shared.store();
    let owners = of_namespace(&store, asked.namespace())
        .filter(|it| deployment.is_none_or(|id| id == it.id));
    let events = owners.flat_map(|owner| owner.events.iter().map(move |event| (owner, event)));
    let items = events
        .filter(|(_, event)| job.is_none_or(|id| event.job.as_deref() == Some(id)))
        .map(|(owner, event)| pen.event(event, owner))
        .collect();
    Ok(asked.list("EventList", items))
}

fn find<'s>(asked: &Asked<'_>, store: &'s Store) -> Result<&'s Deployment, Refusal> {
    store.find(asked.shared.profile, asked.namespace(), &asked.routed.id)
}

fn of_namespace<'s>(store: &'s Store, namespace: &str) -> impl Iterator<Item = &'s Deployment> {
    store
        .deployments
        .values()
        .filter(move |it| it.namespace == namespace)
}
