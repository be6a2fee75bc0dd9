//! What the platform says of a savepoint, in the core's words.

use jiff::Timestamp;
use lowtide_core::name::{Location, SavepointId, TriggerId};
use lowtide_core::run::{Cause, CauseKind, Listed, ListedState, Operation};

use super::{MARK, wire};
use crate::platform::flink;
use crate::text::one_line;

/// A savepoint of the list.
pub(super) fn listed(savepoint: &wire::Savepoint) -> Listed {
    let metadata = &savepoint.metadata;
    Listed {
        id: SavepointId::new(&metadata.id),
        requested: metadata.origin == "USER_REQUEST",
        mark: mark(savepoint),
        created_at: metadata.created_at.unwrap_or(Timestamp::UNIX_EPOCH),
        state: match operation(savepoint) {
            Operation::Completed(location) => ListedState::Completed(location),
            Operation::Failed(_) if is_on_its_way_out(savepoint) => ListedState::Other,
            Operation::Failed(cause) => ListedState::Failed(cause),
            Operation::InProgress if savepoint.status.state == "STARTED" => ListedState::InProgress,
            _ => ListedState::Other,
        },
    }
}

/// Our mark, where the server kept it.
fn mark(savepoint: &wire::Savepoint) -> Option<TriggerId> {
    savepoint
        .metadata
        .annotations
        .get(MARK)?
        .as_str()?
        .parse()
        .ok()
}

/// What became of the request that a savepoint came of. A state that this release does not know
/// is waited for: it is between two that it does.
pub(super) fn operation(savepoint: &wire::Savepoint) -> Operation {
    let location = &savepoint.spec.savepoint_location;
    match savepoint.status.state.as_str() {
        "COMPLETED" if !location.is_empty() => Operation::Completed(Location::new(location)),
        "FAILED" => Operation::Failed(failure(&savepoint.status.failure)),
        state if is_on_its_way_out(savepoint) => Operation::Failed(
            Cause::new(
                CauseKind::SavepointFailed,
                format!("the savepoint is being deleted on the platform (state {state})"),
            )
            .hint("somebody asked the platform to delete it; the next slot takes another"),
        ),
        _ => Operation::InProgress,
    }
}

fn is_on_its_way_out(savepoint: &wire::Savepoint) -> bool {
    matches!(
        savepoint.status.state.as_str(),
        "PENDING_DELETION" | "DELETING" | "FAILED_DELETION"
    )
}

/// Why it failed: the platform's reason, and its message, which may be Flink's own stack trace.
fn failure(failure: &wire::Failure) -> Cause {
    let flink = flink::classify(&failure.message);
    let said: Vec<String> = [one_line(&failure.reason), flink.text]
        .into_iter()
        .filter(|text| !text.is_empty())
        .collect();
    let text = if said.is_empty() {
        "the platform says that it failed, and not why".to_owned()
    } else {
        said.join(": ")
    };
    let hint = match flink.kind {
        CauseKind::SavepointFailed => {
            "the deployment's events in the platform's UI, and the JobManager's log, tell more"
                .to_owned()
        }
        _ => flink.hint.unwrap_or_default(),
    };
    Cause::new(flink.kind, text).hint(hint)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use serde_json::{Value, json};

    use super::*;

    fn savepoint(state: &str, location: &str, failure: &Value) -> wire::Savepoint {
        serde_json::from_value(json!({
            "metadata": {
                "id": "s", "createdAt": "2022-10-26T08:19:48Z", "origin": "USER_REQUEST",
                "annotations": { MARK: "000102030405060708090a0b0c0d0e0f", "other": 5 },
            },
            "spec": { "savepointLocation": location },
            "status": { "state": state, "failure": failure },
        }))
        .unwrap()
    }

    #[test]
    fn every_state_has_its_meaning() {
        let listed = |state, location| listed(&savepoint(state, location, &Value::Null)).state;
        assert_eq!(listed("STARTED", ""), ListedState::InProgress);
        let location = Location::new("s3://b/s");
        assert_eq!(
            listed("COMPLETED", "s3://b/s"),
            ListedState::Completed(location)
        );
        assert!(matches!(listed("FAILED", ""), ListedState::Failed(_)));
        for state in [
            "PENDING_DELETION",
            "DELETING",
            "FAILED_DELETION",
            "PREPARING",
            "",
        ] {
            assert_eq!(listed(state, "s3://b/s"), ListedState::Other, "{state}");
        }
        // The location comes with the state, or a moment later.
        assert_eq!(listed("COMPLETED", ""), ListedState::Other);
    }

    #[test]
    fn what_is_followed_is_waited_for_or_ends() {
        let of = |state| operation(&savepoint(state, "", &Value::Null));
        for state in ["STARTED", "COMPLETED", "PREPARING"] {
            assert_eq!(of(state), Operation::InProgress, "{state}");
        }
        for state in ["FAILED", "DELETING"] {
            assert!(matches!(of(state), Operation::Failed(cause) if cause.hint.is_some()));
        }
    }

    #[test]
    fn a_failure_has_its_reason_and_flink_s_own() {
        let trace = "org.apache.flink.runtime.checkpoint.CheckpointException: Checkpoint expired before completing.\n\tat a.b.C.d(C.java:1)";
        let failure = json!({ "reason": "SavepointFailedInFlink", "message": trace });
        let Operation::Failed(cause) = operation(&savepoint("FAILED", "", &failure)) else {
            panic!("not failed")
        };
        assert_eq!(cause.kind, CauseKind::Expired);
        assert!(
            cause.text.starts_with("SavepointFailedInFlink: "),
            "{}",
            cause.text
        );
        let Operation::Failed(silent) = operation(&savepoint("FAILED", "", &Value::Null)) else {
            panic!("not failed")
        };
        assert_eq!(silent.text, "the platform says that it failed, and not why");
    }

    #[test]
    fn the_mark_is_found_among_other_annotations() {
        let marked = listed(&savepoint("STARTED", "", &Value::Null));
        assert_eq!(
            marked.mark.map(|mark| mark.to_string()).as_deref(),
            Some("000102030405060708090a0b0c0d0e0f")
        );
    }
}
