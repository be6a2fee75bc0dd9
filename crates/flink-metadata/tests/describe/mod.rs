//! Metadata in the words of the testbench's `MetadataDump.java`, which prints what Flink's own reader
//! made of the same file: so the two can be compared field by field. Without the subtasks' states, which
//! the fixtures' expectations leave out.

use flink_metadata::{Metadata, Operator, Properties, SavepointFormat, SnapshotKind};
use serde_json::{Value, json};

/// Everything but the subtasks' states.
pub fn describe(file: &str, metadata: &Metadata) -> Value {
    json!({
        "file": file,
        "version": metadata.version,
        "checkpointId": metadata.checkpoint_id,
        "masterStates": metadata.master_states.len(),
        // `parse` refuses trailing bytes.
        "trailing": 0,
        "props": metadata.properties.as_ref().map_or_else(|| "null".to_owned(), describe_properties),
        "operators": metadata.operators.iter().map(describe_operator).collect::<Vec<_>>(),
    })
}

fn describe_operator(operator: &Operator) -> Value {
    json!({
        "id": operator.id.to_string(),
        "name": operator.name,
        "uid": operator.uid,
        "parallelism": operator.parallelism,
        "maxParallelism": operator.max_parallelism,
        "fullyFinished": operator.fully_finished,
        "subtasks": operator.subtasks.len(),
        "stateSize": operator.state_bytes(),
        "checkpointedSize": operator.checkpointed_bytes(),
        "coordinatorSize": operator.coordinator_bytes(),
    })
}

/// `CheckpointProperties.toString`.
fn describe_properties(properties: &Properties) -> String {
    format!(
        "CheckpointProperties{{forced={}, checkpointType={}, discardSubsumed={}, \
         discardFinished={}, discardCancelled={}, discardFailed={}, discardSuspended={}}}",
        properties.forced,
        describe_type(properties),
        properties.discard_subsumed,
        properties.discard_finished,
        properties.discard_cancelled,
        properties.discard_failed,
        properties.discard_suspended,
    )
}

fn describe_type(properties: &Properties) -> String {
    let (name, constant) = match properties.kind {
        SnapshotKind::Savepoint => ("Savepoint", "NONE"),
        SnapshotKind::SuspendSavepoint => ("Suspend Savepoint", "SUSPEND"),
        SnapshotKind::TerminateSavepoint => ("Terminate Savepoint", "TERMINATE"),
        SnapshotKind::Checkpoint => ("Checkpoint", "FORWARD_BACKWARD"),
        SnapshotKind::FullCheckpoint => ("Full Checkpoint", "FORWARD"),
    };
    let format = match properties.format {
        Some(SavepointFormat::Canonical) => "CANONICAL",
        Some(SavepointFormat::Native) => "NATIVE",
        None => return format!("CheckpointType{{name='{name}', sharingFilesStrategy={constant}}}"),
    };
    format!("SavepointType{{name='{name}', postCheckpointAction={constant}, formatType={format}}}")
}
