//! Metadata in the words of the testbench's `MetadataDump.java`, which prints what Flink's own reader
//! made of the same file: so the two can be compared field by field.

#![allow(dead_code, reason = "not every test binary describes all of it")]

use std::collections::BTreeMap;

use flink_metadata::{
    KeyGroupRange, KeyGroupsKind, KeyedStateHandle, Metadata, Operator, OperatorStateHandle,
    Properties, Redistribution, SavepointFormat, SnapshotKind, StreamHandle, Subtask, SubtaskState,
};
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

/// Everything.
pub fn describe_whole(file: &str, metadata: &Metadata) -> Value {
    let mut described = describe(file, metadata);
    for (index, operator) in metadata.operators.iter().enumerate() {
        let states = operator.subtasks.iter().map(describe_subtask).collect();
        described["operators"][index]["states"] = Value::Array(states);
    }
    described
}

/// The streams below one handle, in an order of their own: Flink 1.15 keeps those of `RocksDB` in a map
/// without an order.
pub fn sort_streams(dump: &mut Value) {
    for operator in list(&mut dump["operators"]) {
        for state in list(&mut operator["states"]) {
            for handle in list(&mut state["handles"]) {
                list(&mut handle["streams"]).sort_by_key(Value::to_string);
            }
        }
    }
}

fn list(value: &mut Value) -> &mut Vec<Value> {
    value.as_array_mut().unwrap()
}

fn describe_subtask(subtask: &Subtask) -> Value {
    let nothing = SubtaskState::default();
    let state = subtask.state.as_deref().unwrap_or(&nothing);
    let operator = |place, handle: &Option<OperatorStateHandle>| {
        let handle = handle.as_ref();
        handle.map(|handle| describe_operator_state(place, handle))
    };
    let keyed = |place, handle: &Option<KeyedStateHandle>| {
        let handle = handle.as_ref();
        handle.map(|handle| describe_keyed(place, handle))
    };
    let own = [
        operator("managedOperator", &state.managed_operator),
        operator("rawOperator", &state.raw_operator),
        keyed("managedKeyed", &state.managed_keyed),
        keyed("rawKeyed", &state.raw_keyed),
    ];
    assert!(
        state.input_channels.is_empty() && state.output_channels.is_empty(),
        "a savepoint holds no records in flight"
    );
    let handles: Vec<Value> = own.into_iter().flatten().collect();
    json!({
        "subtask": subtask.index,
        "finished": subtask.is_finished(),
        "stateSize": state.state_bytes(),
        "checkpointedSize": state.checkpointed_bytes(),
        "handles": handles,
    })
}

fn describe_operator_state(place: &str, handle: &OperatorStateHandle) -> Value {
    let states: BTreeMap<&str, Value> = handle
        .states
        .iter()
        .map(|state| {
            let mode = match state.mode {
                Redistribution::SplitDistribute => "SPLIT_DISTRIBUTE",
                Redistribution::Union => "UNION",
                Redistribution::Broadcast => "BROADCAST",
            };
            let told = json!({ "mode": mode, "offsets": state.offsets.len() });
            (state.name.as_str(), told)
        })
        .collect();
    json!({
        "place": place,
        "kind": "OperatorStreamStateHandle",
        "size": handle.state_bytes(),
        "states": states,
        "streams": [describe_stream(&handle.stream)],
    })
}

fn describe_keyed(place: &str, handle: &KeyedStateHandle) -> Value {
    let (kind, range, streams) = match handle {
        KeyedStateHandle::KeyGroups(handle) => {
            let kind = match handle.kind {
                KeyGroupsKind::Savepoint => "KeyGroupsSavepointStateHandle",
                KeyGroupsKind::V1 | KeyGroupsKind::V2 { .. } => "KeyGroupsStateHandle",
            };
            (kind, handle.range, vec![&handle.stream])
        }
        KeyedStateHandle::Incremental(handle) => {
            let files = handle.shared.iter().chain(&handle.private);
            let streams = files.map(|file| &file.stream).chain([&handle.meta]);
            let kind = "IncrementalRemoteKeyedStateHandle";
            (kind, handle.range, streams.collect())
        }
        KeyedStateHandle::Changelog(_) | KeyedStateHandle::Delta(_) => {
            panic!("no savepoint of a job without a changelog holds one")
        }
    };
    let KeyGroupRange { start, count } = range;
    json!({
        "place": place,
        "kind": kind,
        "size": handle.state_bytes(),
        "checkpointedSize": handle.checkpointed_bytes(),
        "keyGroups": [start, start + count - 1],
        "streams": streams.into_iter().map(describe_stream).collect::<Vec<_>>(),
    })
}

fn describe_stream(stream: &StreamHandle) -> Value {
    let (kind, path) = match stream {
        StreamHandle::Inline { .. } => ("ByteStreamStateHandle", None),
        StreamHandle::File { path, .. } => ("FileStateHandle", Some(path)),
        StreamHandle::Relative { path, .. } => ("RelativeFileStateHandle", Some(path)),
        StreamHandle::KeyGroups { .. } | StreamHandle::Segment(_) | StreamHandle::EmptySegment => {
            panic!("no savepoint holds {stream:?}")
        }
    };
    let mut described = json!({ "kind": kind, "size": stream.state_bytes() });
    if let Some(path) = path {
        described["path"] = json!(path);
    }
    described
}
