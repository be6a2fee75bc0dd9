//! Any metadata that a version of the format can hold.

use flink_metadata::{
    BackendFile, ChangelogDelta, ChangelogHandle, ChangelogStream, Channel, ChannelState,
    FileMerging, IncrementalDetails, IncrementalHandle, KeyGroupRange, KeyGroupsHandle,
    KeyGroupsKind, KeyedStateHandle, MasterState, Metadata, Operator, OperatorId, OperatorState,
    OperatorStateHandle, Properties, Redistribution, SavepointFormat, Scope, Segment, SnapshotKind,
    StateChange, StreamHandle, Subtask, SubtaskState,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Metadata of any version.
pub fn metadata() -> impl Strategy<Value = Metadata> {
    (2..=6_u32).prop_flat_map(metadata_of)
}

fn metadata_of(version: u32) -> impl Strategy<Value = Metadata> {
    (
        java_long(),
        vec(master_state(), 0..3),
        vec(operator(version), 0..4),
        properties(version),
    )
        .prop_map(
            move |(checkpoint_id, master_states, operators, properties)| Metadata {
                version,
                checkpoint_id,
                master_states,
                operators,
                properties,
            },
        )
}

fn java_int() -> impl Strategy<Value = u32> {
    prop_oneof![0..200_u32, 0..=i32::MAX.cast_unsigned()]
}

fn java_long() -> impl Strategy<Value = u64> {
    prop_oneof![0..1_000_000_u64, 0..=i64::MAX.cast_unsigned()]
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z0-9-]{0,12}",
        vec(any::<char>(), 0..6).prop_map(String::from_iter)
    ]
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..20)
}

fn offsets() -> impl Strategy<Value = Vec<i64>> {
    vec(any::<i64>(), 0..4)
}

fn size() -> impl Strategy<Value = Option<u64>> {
    option::of(java_long())
}

fn master_state() -> impl Strategy<Value = MasterState> {
    (any::<i32>(), text(), bytes()).prop_map(|(version, name, bytes)| MasterState {
        version,
        name,
        bytes,
    })
}

fn operator(version: u32) -> impl Strategy<Value = Operator> {
    let label = move || {
        if version < 5 {
            Just(None).boxed()
        } else {
            option::of("[a-zü😀]{1,8}").boxed()
        }
    };
    let content = prop_oneof![1 => finished(version), 4 => unfinished(version)];
    let numbers = (any::<[u8; 16]>(), java_int(), java_int());
    (label(), label(), numbers, content).prop_map(
        |(name, uid, (id, parallelism, max_parallelism), (coordinator, subtasks))| Operator {
            name,
            uid,
            id: OperatorId(id),
            parallelism,
            max_parallelism,
            fully_finished: subtasks.is_none(),
            coordinator,
            subtasks: subtasks.unwrap_or_default(),
        },
    )
}

type Content = (Option<StreamHandle>, Option<Vec<Subtask>>);

fn finished(version: u32) -> BoxedStrategy<Content> {
    if version < 3 {
        unfinished(version)
    } else {
        Just((None, None)).boxed()
    }
}

fn unfinished(version: u32) -> BoxedStrategy<Content> {
    let coordinator = if version < 3 {
        Just(None).boxed()
    } else {
        option::of(inline()).boxed()
    };
    (coordinator, vec(subtask(version), 0..3).prop_map(Some)).boxed()
}

fn subtask(version: u32) -> impl Strategy<Value = Subtask> {
    let state = subtask_state(version).prop_map(|state| Some(Box::new(state)));
    let state = if version < 3 {
        state.boxed()
    } else {
        prop_oneof![1 => Just(None), 4 => state].boxed()
    };
    (java_int(), state).prop_map(|(index, state)| Subtask { index, state })
}

fn subtask_state(version: u32) -> impl Strategy<Value = SubtaskState> {
    let operator = || option::of(operator_state());
    let keyed = || option::of(keyed());
    let channels = move || {
        if version < 3 {
            Just(Vec::new()).boxed()
        } else {
            vec(channel(version), 0..3).boxed()
        }
    };
    (
        operator(),
        operator(),
        keyed(),
        keyed(),
        channels(),
        channels(),
    )
        .prop_map(
            |(managed_operator, raw_operator, managed_keyed, raw_keyed, inputs, outputs)| {
                SubtaskState {
                    managed_operator,
                    raw_operator,
                    managed_keyed,
                    raw_keyed,
                    input_channels: inputs,
                    output_channels: outputs,
                }
            },
        )
}

fn channel(version: u32) -> BoxedStrategy<ChannelState> {
    let numbers = (any::<i32>(), any::<i32>(), any::<i32>(), any::<i64>());
    let single = (numbers, offsets(), stream()).prop_map(
        |((subtask, gate, index, size), offsets, stream)| ChannelState::Single {
            subtask,
            channel: Channel { gate, index },
            offsets,
            size,
            stream,
        },
    );
    let merged = (any::<i32>(), any::<i64>(), stream(), bytes()).prop_map(
        |(subtask, size, stream, offsets)| ChannelState::Merged {
            subtask,
            size,
            stream,
            offsets,
        },
    );
    if version < 6 {
        single.boxed()
    } else {
        prop_oneof![single, merged].boxed()
    }
}

fn operator_state() -> impl Strategy<Value = OperatorStateHandle> {
    let modes = [
        Redistribution::SplitDistribute,
        Redistribution::Union,
        Redistribution::Broadcast,
    ];
    let state = (text(), select(modes.to_vec()), offsets()).prop_map(|(name, mode, offsets)| {
        OperatorState {
            name,
            mode,
            offsets,
        }
    });
    let merging =
        (text(), text(), any::<bool>()).prop_map(|(task_owned_dir, shared_dir, is_empty)| {
            FileMerging {
                task_owned_dir,
                shared_dir,
                is_empty,
            }
        });
    (vec(state, 0..3), stream(), option::of(merging)).prop_map(|(states, stream, merging)| {
        OperatorStateHandle {
            states,
            stream,
            merging,
        }
    })
}

fn inline() -> impl Strategy<Value = StreamHandle> {
    (text(), bytes()).prop_map(|(name, bytes)| StreamHandle::Inline { name, bytes })
}

fn stream() -> impl Strategy<Value = StreamHandle> {
    let scope = select(&[Scope::Exclusive, Scope::Shared][..]);
    let segment = (java_long(), java_long(), scope, text(), text()).prop_map(
        |(start, size, scope, path, logical_file_id)| {
            StreamHandle::Segment(Box::new(Segment {
                start,
                size,
                scope,
                path,
                logical_file_id,
            }))
        },
    );
    let leaf = prop_oneof![
        inline(),
        (text(), size()).prop_map(|(path, size)| StreamHandle::File { path, size }),
        (text(), size()).prop_map(|(path, size)| StreamHandle::Relative { path, size }),
        segment,
        Just(StreamHandle::EmptySegment),
    ];
    leaf.prop_recursive(2, 3, 1, |inner| {
        (java_int(), offsets(), inner).prop_map(|(start, offsets, stream)| {
            StreamHandle::KeyGroups {
                range: range_of(start, &offsets),
                offsets,
                stream: Box::new(stream),
            }
        })
    })
}

fn range_of(start: u32, offsets: &[i64]) -> KeyGroupRange {
    KeyGroupRange {
        start,
        count: u32::try_from(offsets.len()).unwrap(),
    }
}

fn range() -> impl Strategy<Value = KeyGroupRange> {
    (java_int(), java_int()).prop_map(|(start, count)| KeyGroupRange { start, count })
}

fn keyed() -> impl Strategy<Value = KeyedStateHandle> {
    let leaf = prop_oneof![
        key_groups().prop_map(KeyedStateHandle::KeyGroups),
        incremental().prop_map(KeyedStateHandle::Incremental),
        delta().prop_map(KeyedStateHandle::Delta),
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        changelog(inner).prop_map(KeyedStateHandle::Changelog)
    })
}

fn key_groups() -> impl Strategy<Value = KeyGroupsHandle> {
    let kind = prop_oneof![
        Just(KeyGroupsKind::V1),
        Just(KeyGroupsKind::Savepoint),
        text().prop_map(|state_handle_id| KeyGroupsKind::V2 { state_handle_id }),
    ];
    (kind, java_int(), offsets(), stream()).prop_map(|(kind, start, offsets, stream)| {
        KeyGroupsHandle {
            kind,
            range: range_of(start, &offsets),
            offsets,
            stream,
        }
    })
}

fn incremental() -> impl Strategy<Value = IncrementalHandle> {
    let files = || {
        let file =
            (text(), stream()).prop_map(|(local_path, stream)| BackendFile { local_path, stream });
        vec(file, 0..3)
    };
    let details =
        (size(), text()).prop_map(|(checkpointed_bytes, state_handle_id)| IncrementalDetails {
            checkpointed_bytes,
            state_handle_id,
        });
    (
        any::<i64>(),
        text(),
        range(),
        stream(),
        files(),
        files(),
        option::of(details),
    )
        .prop_map(
            |(checkpoint_id, backend_id, range, meta, shared, private, details)| {
                IncrementalHandle {
                    checkpoint_id,
                    backend_id,
                    range,
                    meta,
                    shared,
                    private,
                    details,
                }
            },
        )
}

fn changelog(
    inner: impl Strategy<Value = KeyedStateHandle>,
) -> impl Strategy<Value = ChangelogHandle> {
    let ids = (any::<i64>(), option::of(any::<i64>()), text());
    (range(), size(), vec(inner, 0..3), vec(delta(), 0..3), ids).prop_map(
        |(range, checkpointed_bytes, materialized, delta, ids)| ChangelogHandle {
            range,
            checkpointed_bytes,
            materialized,
            delta,
            materialization_id: ids.0,
            checkpoint_id: ids.1,
            state_handle_id: ids.2,
        },
    )
}

fn delta() -> impl Strategy<Value = ChangelogDelta> {
    let change =
        (any::<i32>(), bytes()).prop_map(|(key_group, bytes)| StateChange { key_group, bytes });
    let in_memory = (
        range(),
        any::<i64>(),
        any::<i64>(),
        vec(change, 0..3),
        text(),
    )
        .prop_map(
            |(range, from, to, changes, state_handle_id)| ChangelogDelta::InMemory {
                range,
                from,
                to,
                changes,
                state_handle_id,
            },
        );
    let piece =
        (any::<i64>(), stream()).prop_map(|(offset, stream)| ChangelogStream { offset, stream });
    let streams = (
        range(),
        vec(piece, 0..3),
        java_long(),
        size(),
        text(),
        option::of(text()),
    )
        .prop_map(
            |(range, streams, size, checkpointed_bytes, state_handle_id, storage_identifier)| {
                ChangelogDelta::Streams {
                    range,
                    streams,
                    size,
                    checkpointed_bytes,
                    state_handle_id,
                    storage_identifier,
                }
            },
        );
    prop_oneof![in_memory, streams]
}

fn properties(version: u32) -> BoxedStrategy<Option<Properties>> {
    if version < 4 {
        return Just(None).boxed();
    }
    let savepoints = [
        SnapshotKind::Savepoint,
        SnapshotKind::SuspendSavepoint,
        SnapshotKind::TerminateSavepoint,
    ];
    let formats = [SavepointFormat::Canonical, SavepointFormat::Native];
    let checkpoints = [SnapshotKind::Checkpoint, SnapshotKind::FullCheckpoint];
    let kind = prop_oneof![
        (
            select(savepoints.to_vec()),
            select(formats.to_vec()).prop_map(Some)
        ),
        (select(checkpoints.to_vec()), Just(None)),
    ];
    let some = (kind, any::<[bool; 7]>()).prop_map(|((kind, format), flags)| Properties {
        kind,
        format,
        forced: flags[0],
        discard_cancelled: flags[1],
        discard_failed: flags[2],
        discard_finished: flags[3],
        discard_subsumed: flags[4],
        discard_suspended: flags[5],
        unclaimed: flags[6],
    });
    option::weighted(0.9, some).boxed()
}
