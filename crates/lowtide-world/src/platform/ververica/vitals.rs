//! From a deployment and its savepoints to its vitals.
//!
//! The platform tells less of a job than Flink does: nothing of its tasks, its checkpoints or its
//! load. What is not known here does not close the gate.

use jiff::{SignedDuration, Timestamp};
use lowtide_core::gate::Vitals;
use lowtide_core::name::SavepointId;
use lowtide_core::resolve::JobState;

use super::{state, wire};
use crate::platform::duration;

/// How long a savepoint that is `STARTED` keeps others back. One whose controller lost it stays
/// so for ever; Flink gives up after ten minutes by default, and few jobs allow more than an hour.
const STARTED_MAX: SignedDuration = SignedDuration::from_hours(1);

/// Puts the parts together.
pub(super) fn vitals(deployment: &wire::Deployment, listed: &[wire::Savepoint]) -> Vitals {
    let state = match state(&deployment.status.state) {
        JobState::Running if is_failing(deployment) => JobState::Restarting,
        state => state,
    };
    let duration = |key| {
        deployment
            .flink_value(key)
            .and_then(|text| duration::parse(&text))
    };
    let checkpoint_timeout = duration("execution.checkpointing.timeout");
    Vitals {
        state,
        started_at: deployment.started_at(),
        restarted_at: None,
        // One stands for all: a deployment that is `RUNNING` has its tasks.
        tasks_ready: u32::from(state == JobState::Running),
        tasks_total: 1,
        checkpoint_in_progress: false,
        savepoint_in_progress: is_taking(listed, checkpoint_timeout, Timestamp::now()),
        back_pressured: None,
        // A job may also switch checkpointing on by itself, which shows nowhere here.
        checkpointing: true,
        checkpoint_timeout,
        tolerable_failures: None,
        canonical_possible: !is_forst(deployment),
        listed: Some(listed.iter().map(listed_at).collect()),
        savepoint_directory: None,
        default_scheme: None,
        store_duration: None,
    }
}

/// Whether the platform says that the job fails and restarts, again and again.
fn is_failing(deployment: &wire::Deployment) -> bool {
    let conditions = &deployment.status.running.conditions;
    conditions
        .iter()
        .any(|condition| condition.kind == "JobFailing" && condition.status == "True")
}

/// Whether a savepoint is under way, whoever asked for it.
fn is_taking(
    listed: &[wire::Savepoint],
    checkpoint_timeout: Option<SignedDuration>,
    now: Timestamp,
) -> bool {
    let limit = checkpoint_timeout.map_or(STARTED_MAX, |timeout| timeout.max(STARTED_MAX));
    listed.iter().any(|one| {
        let is_young = one
            .metadata
            .created_at
            .is_some_and(|at| now.duration_since(at) < limit);
        one.status.state == "STARTED"
            && matches!(
                one.metadata.origin.as_str(),
                "USER_REQUEST" | "SUSPEND" | "SUSPEND_AND_UPGRADE"
            )
            && is_young
    })
}

/// The state backend that cannot write the canonical format, by either of its keys (the first
/// since Flink 1.20).
fn is_forst(deployment: &wire::Deployment) -> bool {
    ["state.backend.type", "state.backend"]
        .iter()
        .filter_map(|key| deployment.flink_value(key))
        .any(|backend| backend.to_ascii_lowercase().contains("forst"))
}

/// One without a time counts as old: it cannot have come of a request that is still to be made.
fn listed_at(savepoint: &wire::Savepoint) -> (SavepointId, Timestamp) {
    let created_at = savepoint.metadata.created_at;
    (
        SavepointId::new(&savepoint.metadata.id),
        created_at.unwrap_or(Timestamp::UNIX_EPOCH),
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn deployment(status: &Value, configuration: &Value) -> wire::Deployment {
        serde_json::from_value(json!({
            "metadata": { "id": "d", "name": "orders", "createdAt": "2022-01-01T00:00:00Z" },
            "spec": { "template": { "spec": { "flinkConfiguration": configuration } } },
            "status": status,
        }))
        .unwrap()
    }

    fn savepoint(state: &str, origin: &str, age: SignedDuration) -> wire::Savepoint {
        let created_at = (Timestamp::now() - age).to_string();
        serde_json::from_value(json!({
            "metadata": { "id": "s", "createdAt": created_at, "origin": origin },
            "status": { "state": state },
        }))
        .unwrap()
    }

    #[test]
    fn a_running_deployment() {
        let configuration = json!({ "execution.checkpointing.timeout": "20 min" });
        let running = deployment(&json!({ "state": "RUNNING" }), &configuration);
        let vitals = vitals(&running, &[]);
        assert_eq!(vitals.state, JobState::Running);
        assert_eq!((vitals.tasks_ready, vitals.tasks_total), (1, 1));
        let timeout = vitals.checkpoint_timeout;
        assert_eq!(timeout, Some(SignedDuration::from_mins(20)));
        assert_eq!(vitals.listed, Some(vec![]));
        assert!(vitals.canonical_possible && !vitals.savepoint_in_progress);
    }

    #[test]
    fn a_job_that_fails_again_and_again_closes_the_gate() {
        let status = |word: &str| {
            let conditions = json!([{ "type": "JobFailing", "status": word }]);
            json!({ "state": "RUNNING", "running": { "conditions": conditions } })
        };
        let failing = vitals(&deployment(&status("True"), &json!({})), &[]);
        assert_eq!(failing.state, JobState::Restarting);
        let healthy = vitals(&deployment(&status("Unknown"), &json!({})), &[]);
        assert_eq!(healthy.state, JobState::Running);
    }

    #[test]
    fn what_is_under_way_keeps_others_back_but_not_for_ever() {
        let taking = |state, origin, minutes| {
            let listed = [savepoint(state, origin, SignedDuration::from_mins(minutes))];
            is_taking(&listed, None, Timestamp::now())
        };
        assert!(taking("STARTED", "USER_REQUEST", 1));
        assert!(taking("STARTED", "SUSPEND", 59));
        assert!(!taking("STARTED", "USER_REQUEST", 61));
        assert!(!taking("STARTED", "COPIED", 1));
        assert!(!taking("COMPLETED", "USER_REQUEST", 1));
        let patient = Some(SignedDuration::from_hours(3));
        let old = [savepoint(
            "STARTED",
            "SUSPEND",
            SignedDuration::from_hours(2),
        )];
        assert!(is_taking(&old, patient, Timestamp::now()));
    }

    #[test]
    fn forst_by_either_key() {
        for key in ["state.backend", "state.backend.type"] {
            let configuration = json!({ key: "ForSt" });
            let forst = deployment(&json!({ "state": "RUNNING" }), &configuration);
            assert!(!vitals(&forst, &[]).canonical_possible);
        }
    }
}
