//! From a job's details, its checkpoints and the cluster's configuration to its vitals.

use jiff::{SignedDuration, Timestamp};
use lowtide_core::fault::Fault;
use lowtide_core::gate::Vitals;

use super::{state, wire};

/// What was read of a job.
pub(super) struct Read {
    pub(super) job: wire::Job,
    /// `None` for a job without checkpoint statistics.
    pub(super) checkpoints: Option<wire::Checkpoints>,
    /// `None` likewise.
    pub(super) config: Option<wire::CheckpointConfig>,
    pub(super) cluster: wire::Cluster,
    pub(super) back_pressured: Option<bool>,
}

/// Puts the parts together.
pub(super) fn vitals(read: &Read) -> Result<Vitals, Fault> {
    let Read { job, cluster, .. } = read;
    let config = read.config.as_ref();
    let (checkpoint_in_progress, savepoint_in_progress) = read
        .checkpoints
        .as_ref()
        .map_or((false, false), in_progress);
    let total = job.vertices.iter().map(|vertex| vertex.parallelism);
    Ok(Vitals {
        state: state(&job.state),
        started_at: wire::timestamp(job.start_time)?,
        restarted_at: restarted_at(job)?,
        tasks_ready: job
            .vertices
            .iter()
            .map(tasks_ready)
            .fold(0, u32::saturating_add),
        tasks_total: total.fold(0, u32::saturating_add),
        checkpoint_in_progress,
        savepoint_in_progress,
        back_pressured: read.back_pressured,
        // Flink writes `Long.MAX_VALUE` for "never".
        checkpointing: config.is_some_and(|config| config.interval != i64::MAX),
        checkpoint_timeout: config
            .and_then(|config| config.timeout)
            .map(SignedDuration::from_millis),
        tolerable_failures: config
            .and_then(|config| config.tolerable_failed_checkpoints)
            .and_then(|count| u32::try_from(count).ok()),
        canonical_possible: !config
            .and_then(|config| config.state_backend.as_deref())
            .is_some_and(|backend| backend.contains("ForSt")),
        listed: None,
        savepoint_directory: cluster.savepoint_directory.clone(),
        default_scheme: cluster.default_scheme.clone(),
        store_duration: cluster.store_duration,
    })
}

fn tasks_ready(vertex: &wire::Vertex) -> u32 {
    let of = |state: &str| vertex.tasks.get(state).copied().unwrap_or(0);
    of("RUNNING").saturating_add(of("FINISHED"))
}

/// When the job last came back, or went down if it has not come back yet.
fn restarted_at(job: &wire::Job) -> Result<Option<Timestamp>, Fault> {
    let of = |state: &str| job.timestamps.get(state).copied().unwrap_or(0);
    let down = of("RESTARTING");
    if down <= 0 {
        return Ok(None);
    }
    wire::timestamp(down.max(of("RUNNING"))).map(Some)
}

/// Whether a checkpoint, and whether a savepoint, is in progress. The history is short; what is
/// counted but not in it is taken for a checkpoint.
fn in_progress(checkpoints: &wire::Checkpoints) -> (bool, bool) {
    let running = || {
        let history = checkpoints.history.iter();
        history.filter(|entry| entry.status == "IN_PROGRESS")
    };
    let savepoints = running().filter(|entry| entry.is_savepoint).count();
    let unlisted = checkpoints.counts.in_progress > running().count();
    let checkpoint = unlisted || running().any(|entry| !entry.is_savepoint);
    (checkpoint, savepoints > 0)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lowtide_core::resolve::JobState;
    use serde_json::{Value, json};

    use super::*;

    fn read(job: Value, checkpoints: Value, config: Value) -> Read {
        Read {
            job: serde_json::from_value(job).unwrap(),
            checkpoints: serde_json::from_value(checkpoints).unwrap(),
            config: serde_json::from_value(config).unwrap(),
            cluster: wire::Cluster::default(),
            back_pressured: None,
        }
    }

    fn job() -> Value {
        json!({
            "jid": "a", "state": "RUNNING", "start-time": 1_000, "now": 9_000,
            "timestamps": { "RUNNING": 2_000, "RESTARTING": 0 },
            "vertices": [
                { "parallelism": 2, "tasks": { "RUNNING": 1, "FINISHED": 1, "CREATED": 0 } },
                { "parallelism": 2, "tasks": { "RUNNING": 1, "INITIALIZING": 1 } },
            ],
        })
    }

    fn config() -> Value {
        json!({
            "mode": "exactly_once", "interval": 10_000, "timeout": 600_000,
            "state_backend": "HashMapStateBackend", "tolerable_failed_checkpoints": 3,
        })
    }

    #[test]
    fn a_running_job() {
        let idle = json!({ "counts": { "in_progress": 0 }, "history": [] });
        let vitals = vitals(&read(job(), idle, config())).unwrap();
        assert_eq!(vitals.state, JobState::Running);
        assert_eq!(vitals.started_at.as_millisecond(), 1_000);
        assert_eq!(vitals.restarted_at, None);
        assert_eq!((vitals.tasks_ready, vitals.tasks_total), (3, 4));
        assert!(vitals.checkpointing && vitals.canonical_possible);
        assert!(!vitals.checkpoint_in_progress && !vitals.savepoint_in_progress);
        assert_eq!(
            vitals.checkpoint_timeout,
            Some(SignedDuration::from_mins(10))
        );
        assert_eq!(vitals.tolerable_failures, Some(3));
    }

    #[test]
    fn a_restart_is_dated_by_the_return() {
        let mut back = job();
        back["timestamps"] = json!({ "RUNNING": 7_000, "RESTARTING": 5_000 });
        let mut down = job();
        down["timestamps"] = json!({ "RUNNING": 2_000, "RESTARTING": 5_000 });
        for (job, at) in [(back, 7_000), (down, 5_000)] {
            let vitals = vitals(&read(job, Value::Null, Value::Null)).unwrap();
            assert_eq!(vitals.restarted_at, Some(wire::timestamp(at).unwrap()));
        }
    }

    #[test]
    fn what_is_in_progress() {
        let entry =
            |status: &str, savepoint: bool| json!({ "status": status, "is_savepoint": savepoint });
        let cases = [
            (
                1,
                vec![entry("IN_PROGRESS", true), entry("COMPLETED", false)],
                (false, true),
            ),
            (1, vec![entry("IN_PROGRESS", false)], (true, false)),
            (2, vec![entry("IN_PROGRESS", true)], (true, true)),
            (0, vec![entry("FAILED", true)], (false, false)),
        ];
        for (count, history, expected) in cases {
            let checkpoints = json!({ "counts": { "in_progress": count }, "history": history });
            let checkpoints = serde_json::from_value(checkpoints).unwrap();
            assert_eq!(in_progress(&checkpoints), expected);
        }
    }

    #[test]
    fn checkpointing_disabled_and_forst() {
        let mut config = config();
        config["interval"] = json!(i64::MAX);
        config["state_backend"] = json!("ForStStateBackend");
        let vitals = vitals(&read(job(), Value::Null, config)).unwrap();
        assert!(!vitals.checkpointing && !vitals.canonical_possible);
    }
}
