//! Savepoint or checkpoint, canonical or native: from the properties, or before version 4 from the
//! handles.

use crate::handle::{
    BackendFile, IncrementalHandle, KeyGroupsKind, KeyedStateHandle, StreamHandle,
};
use crate::model::{Metadata, SubtaskState};
use crate::properties::SavepointFormat;

/// What a snapshot is, as far as its metadata tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SnapshotType {
    /// A savepoint in this format.
    Savepoint(SavepointFormat),
    /// A checkpoint.
    Checkpoint,
    /// The metadata does not tell. Only before version 4 (Flink 1.16). The directory's name may:
    /// `savepoint-…` or `chk-…`.
    Unknown,
}

impl Metadata {
    /// What the snapshot is.
    ///
    /// From version 4 on the properties say it. Before, it is concluded from what only one of them
    /// contains: key groups in the savepoint encoding (Flink 1.13 on) mean a canonical savepoint;
    /// records in flight, a changelog with changes, segments of merged files, or LSM files that lie
    /// elsewhere mean a checkpoint.
    #[must_use]
    pub fn snapshot_type(&self) -> SnapshotType {
        match &self.properties {
            Some(properties) => match (properties.kind.is_savepoint(), properties.format) {
                (true, Some(format)) => SnapshotType::Savepoint(format),
                (true, None) => SnapshotType::Unknown,
                (false, _) => SnapshotType::Checkpoint,
            },
            None => self.guess(),
        }
    }

    /// Whether it is a savepoint, or `None` if the metadata does not tell.
    #[must_use]
    pub fn is_savepoint(&self) -> Option<bool> {
        match self.snapshot_type() {
            SnapshotType::Savepoint(_) => Some(true),
            SnapshotType::Checkpoint => Some(false),
            SnapshotType::Unknown => None,
        }
    }

    /// Whether it is a savepoint in canonical format, or `None` if the metadata does not tell.
    #[must_use]
    pub fn is_canonical(&self) -> Option<bool> {
        self.has_format(SavepointFormat::Canonical)
    }

    /// Whether it is a savepoint in native format, or `None` if the metadata does not tell.
    #[must_use]
    pub fn is_native(&self) -> Option<bool> {
        self.has_format(SavepointFormat::Native)
    }

    fn has_format(&self, wanted: SavepointFormat) -> Option<bool> {
        match self.snapshot_type() {
            SnapshotType::Savepoint(format) => Some(format == wanted),
            SnapshotType::Checkpoint => Some(false),
            SnapshotType::Unknown => None,
        }
    }

    fn guess(&self) -> SnapshotType {
        let states = || {
            let subtasks = self
                .operators
                .iter()
                .flat_map(|operator| &operator.subtasks);
            subtasks.filter_map(|subtask| subtask.state.as_deref())
        };
        if states().any(has_savepoint_key_groups) {
            SnapshotType::Savepoint(SavepointFormat::Canonical)
        } else if states().any(is_of_checkpoint) {
            SnapshotType::Checkpoint
        } else {
            SnapshotType::Unknown
        }
    }
}

fn has_savepoint_key_groups(state: &SubtaskState) -> bool {
    matches!(&state.managed_keyed, Some(KeyedStateHandle::KeyGroups(handle))
        if handle.kind == KeyGroupsKind::Savepoint)
}

fn is_of_checkpoint(state: &SubtaskState) -> bool {
    let has_channels = !state.input_channels.is_empty() || !state.output_channels.is_empty();
    has_channels
        || state
            .managed_keyed
            .as_ref()
            .is_some_and(is_keyed_of_checkpoint)
}

fn is_keyed_of_checkpoint(handle: &KeyedStateHandle) -> bool {
    match handle {
        KeyedStateHandle::KeyGroups(handle) => {
            matches!(
                handle.stream,
                StreamHandle::Segment(_) | StreamHandle::EmptySegment
            )
        }
        KeyedStateHandle::Incremental(handle) => shares_files(handle),
        KeyedStateHandle::Changelog(handle) => !handle.delta.is_empty(),
        KeyedStateHandle::Delta(_) => true,
    }
}

/// Only a checkpoint shares its LSM files: they are absolute, and the rest is beside the metadata.
/// Where entropy is injected into paths everything is absolute, which tells nothing.
fn shares_files(handle: &IncrementalHandle) -> bool {
    let own = handle
        .private
        .iter()
        .map(|file| &file.stream)
        .chain([&handle.meta]);
    let is_relative = |stream: &StreamHandle| matches!(stream, StreamHandle::Relative { .. });
    let is_absolute = |file: &BackendFile| matches!(file.stream, StreamHandle::File { .. });
    handle.shared.iter().any(is_absolute) && own.into_iter().any(is_relative)
}
