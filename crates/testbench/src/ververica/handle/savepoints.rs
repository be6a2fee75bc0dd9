//! `/api/v1/namespaces/{namespace}/savepoints`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::{Asked, Outcome};
use crate::ververica::answer::{Answer, Refusal};
use crate::ververica::drive::{self, Fate};
use crate::ververica::id;
use crate::ververica::savepoint::{MadeBy, Origin, Phase};
use crate::ververica::store::{NewSavepoint, Store};

pub(super) fn list(asked: &Asked<'_>) -> Outcome {
    let deployment = asked.uuid_parameter("deploymentId")?;
    let job = asked.uuid_parameter("jobId")?;
    let pen = asked.pen();
    let (found, unknown) = {
        let store = asked.shared.store();
        let found = store.list(asked.namespace(), deployment, job);
        let owners = store.deployments.values().filter(|it| {
            asked.settings.unknown_values
                && it.namespace == asked.namespace()
                && deployment.is_none_or(|id| id == it.id)
        });
        let unknown: Vec<_> = owners.map(|it| pen.unknown_savepoint(it)).collect();
        (found, unknown)
    };
    let mut items: Vec<_> = found.iter().map(|it| pen.savepoint(it)).collect();
    items.extend(unknown);
    Ok(asked.list("SavepointList", items))
}

pub(super) fn get(asked: &Asked<'_>) -> Outcome {
    let store = asked.shared.store();
    let found = store.savepoint(asked.namespace(), &asked.routed.id)?;
    Ok(asked.answer(200, asked.pen().savepoint(found)))
}

/// Takes a savepoint, or registers one that is there already.
pub(super) fn create(asked: &Asked<'_>, fate: Fate) -> Outcome {
    let body = asked.json()?;
    let deployment = body["metadata"]["deploymentId"].as_str();
    let deployment = deployment
        .filter(|id| id::is_uuid(id))
        .ok_or_else(|| Refusal::new(400, "metadata.deploymentId is missing or no UUID"))?;
    let mut store = asked.shared.store();
    store.deployment(asked.namespace(), deployment)?;
    let location = body["spec"]["savepointLocation"].as_str();
    let new = NewSavepoint {
        deployment: deployment.to_owned(),
        origin: location.map_or(Origin::UserRequest, |_| Origin::Copied),
        made_by: MadeBy::Request,
        annotations: annotations(&body),
        native: asked.shared.profile.takes_native() && asks_native(asked, &body),
    };
    let id = match location {
        Some(location) => register(&mut store, new, location)?,
        None => asked.shared.take(&mut store, &new, fate)?,
    };
    let made = store.savepoint(asked.namespace(), &id)?;
    let mut shown = asked.pen().savepoint(made);
    if made.native {
        put(&mut shown, &asked.settings.native_field, "NATIVE");
    }
    Ok(asked.answer(asked.settings.created_status, shown))
}

/// Points a new savepoint to files that are there; whoever points to the same ones shares them.
fn register(store: &mut Store, new: NewSavepoint, location: &str) -> Result<String, Refusal> {
    let same = store
        .savepoints
        .values()
        .find(|it| it.location.as_deref() == Some(location));
    let data = same.and_then(|it| it.data.clone());
    let id = store
        .begin(new)
        .ok_or_else(|| Refusal::new(404, "Deployment not found"))?;
    if let Some(savepoint) = store.savepoints.get_mut(&id) {
        savepoint.location = Some(location.to_owned());
        savepoint.data = data;
        savepoint.become_phase(Phase::Completed);
    }
    Ok(id)
}

fn annotations(body: &Value) -> BTreeMap<String, String> {
    let found = body["metadata"]["annotations"].as_object();
    let entries = found.into_iter().flatten();
    entries
        .filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned())))
        .collect()
}

fn asks_native(asked: &Asked<'_>, body: &Value) -> bool {
    body.pointer(&asked.settings.native_field)
        .and_then(Value::as_str)
        == Some("NATIVE")
}

/// Sets the field that `pointer` names, one level deep, as in `/spec/formatType`.
fn put(shown: &mut Value, pointer: &str, word: &str) {
    if let Some((parent, field)) = pointer.rsplit_once('/')
        && let Some(Value::Object(parent)) = shown.pointer_mut(parent)
    {
        parent.insert(field.to_owned(), Value::from(word));
    }
}

/// Marks a savepoint for deletion, or with `force` removes the resource at once.
pub(super) fn delete(asked: &Asked<'_>) -> Outcome {
    let id = &asked.routed.id;
    let mut store = asked.shared.store();
    store.savepoint(asked.namespace(), id)?;
    if asked.routed.parameter("force") == Some("true") {
        let gone = store
            .remove_savepoint(id)
            .filter(|_| !asked.settings.force_leaves_data);
        if let Some(gone) = gone {
            let shared = Arc::clone(asked.shared);
            let removing = async move { drive::remove_data(&shared, gone).await };
            asked.shared.runtime.spawn(removing);
        }
    } else {
        drive::delete(asked.shared, &mut store, id);
    }
    Ok(Answer::empty(asked.settings.deleted_status))
}
