//! Flink's JSON, as far as Lowtide reads it.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use serde::{Deserialize, Serialize};

use crate::platform::duration;

#[derive(Deserialize)]
pub(super) struct Overview {
    pub(super) jobs: Vec<OverviewJob>,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OverviewJob {
    pub(super) jid: String,
    pub(super) name: String,
    pub(super) state: String,
    pub(super) start_time: i64,
}

/// `/jobs/:id`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Job {
    pub(super) state: String,
    pub(super) start_time: i64,
    /// The `JobManager`'s clock when it answered, in milliseconds.
    pub(super) now: i64,
    /// When the job last entered each state, in milliseconds; 0 for never.
    #[serde(default)]
    pub(super) timestamps: BTreeMap<String, i64>,
    #[serde(default)]
    pub(super) vertices: Vec<Vertex>,
    #[serde(default)]
    pub(super) plan: Option<Plan>,
}

#[derive(Deserialize)]
pub(super) struct Vertex {
    pub(super) parallelism: u32,
    /// Tasks per state.
    #[serde(default)]
    pub(super) tasks: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
pub(super) struct Plan {
    #[serde(default)]
    pub(super) nodes: Vec<Node>,
}

#[derive(Deserialize)]
pub(super) struct Node {
    pub(super) id: String,
    #[serde(default)]
    pub(super) inputs: Vec<serde::de::IgnoredAny>,
}

impl Job {
    /// Ids of the vertices without inputs.
    pub(super) fn sources(&self) -> impl Iterator<Item = &str> {
        let nodes = self.plan.iter().flat_map(|plan| &plan.nodes);
        nodes
            .filter(|node| node.inputs.is_empty() && is_id(&node.id))
            .map(|node| node.id.as_str())
    }
}

/// `/jobs/:id`, as far as it is the job's plan.
#[derive(Deserialize)]
pub(super) struct Planned {
    pub(super) vertices: Vec<PlannedVertex>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct PlannedVertex {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) parallelism: u32,
    /// -1 until it is known.
    #[serde(default)]
    pub(super) max_parallelism: Option<i64>,
}

/// `/jobs/:id/checkpoints`.
#[derive(Deserialize)]
pub(super) struct Checkpoints {
    pub(super) counts: Counts,
    #[serde(default)]
    pub(super) history: Vec<Checkpoint>,
}

#[derive(Deserialize)]
pub(super) struct Counts {
    pub(super) in_progress: usize,
}

#[derive(Deserialize)]
pub(super) struct Checkpoint {
    pub(super) status: String,
    pub(super) is_savepoint: bool,
}

/// `/jobs/:id/checkpoints/config`; times in milliseconds.
#[derive(Deserialize)]
pub(super) struct CheckpointConfig {
    pub(super) interval: i64,
    pub(super) timeout: Option<i64>,
    pub(super) state_backend: Option<String>,
    pub(super) tolerable_failed_checkpoints: Option<i64>,
}

/// `/jobs/:id/vertices/:vid/backpressure`.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct BackPressure {
    status: Option<String>,
    /// The same stands beside it under an older name, `backpressure-level`.
    #[serde(rename = "backpressureLevel")]
    level: Option<String>,
    end_timestamp: Option<i64>,
}

impl BackPressure {
    /// When the `JobManager` began to fetch the metrics behind the level, in milliseconds of its
    /// clock.
    pub(super) fn fetched_ms(&self) -> Option<i64> {
        self.end_timestamp
            .filter(|_| self.status.as_deref() == Some("ok"))
    }

    /// Whether more than half of the time is back-pressure: Flink's word for that is `high`.
    pub(super) fn is_high(&self) -> Option<bool> {
        self.level.as_deref().map(|level| level == "high")
    }
}

/// One line of `/jobmanager/config`.
#[derive(Deserialize)]
pub(super) struct Entry {
    key: String,
    value: String,
}

/// What Lowtide wants to know of a cluster's configuration.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Cluster {
    /// Where savepoints go by default, with its scheme.
    pub(super) savepoint_directory: Option<Location>,
    /// What locations without a scheme begin with, where that is not `file:`.
    pub(super) default_scheme: Option<String>,
    /// `rest.async.store-duration`.
    pub(super) store_duration: Option<SignedDuration>,
}

impl Cluster {
    pub(super) fn of(entries: &[Entry]) -> Self {
        let value = |key: &str| {
            let entry = entries.iter().find(|entry| entry.key == key)?;
            let value = entry.value.trim();
            (!value.is_empty()).then_some(value)
        };
        let default_scheme = value("fs.default-scheme")
            .map(|scheme| scheme.trim_end_matches('/'))
            .filter(|scheme| !scheme.starts_with("file:"))
            .map(str::to_owned);
        // The first is the key since Flink 1.20; the second still works.
        let directory = value("execution.checkpointing.savepoint-dir")
            .or_else(|| value("state.savepoints.dir"));
        Self {
            savepoint_directory: directory.map(|text| match &default_scheme {
                Some(scheme) if text.starts_with('/') => Location::new(format!("{scheme}{text}")),
                _ => Location::new(text),
            }),
            store_duration: value("rest.async.store-duration").and_then(duration::parse),
            default_scheme,
        }
    }
}

/// The body of a request for a savepoint (`SavepointTriggerRequestBody`).
#[derive(Serialize)]
pub(super) struct Trigger<'a> {
    #[serde(rename = "target-directory")]
    pub(super) target_directory: &'a str,
    #[serde(rename = "formatType")]
    pub(super) format_type: &'a str,
    #[serde(rename = "triggerId")]
    pub(super) id: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Triggered {
    pub(super) request_id: String,
}

/// `/jobs/:id/savepoints/:trigger`.
#[derive(Deserialize)]
pub(super) struct Operation {
    pub(super) status: OperationStatus,
    #[serde(default, rename = "operation")]
    pub(super) result: Option<OperationResult>,
}

#[derive(Deserialize)]
pub(super) struct OperationStatus {
    pub(super) id: String,
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "kebab-case")]
pub(super) struct OperationResult {
    pub(super) location: Option<String>,
    pub(super) failure_cause: Option<FailureCause>,
}

/// Flink's `SerializedThrowable`; its serialized form is left out.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct FailureCause {
    #[serde(default)]
    pub(super) stack_trace: String,
}

/// Flink's errors: messages, or whole stack traces.
#[derive(Deserialize)]
pub(super) struct Errors {
    pub(super) errors: Vec<String>,
}

/// An error of the Kubernetes API server (`meta/v1` `Status`), which may stand between.
#[derive(Deserialize)]
pub(super) struct KubernetesStatus {
    pub(super) message: String,
}

/// Whether a text can be the id of a job or a vertex: 32 hexadecimal digits
/// (`AbstractID`).
pub(super) fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// A time that Flink gives in milliseconds.
pub(super) fn timestamp(ms: i64) -> Result<Timestamp, Fault> {
    Timestamp::from_millisecond(ms)
        .map_err(|_| Fault::permanent(format!("the platform gives {ms} for a time")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(pairs: &[(&str, &str)]) -> Cluster {
        let entry = |(key, value): &(&str, &str)| Entry {
            key: (*key).to_owned(),
            value: (*value).to_owned(),
        };
        Cluster::of(&pairs.iter().map(entry).collect::<Vec<_>>())
    }

    #[test]
    fn both_keys_name_the_savepoint_directory() {
        let old = cluster(&[("state.savepoints.dir", "file:///s")]);
        assert_eq!(old.savepoint_directory, Some(Location::new("/s")));
        let both = cluster(&[
            ("state.savepoints.dir", "/old"),
            ("execution.checkpointing.savepoint-dir", "/new"),
        ]);
        assert_eq!(both.savepoint_directory, Some(Location::new("/new")));
        assert_eq!(
            cluster(&[("state.savepoints.dir", " ")]),
            Cluster::default()
        );
    }

    #[test]
    fn a_default_scheme_qualifies_what_has_none() {
        let s3 = [
            ("fs.default-scheme", "s3://bucket/"),
            ("state.savepoints.dir", "/s"),
        ];
        let s3 = cluster(&s3);
        assert_eq!(s3.default_scheme.as_deref(), Some("s3://bucket"));
        assert_eq!(s3.savepoint_directory, Some(Location::new("s3://bucket/s")));
        let file = cluster(&[
            ("fs.default-scheme", "file:///"),
            ("state.savepoints.dir", "/s"),
        ]);
        assert_eq!(file.default_scheme, None);
        assert_eq!(file.savepoint_directory, Some(Location::new("/s")));
    }
}
