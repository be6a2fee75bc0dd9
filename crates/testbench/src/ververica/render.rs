//! Resources as JSON, as a release and the settings have them.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Map, Value, json};

use super::deployment::{Deployment, Event, Job, State};
use super::id;
use super::profile::Profile;
use super::savepoint::{Failure, Origin, Phase, Savepoint};
use super::settings::{FlinkSavepointId, Settings};

/// Objects that hold a user's own keys: a field more would be a user's, not the server's.
const MAPS: [&str; 3] = ["annotations", "labels", "flinkConfiguration"];

/// What a list of unknown things holds: nothing that any release has.
const UNKNOWN_ORIGIN: &str = "SCHEDULED";

/// How resources are written.
#[derive(Debug)]
pub(super) struct Pen<'s> {
    pub profile: Profile,
    pub settings: &'s Settings,
}

impl Pen<'_> {
    /// A savepoint.
    pub(super) fn savepoint(&self, it: &Savepoint) -> Value {
        let mut metadata = json!({
            "id": it.id,
            "namespace": it.namespace,
            "createdAt": self.time(it.created),
            "modifiedAt": self.time(it.modified),
            "deploymentId": it.deployment,
            "jobId": it.job,
            "origin": it.origin.word(),
            "annotations": it.annotations,
            "resourceVersion": it.version,
        });
        if self.profile.types_savepoints() {
            metadata["type"] = json!(self.kind(it));
        }
        let mut status = json!({ "state": self.phase(it.phase) });
        if let Some(failure) = &it.failure {
            status["failure"] = self.failure(failure);
        }
        json!({
            "kind": "Savepoint",
            "apiVersion": "v1",
            "metadata": metadata,
            "spec": self.savepoint_spec(it),
            "status": status,
        })
    }

    fn savepoint_spec(&self, it: &Savepoint) -> Value {
        let mut spec = json!({});
        if let Some(location) = &it.location {
            spec["savepointLocation"] = json!(location);
        }
        if let Some(id) = &it.flink_savepoint_id {
            spec["flinkSavepointId"] = match self.settings.flink_savepoint_id {
                FlinkSavepointId::Text => json!(id),
                FlinkSavepointId::Object => json!({ "uuid": id }),
            };
        }
        spec
    }

    fn kind(&self, it: &Savepoint) -> &'static str {
        match it.origin {
            _ if self.settings.unknown_values => "SEGMENTED",
            Origin::RetainedCheckpoint => "INCREMENTAL",
            Origin::Copied => "UNKNOWN",
            _ => "FULL",
        }
    }

    fn phase(&self, phase: Phase) -> &'static str {
        if self.settings.unknown_values && phase == Phase::Started {
            return "PREPARING";
        }
        phase.word()
    }

    fn failure(&self, it: &Failure) -> Value {
        json!({ "reason": it.reason, "message": it.message, "failedAt": self.time(it.at) })
    }

    /// A savepoint that no client can know what to think of: it exists in lists only.
    pub(super) fn unknown_savepoint(&self, deployment: &Deployment) -> Value {
        json!({
            "kind": "Savepoint",
            "apiVersion": "v1",
            "metadata": {
                "id": format!("ffffffff{}", deployment.id.get(8..).unwrap_or_default()),
                "namespace": deployment.namespace,
                "createdAt": self.time(deployment.created),
                "modifiedAt": self.time(deployment.created),
                "deploymentId": deployment.id,
                "jobId": deployment.job,
                "origin": UNKNOWN_ORIGIN,
                "annotations": {},
                "resourceVersion": 1,
            },
            "spec": {},
            "status": { "state": "VALIDATING" },
        })
    }

    /// A deployment.
    pub(super) fn deployment(&self, it: &Deployment) -> Value {
        let mut metadata = json!({
            "id": it.id,
            "name": it.name,
            "namespace": it.namespace,
            "createdAt": self.time(it.created),
            "modifiedAt": self.time(it.modified),
            "labels": it.labels,
            "annotations": {
                "com.dataartisans.appmanager.controller.deployment.spec.version": "1",
            },
            "resourceVersion": it.version,
        });
        let mut spec = json!({
            "state": it.desired.word(),
            "upgradeStrategy": { "kind": "STATEFUL" },
            "restoreStrategy": { "kind": self.or("LATEST_STATE", "NEWEST_STATE") },
            "maxSavepointCreationAttempts": 4,
            "maxJobCreationAttempts": 4,
            "template": { "metadata": { "annotations": {} }, "spec": {
                "artifact": { "kind": "JAR" }, "parallelism": 1, "flinkConfiguration": {},
            } },
        });
        if self.profile.addresses_by_name() {
            metadata["displayName"] = json!(it.name);
            spec["deploymentTargetName"] = json!("default");
        }
        if let Some(cluster) = &it.session_cluster {
            spec["sessionClusterName"] = json!(cluster);
        }
        json!({
            "kind": "Deployment",
            "apiVersion": "v1",
            "metadata": metadata,
            "spec": spec,
            "status": self.deployment_status(it),
        })
    }

    fn deployment_status(&self, it: &Deployment) -> Value {
        let state = it.state();
        let mut status = json!({ "state": state.word() });
        if state == State::Running {
            let condition = json!({
                "type": self.or("JobFailing", "JobPondering"), "status": "False", "reason": "", "message": "",
                "lastTransitionTime": self.time(it.modified), "lastUpdateTime": self.time(it.modified),
            });
            status["running"] = json!({
                "jobId": it.job, "transitionTime": self.time(it.modified), "conditions": [condition],
            });
        }
        status
    }

    /// A job.
    pub(super) fn job(&self, it: &Job, owner: &Deployment) -> Value {
        let terminated = it.terminated.map(|at| self.time(at));
        let mut status = json!({ "state": self.or("TERMINATED", "ARCHIVED") });
        if it.terminated.is_none() {
            status = json!({ "state": "STARTED", "started": {
                "flinkJobId": id::undashed(&it.id),
                "startedAt": self.time(it.created),
                "lastUpdateTime": self.time(it.created),
                "observedFlinkJobStatus": "RUNNING",
                "observedFlinkJobRestarts": 0,
            } });
        }
        json!({
            "kind": "Job",
            "apiVersion": "v1",
            "metadata": {
                "id": it.id,
                "deploymentId": it.deployment,
                "deploymentName": owner.name,
                "namespace": owner.namespace,
                "createdAt": self.time(it.created),
                "modifiedAt": self.time(it.terminated.unwrap_or(it.created)),
                "terminatedAt": terminated,
                "annotations": {},
                "resourceVersion": 1,
                "sessionClusterName": owner.session_cluster,
            },
            "spec": { "parallelism": 1, "savepointLocation": it.restored_from },
            "status": status,
        })
    }

    /// An event.
    pub(super) fn event(&self, it: &Event, owner: &Deployment) -> Value {
        json!({
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {
                "id": it.id,
                "name": it.name,
                "namespace": owner.namespace,
                "createdAt": self.time(it.at),
                "deploymentId": owner.id,
                "jobId": it.job,
            },
            "spec": { "message": it.message },
        })
    }

    /// The wrapper of a list.
    pub(super) fn list(kind: &str, items: &[Value]) -> Value {
        json!({ "kind": kind, "apiVersion": "v1", "metadata": {}, "items": items })
    }

    /// `known`, or a value that no client knows.
    fn or(&self, known: &'static str, unknown: &'static str) -> &'static str {
        if self.settings.unknown_values {
            unknown
        } else {
            known
        }
    }

    /// A time by the server's clock.
    fn time(&self, at: Timestamp) -> String {
        let ahead = SignedDuration::from_millis(self.settings.clock_ahead_ms);
        id::iso(at.saturating_add(ahead).unwrap_or(at))
    }
}

/// Gives every object a field that no client knows.
pub(super) fn add_unknown_fields(value: &mut Value) {
    match value {
        Value::Array(items) => items.iter_mut().for_each(add_unknown_fields),
        Value::Object(object) => {
            let entries = object
                .iter_mut()
                .filter(|(key, _)| !MAPS.contains(&key.as_str()));
            entries.for_each(|(_, value)| add_unknown_fields(value));
            object.insert("unheardOf".to_owned(), unknown_field());
        }
        _ => {}
    }
}

fn unknown_field() -> Value {
    let mut inner = Map::new();
    inner.insert("kind".to_owned(), json!("SURPRISE"));
    inner.insert("values".to_owned(), json!([1, null, { "deep": true }]));
    Value::Object(inner)
}
