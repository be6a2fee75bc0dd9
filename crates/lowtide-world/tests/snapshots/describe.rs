//! Metadata in the words of the testbench's `MetadataDump.java`, which prints what Flink's own reader made of
//! the same file: so the two can be compared field by field.

use std::collections::BTreeMap;

use lowtide_core::flink_metadata::{
    ChangelogDelta, ChannelState, KeyGroupRange, KeyGroupsKind, KeyedStateHandle, Metadata,
    Operator, OperatorStateHandle, Properties, Redistribution, Scope, StreamHandle, Subtask,
    SubtaskState,
};
use serde_json::{Value, json};

/// All of it.
pub fn describe(file: &str, metadata: &Metadata) -> Value {
    let properties = metadata.properties.as_ref();
    json!({
        "file": file,
        "version": metadata.version,
        "checkpointId": metadata.checkpoint_id,
        "masterStates": metadata.master_states.len(),
        // `parse` refuses trailing bytes.
        "trailing": 0,
        "props": properties.map_or_else(|| "null".to_owned(), describe_properties),
        "operators": metadata.operators.iter().map(operator).collect::<Vec<_>>(),
    })
}

/// The streams below each handle, in an order of their own: Flink 1.15 keeps those of `RocksDB` in a map without
/// an order.
pub fn sort_streams(dump: &mut Value) {
    match dump {
        Value::Array(items) => items.iter_mut().for_each(sort_streams),
        Value::Object(fields) => {
            for (key, value) in fields {
                sort_streams(value);
                if let (true, Value::Array(streams)) = (key == "streams", value) {
                    streams.sort_by_key(Value::to_string);
                }
            }
        }
        _ => {}
    }
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
    use lowtide_core::flink_metadata::SnapshotKind::{
        Checkpoint, FullCheckpoint, Savepoint, SuspendSavepoint, TerminateSavepoint,
    };
    let constant = match properties.kind {
        Savepoint => "NONE",
        SuspendSavepoint => "SUSPEND",
        TerminateSavepoint => "TERMINATE",
        Checkpoint => "FORWARD_BACKWARD",
        FullCheckpoint => "FORWARD",
    };
    let name = properties.kind.name();
    match properties.format {
        Some(format) => format!(
            "SavepointType{{name='{name}', postCheckpointAction={constant}, formatType={format}}}"
        ),
        None => format!("CheckpointType{{name='{name}', sharingFilesStrategy={constant}}}"),
    }
}

fn operator(operator: &Operator) -> Value {
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
        "states": operator.subtasks.iter().map(subtask).collect::<Vec<_>>(),
    })
}

fn subtask(subtask: &Subtask) -> Value {
    let nothing = SubtaskState::default();
    let state = subtask.state.as_deref().unwrap_or(&nothing);
    let mut handles = Vec::new();
    for (place, handle) in [
        ("managedOperator", &state.managed_operator),
        ("rawOperator", &state.raw_operator),
    ] {
        handles.extend(handle.as_ref().map(|it| operator_state(place, it)));
    }
    for (place, handle) in [
        ("managedKeyed", &state.managed_keyed),
        ("rawKeyed", &state.raw_keyed),
    ] {
        handles.extend(handle.as_ref().map(|it| keyed(place, it)));
    }
    handles.extend(state.input_channels.iter().map(|it| channel(&INPUT, it)));
    handles.extend(state.output_channels.iter().map(|it| channel(&OUTPUT, it)));
    json!({
        "subtask": subtask.index,
        "finished": subtask.is_finished(),
        "stateSize": state.state_bytes(),
        "checkpointedSize": state.checkpointed_bytes(),
        "handles": handles,
    })
}

fn operator_state(place: &str, handle: &OperatorStateHandle) -> Value {
    let states = handle.states.iter().map(|state| {
        let mode = match state.mode {
            Redistribution::SplitDistribute => "SPLIT_DISTRIBUTE",
            Redistribution::Union => "UNION",
            Redistribution::Broadcast => "BROADCAST",
        };
        let told = json!({ "mode": mode, "offsets": state.offsets.len() });
        (state.name.clone(), told)
    });
    let kind = match &handle.merging {
        None => "OperatorStreamStateHandle",
        Some(merging) if merging.is_empty => "EmptyFileMergingOperatorStreamStateHandle",
        Some(_) => "FileMergingOperatorStreamStateHandle",
    };
    json!({
        "place": place,
        "kind": kind,
        "size": handle.state_bytes(),
        "states": states.collect::<BTreeMap<_, _>>(),
        "streams": [stream(&handle.stream)],
    })
}

fn keyed(place: &str, handle: &KeyedStateHandle) -> Value {
    let KeyGroupRange { start, count } = handle.range();
    let kind = match handle {
        KeyedStateHandle::KeyGroups(handle) => match handle.kind {
            KeyGroupsKind::Savepoint => "KeyGroupsSavepointStateHandle",
            KeyGroupsKind::V1 | KeyGroupsKind::V2 { .. } => "KeyGroupsStateHandle",
        },
        KeyedStateHandle::Incremental(_) => "IncrementalRemoteKeyedStateHandle",
        KeyedStateHandle::Changelog(_) => "ChangelogStateBackendHandleImpl",
        KeyedStateHandle::Delta(delta) => delta_kind(delta),
    };
    let mut described = json!({
        "place": place,
        "kind": kind,
        "size": handle.state_bytes(),
        "checkpointedSize": handle.checkpointed_bytes(),
        "keyGroups": [start, start + count - 1],
        "streams": keyed_streams(handle).into_iter().map(stream).collect::<Vec<_>>(),
    });
    if let KeyedStateHandle::Incremental(handle) = handle {
        described["checkpoint"] = json!(handle.checkpoint_id);
        described["backend"] = json!(handle.backend_id);
    }
    if let KeyedStateHandle::Changelog(handle) = handle {
        let materialized = handle.materialized.iter();
        let materialized = materialized.map(|it| keyed("getMaterializedStateHandles", it));
        let delta = handle.delta.iter().cloned().map(KeyedStateHandle::Delta);
        let delta = delta.map(|it| keyed("getNonMaterializedStateHandles", &it));
        described["materialization"] = json!(handle.materialization_id);
        described["materialized"] = materialized.collect();
        described["delta"] = delta.collect();
    }
    described
}

fn delta_kind(delta: &ChangelogDelta) -> &'static str {
    match delta {
        ChangelogDelta::InMemory { .. } => "InMemoryChangelogStateHandle",
        ChangelogDelta::Streams { .. } => "ChangelogStateHandleStreamImpl",
    }
}

fn keyed_streams(handle: &KeyedStateHandle) -> Vec<&StreamHandle> {
    match handle {
        KeyedStateHandle::KeyGroups(handle) => vec![&handle.stream],
        KeyedStateHandle::Incremental(handle) => {
            let files = handle.shared.iter().chain(&handle.private);
            files
                .map(|file| &file.stream)
                .chain([&handle.meta])
                .collect()
        }
        KeyedStateHandle::Changelog(handle) => {
            let materialized = handle.materialized.iter().flat_map(keyed_streams);
            materialized
                .chain(handle.delta.iter().flat_map(delta_streams))
                .collect()
        }
        KeyedStateHandle::Delta(delta) => delta_streams(delta),
    }
}

fn delta_streams(delta: &ChangelogDelta) -> Vec<&StreamHandle> {
    match delta {
        ChangelogDelta::InMemory { .. } => Vec::new(),
        ChangelogDelta::Streams { streams, .. } => streams.iter().map(|it| &it.stream).collect(),
    }
}

/// How Flink calls the records in flight at one end of a channel.
struct End {
    place: &'static str,
    single: &'static str,
    merged: &'static str,
    info: [&'static str; 3],
}

const INPUT: End = End {
    place: "inputChannel",
    single: "InputChannelStateHandle",
    merged: "MergedInputChannelStateHandle",
    info: ["InputChannelInfo", "gateIdx", "inputChannelIdx"],
};

const OUTPUT: End = End {
    place: "resultSubpartition",
    single: "ResultSubpartitionStateHandle",
    merged: "MergedResultSubpartitionStateHandle",
    info: ["ResultSubpartitionInfo", "partitionIdx", "subPartitionIdx"],
};

fn channel(end: &End, state: &ChannelState) -> Value {
    let (ChannelState::Single { stream: held, .. } | ChannelState::Merged { stream: held, .. }) =
        state;
    let mut described = json!({
        "place": end.place,
        "kind": end.merged,
        "size": state.state_bytes(),
        "streams": [stream(held)],
    });
    if let ChannelState::Single { channel, .. } = state {
        let [class, outer, inner] = end.info;
        let info = format!(
            "{class}{{{outer}={}, {inner}={}}}",
            channel.gate, channel.index
        );
        described["kind"] = json!(end.single);
        described["channel"] = json!(info);
    }
    described
}

fn stream(stream: &StreamHandle) -> Value {
    let (kind, path) = match stream {
        StreamHandle::Inline { .. } => ("ByteStreamStateHandle", None),
        StreamHandle::File { path, .. } => ("FileStateHandle", Some(path)),
        StreamHandle::Relative { path, .. } => ("RelativeFileStateHandle", Some(path)),
        StreamHandle::Segment(segment) => ("SegmentFileStateHandle", Some(&segment.path)),
        StreamHandle::EmptySegment => ("EmptySegmentFileStateHandle", None),
        StreamHandle::KeyGroups { .. } => panic!("no release from 1.15 on writes {stream:?}"),
    };
    let mut described = json!({ "kind": kind, "size": stream.state_bytes() });
    if let Some(path) = path {
        described["path"] = json!(path);
    }
    if let StreamHandle::EmptySegment = stream {
        // `EmptySegmentFileStateHandle.EMPTY` is a constant; nothing of it is in the file.
        described["path"] = json!("empty");
        described["start"] = json!(0);
        described["scope"] = json!("EXCLUSIVE");
    }
    if let StreamHandle::Segment(segment) = stream {
        described["start"] = json!(segment.start);
        described["scope"] = json!(match segment.scope {
            Scope::Exclusive => "EXCLUSIVE",
            Scope::Shared => "SHARED",
        });
    }
    described
}
