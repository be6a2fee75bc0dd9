//! Which fields of two metadata differ.

use std::collections::BTreeSet;

use flink_metadata::{
    BackendFile, ChangelogDelta, ChannelState, KeyGroupRange, KeyGroupsKind, KeyedStateHandle,
    Metadata, Operator, OperatorStateHandle, StreamHandle, Subtask, SubtaskState,
};

/// Names of the fields that differ; `none` alone if all is equal, and `structure` where one has something that
/// the other has not.
pub fn differing_fields(left: &Metadata, right: &Metadata) -> BTreeSet<&'static str> {
    let mut diff = Diff::default();
    diff.metadata(left, right);
    if left == right {
        diff.0.insert("none");
    }
    assert!(
        !diff.0.is_empty(),
        "a field is not compared: {left:?} {right:?}"
    );
    diff.0
}

#[derive(Default)]
struct Diff(BTreeSet<&'static str>);

impl Diff {
    fn field<T: PartialEq + ?Sized>(&mut self, name: &'static str, left: &T, right: &T) {
        if left != right {
            self.0.insert(name);
        }
    }

    fn list<T>(&mut self, left: &[T], right: &[T], item: impl Fn(&mut Self, &T, &T)) {
        self.field("structure", &left.len(), &right.len());
        for (left, right) in left.iter().zip(right) {
            item(self, left, right);
        }
    }

    fn option<T>(&mut self, left: Option<&T>, right: Option<&T>, item: impl Fn(&mut Self, &T, &T)) {
        match (left, right) {
            (Some(left), Some(right)) => item(self, left, right),
            (None, None) => {}
            _ => self.field("structure", &true, &false),
        }
    }

    fn metadata(&mut self, left: &Metadata, right: &Metadata) {
        self.field("version", &left.version, &right.version);
        self.field("checkpoint id", &left.checkpoint_id, &right.checkpoint_id);
        self.list(
            &left.master_states,
            &right.master_states,
            |diff, left, right| {
                diff.field("master state", left, right);
            },
        );
        self.list(&left.operators, &right.operators, Self::operator);
        self.option(
            left.properties.as_ref(),
            right.properties.as_ref(),
            |diff, left, right| {
                diff.field("kind of snapshot", &left.kind, &right.kind);
                diff.field("format of savepoint", &left.format, &right.format);
                let mut alike = right.clone();
                (alike.kind, alike.format) = (left.kind, left.format);
                diff.field("flag of properties", left, &alike);
            },
        );
    }

    fn operator(&mut self, left: &Operator, right: &Operator) {
        self.field("operator name", &left.name, &right.name);
        self.field("operator uid", &left.uid, &right.uid);
        self.field("operator id", &left.id, &right.id);
        self.field("parallelism", &left.parallelism, &right.parallelism);
        self.field(
            "maximum parallelism",
            &left.max_parallelism,
            &right.max_parallelism,
        );
        self.field("structure", &left.fully_finished, &right.fully_finished);
        self.option(
            left.coordinator.as_ref(),
            right.coordinator.as_ref(),
            Self::stream,
        );
        self.list(&left.subtasks, &right.subtasks, Self::subtask);
    }

    fn subtask(&mut self, left: &Subtask, right: &Subtask) {
        self.field("subtask index", &left.index, &right.index);
        self.option(left.state.as_deref(), right.state.as_deref(), Self::state);
    }

    fn state(&mut self, left: &SubtaskState, right: &SubtaskState) {
        let operator = Self::operator_state;
        self.option(
            left.managed_operator.as_ref(),
            right.managed_operator.as_ref(),
            operator,
        );
        self.option(
            left.raw_operator.as_ref(),
            right.raw_operator.as_ref(),
            operator,
        );
        self.option(
            left.managed_keyed.as_ref(),
            right.managed_keyed.as_ref(),
            Self::keyed,
        );
        self.option(
            left.raw_keyed.as_ref(),
            right.raw_keyed.as_ref(),
            Self::keyed,
        );
        self.list(&left.input_channels, &right.input_channels, Self::channel);
        self.list(&left.output_channels, &right.output_channels, Self::channel);
    }

    fn operator_state(&mut self, left: &OperatorStateHandle, right: &OperatorStateHandle) {
        self.list(&left.states, &right.states, |diff, left, right| {
            diff.field("operator state name", &left.name, &right.name);
            diff.field("redistribution", &left.mode, &right.mode);
            diff.field("structure", &left.offsets.len(), &right.offsets.len());
            diff.field("operator state offset", &left.offsets, &right.offsets);
        });
        self.option(
            left.merging.as_ref(),
            right.merging.as_ref(),
            |diff, left, right| {
                diff.field(
                    "directory of merged files",
                    &left.task_owned_dir,
                    &right.task_owned_dir,
                );
                diff.field(
                    "directory of merged files",
                    &left.shared_dir,
                    &right.shared_dir,
                );
                diff.field(
                    "emptiness of merged operator state",
                    &left.is_empty,
                    &right.is_empty,
                );
            },
        );
        self.stream(&left.stream, &right.stream);
    }

    fn range(&mut self, left: KeyGroupRange, right: KeyGroupRange) {
        self.field("key groups", &left, &right);
    }

    fn keyed(&mut self, left: &KeyedStateHandle, right: &KeyedStateHandle) {
        match (left, right) {
            (KeyedStateHandle::KeyGroups(left), KeyedStateHandle::KeyGroups(right)) => {
                match (&left.kind, &right.kind) {
                    (
                        KeyGroupsKind::V2 {
                            state_handle_id: left,
                        },
                        KeyGroupsKind::V2 {
                            state_handle_id: right,
                        },
                    ) => self.field("state handle id", left, right),
                    (left, right) => self.field("kind of keyed state", left, right),
                }
                self.range(left.range, right.range);
                self.field("key group offset", &left.offsets, &right.offsets);
                self.stream(&left.stream, &right.stream);
            }
            (KeyedStateHandle::Incremental(left), KeyedStateHandle::Incremental(right)) => {
                self.field(
                    "checkpoint id of keyed state",
                    &left.checkpoint_id,
                    &right.checkpoint_id,
                );
                self.field("state backend id", &left.backend_id, &right.backend_id);
                self.range(left.range, right.range);
                self.stream(&left.meta, &right.meta);
                self.list(&left.shared, &right.shared, Self::file);
                self.list(&left.private, &right.private, Self::file);
                self.option(
                    left.details.as_ref(),
                    right.details.as_ref(),
                    |diff, left, right| {
                        diff.field(
                            "checkpointed size",
                            &left.checkpointed_bytes,
                            &right.checkpointed_bytes,
                        );
                        diff.field(
                            "state handle id",
                            &left.state_handle_id,
                            &right.state_handle_id,
                        );
                    },
                );
            }
            (KeyedStateHandle::Changelog(left), KeyedStateHandle::Changelog(right)) => {
                self.range(left.range, right.range);
                let (size, id) = ("checkpointed size", "materialization id");
                self.field(size, &left.checkpointed_bytes, &right.checkpointed_bytes);
                self.list(&left.materialized, &right.materialized, Self::keyed);
                self.list(&left.delta, &right.delta, Self::delta);
                self.field(id, &left.materialization_id, &right.materialization_id);
                self.field(
                    "structure",
                    &left.checkpoint_id.is_some(),
                    &right.checkpoint_id.is_some(),
                );
                self.field(
                    "checkpoint id of keyed state",
                    &left.checkpoint_id,
                    &right.checkpoint_id,
                );
                self.field(
                    "state handle id",
                    &left.state_handle_id,
                    &right.state_handle_id,
                );
            }
            (KeyedStateHandle::Delta(left), KeyedStateHandle::Delta(right)) => {
                self.delta(left, right);
            }
            _ => self.field("kind of keyed state", left, right),
        }
    }

    fn file(&mut self, left: &BackendFile, right: &BackendFile) {
        self.field(
            "local path of an LSM file",
            &left.local_path,
            &right.local_path,
        );
        self.stream(&left.stream, &right.stream);
    }

    fn delta(&mut self, left: &ChangelogDelta, right: &ChangelogDelta) {
        let (
            ChangelogDelta::Streams {
                range: left_range,
                streams: left_streams,
                size: left_size,
                checkpointed_bytes: left_checkpointed,
                state_handle_id: left_id,
                storage_identifier: left_storage,
            },
            ChangelogDelta::Streams {
                range,
                streams,
                size,
                checkpointed_bytes,
                state_handle_id,
                storage_identifier,
            },
        ) = (left, right)
        else {
            self.field("kind of changes", left, right);
            return;
        };
        self.range(*left_range, *range);
        self.list(left_streams, streams, |diff, left, right| {
            diff.field("changelog offset", &left.offset, &right.offset);
            diff.stream(&left.stream, &right.stream);
        });
        self.field("changelog size", left_size, size);
        self.field("checkpointed size", left_checkpointed, checkpointed_bytes);
        self.field("state handle id", left_id, state_handle_id);
        self.field("changelog storage", left_storage, storage_identifier);
    }

    fn channel(&mut self, left: &ChannelState, right: &ChannelState) {
        match (left, right) {
            (
                ChannelState::Single {
                    subtask: left_subtask,
                    channel: left_channel,
                    offsets: left_offsets,
                    size: left_size,
                    stream: left_stream,
                },
                ChannelState::Single {
                    subtask,
                    channel,
                    offsets,
                    size,
                    stream,
                },
            ) => {
                self.field("subtask of channel state", left_subtask, subtask);
                self.field("channel", left_channel, channel);
                self.field("structure", &left_offsets.len(), &offsets.len());
                self.field("channel offset", left_offsets, offsets);
                self.field("size of channel state", left_size, size);
                self.stream(left_stream, stream);
            }
            (
                ChannelState::Merged {
                    subtask: left_subtask,
                    size: left_size,
                    stream: left_stream,
                    offsets: left_offsets,
                },
                ChannelState::Merged {
                    subtask,
                    size,
                    stream,
                    offsets,
                },
            ) => {
                self.field("subtask of channel state", left_subtask, subtask);
                self.field("size of channel state", left_size, size);
                self.stream(left_stream, stream);
                self.field("offsets of merged channels", left_offsets, offsets);
            }
            _ => self.field("structure", left, right),
        }
    }

    fn stream(&mut self, left: &StreamHandle, right: &StreamHandle) {
        match (left, right) {
            (
                StreamHandle::Inline {
                    name: left_name,
                    bytes: left_bytes,
                },
                StreamHandle::Inline { name, bytes },
            ) => {
                self.field("structure", &left_bytes.len(), &bytes.len());
                self.field("label of inline state", left_name, name);
                self.field("inline state", left_bytes, bytes);
            }
            (StreamHandle::Segment(left), StreamHandle::Segment(right)) => {
                self.field("start of a segment", &left.start, &right.start);
                self.field("size of a segment", &left.size, &right.size);
                self.field("scope of a segment", &left.scope, &right.scope);
                self.field("path of a file", &left.path, &right.path);
                self.field(
                    "name of a segment",
                    &left.logical_file_id,
                    &right.logical_file_id,
                );
            }
            (
                StreamHandle::File {
                    path: left_path,
                    size: left_size,
                },
                StreamHandle::File { path, size },
            )
            | (
                StreamHandle::Relative {
                    path: left_path,
                    size: left_size,
                },
                StreamHandle::Relative { path, size },
            ) => {
                self.field("path of a file", left_path, path);
                self.field("size of a file", left_size, size);
            }
            _ => self.field("structure", left, right),
        }
    }
}
