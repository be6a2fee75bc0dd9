//! The platform's JSON, as far as Lowtide reads it (swaggers of `AppManager` 2.0.1 to 2.7.1).
//!
//! Nothing is required that can be done without, because every property is optional in the
//! swaggers and releases differ: words of enums stay text, absent and `null` are the same, and
//! fields that are not needed (`flinkSavepointId` is an object in 2.0 and a string later) are not
//! even looked at.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// Reads `null` as if the field were absent.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Reads a time in ISO 8601, with or without milliseconds; anything else is no time.
fn time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let written = Value::deserialize(deserializer)?;
    Ok(written.as_str().and_then(|text| text.parse().ok()))
}

/// A list; its `kind` is not documented and not looked at.
#[derive(Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(super) struct List<T> {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) items: Vec<T>,
}

#[derive(Deserialize)]
pub(super) struct Deployment {
    pub(super) metadata: DeploymentMetadata,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) spec: DeploymentSpec,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: DeploymentStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct DeploymentMetadata {
    pub(super) id: String,
    pub(super) name: String,
    #[serde(default, deserialize_with = "time")]
    pub(super) created_at: Option<Timestamp>,
}

#[derive(Deserialize, Default)]
pub(super) struct DeploymentSpec {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) template: Template,
}

#[derive(Deserialize, Default)]
pub(super) struct Template {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) spec: TemplateSpec,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct TemplateSpec {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) flink_configuration: BTreeMap<String, Value>,
}

#[derive(Deserialize, Default)]
pub(super) struct DeploymentStatus {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) state: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) running: Running,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct Running {
    #[serde(default, deserialize_with = "time")]
    pub(super) transition_time: Option<Timestamp>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) conditions: Vec<Condition>,
}

#[derive(Deserialize)]
pub(super) struct Condition {
    #[serde(default, rename = "type", deserialize_with = "or_default")]
    pub(super) kind: String,
    /// `True`, `False` or `Unknown`.
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: String,
}

impl Deployment {
    /// When what runs now began to; when the deployment was made, where that is not told.
    pub(super) fn started_at(&self) -> Timestamp {
        let running = self.status.running.transition_time;
        running
            .or(self.metadata.created_at)
            .unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// A value of the Flink configuration, as text: numbers and booleans may stand there bare.
    pub(super) fn flink_value(&self, key: &str) -> Option<String> {
        match self.spec.template.spec.flink_configuration.get(key)? {
            Value::String(text) => Some(text.clone()),
            Value::Null => None,
            other => Some(other.to_string()),
        }
    }
}

#[derive(Deserialize)]
pub(super) struct Savepoint {
    pub(super) metadata: SavepointMetadata,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) spec: SavepointSpec,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) status: SavepointStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavepointMetadata {
    pub(super) id: String,
    #[serde(default, deserialize_with = "time")]
    pub(super) created_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) origin: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) annotations: BTreeMap<String, Value>,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
pub(super) struct SavepointSpec {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) savepoint_location: String,
}

#[derive(Deserialize, Default)]
pub(super) struct SavepointStatus {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) state: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) failure: Failure,
}

#[derive(Deserialize, Default)]
pub(super) struct Failure {
    #[serde(default, deserialize_with = "or_default")]
    pub(super) reason: String,
    #[serde(default, deserialize_with = "or_default")]
    pub(super) message: String,
}

/// An error; only `message` is known, from a client that reads it.
#[derive(Deserialize)]
pub(super) struct Error {
    pub(super) message: String,
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::json;

    use super::*;

    #[test]
    fn releases_differ_and_all_are_read() {
        let items = json!({
            "kind": "SomethingList", "apiVersion": "v9", "metadata": { "new": 1 },
            "items": [
                // 2.0.1
                { "metadata": { "id": "a", "createdAt": "2019-10-07T11:07:12Z", "origin": "SUSPEND_AND_UPGRADE" },
                  "spec": { "flinkSavepointId": { "uuid": "x" } }, "status": { "state": "STARTED", "failure": null } },
                // 2.7.1
                { "metadata": { "id": "b", "createdAt": "2022-10-26T08:19:48.123Z", "annotations": null, "type": "FULL" },
                  "spec": { "flinkSavepointId": "x", "savepointLocation": "s3://b/s" }, "status": { "state": "HIBERNATING" } },
                // The least that a swagger allows, and times that are none.
                { "metadata": { "id": "c", "createdAt": 12 }, "spec": null },
            ],
        });
        let list: List<Savepoint> = serde_json::from_value(items).unwrap();
        let told: Vec<_> = list
            .items
            .iter()
            .map(|one| (one.metadata.id.as_str(), one.metadata.created_at.is_some()))
            .collect();
        assert_eq!(told, [("a", true), ("b", true), ("c", false)]);
        assert_eq!(list.items[1].spec.savepoint_location, "s3://b/s");
        let none: List<Savepoint> = serde_json::from_value(json!({ "items": null })).unwrap();
        assert!(none.items.is_empty());
    }

    #[test]
    fn a_deployment_needs_only_its_id_and_name() {
        let bare: Deployment =
            serde_json::from_value(json!({ "metadata": { "id": "a", "name": "orders" } })).unwrap();
        assert_eq!(bare.started_at(), Timestamp::UNIX_EPOCH);
        assert_eq!(bare.flink_value("a"), None);
        let full: Deployment = serde_json::from_value(json!({
            "metadata": { "id": "a", "name": "orders", "createdAt": "2022-01-01T00:00:00Z" },
            "spec": { "template": { "spec": { "flinkConfiguration": { "a": "1 min", "b": 5, "c": null } } } },
            "status": { "state": "RUNNING", "running": { "transitionTime": "2022-01-02T00:00:00.5Z" } },
        }))
        .unwrap();
        assert_eq!(full.started_at().to_string(), "2022-01-02T00:00:00.5Z");
        let value = |key| full.flink_value(key);
        assert_eq!(value("a").as_deref(), Some("1 min"));
        assert_eq!(value("b").as_deref(), Some("5"));
        assert_eq!(value("c"), None);
    }
}
