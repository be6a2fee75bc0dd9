//! Handles: where the bytes of a piece of state are, and what they are.
//!
//! Numbers in names such as *tag 12* are the type bytes of Flink's `MetadataV2V3SerializerBase`.

/// Where bytes are (`org.apache.flink.runtime.state.StreamStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamHandle {
    /// In the metadata itself (`ByteStreamStateHandle`, tag 1).
    Inline {
        /// A label that looks like a path. No such file exists.
        name: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A file by its absolute URI (`FileStateHandle`, tag 2). Shared files of checkpoints, and
    /// everything where entropy is injected into paths.
    File {
        /// Absolute URI, such as `s3://bucket/key` or `file:/a/b`.
        path: String,
        /// Length of the file in bytes. `None` if the file system could not tell (-1).
        size: Option<u64>,
    },
    /// A file in the directory of this `_metadata` (`RelativeFileStateHandle`, tag 6).
    Relative {
        /// Path below the directory; a bare file name in all that Flink writes.
        path: String,
        /// Length of the file in bytes. `None` if the file system could not tell (-1).
        size: Option<u64>,
    },
    /// A stream with a directory of key groups around it (`KeyGroupsStateHandle` as a stream, tag
    /// 3). Old.
    KeyGroups {
        /// The key groups.
        range: KeyGroupRange,
        /// Where each key group begins, in bytes.
        offsets: Vec<i64>,
        /// The stream.
        stream: Box<StreamHandle>,
    },
    /// A piece of a file that several subtasks share (`SegmentFileStateHandle`, tag 15). File
    /// merging, from 1.20.
    Segment(Box<Segment>),
    /// No bytes at all (`EmptySegmentFileStateHandle`, tag 16). File merging, from 1.20.
    EmptySegment,
}

/// A piece of a merged file (`SegmentFileStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segment {
    /// Where the piece begins in the file, in bytes.
    pub start: u64,
    /// Length of the piece in bytes.
    pub size: u64,
    /// Who may use the file.
    pub scope: Scope,
    /// Absolute URI of the merged file.
    pub path: String,
    /// Name of the piece (`LogicalFile.LogicalFileId`).
    pub logical_file_id: String,
}

/// Who may use a file (`CheckpointedStateScope`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// One checkpoint only.
    Exclusive,
    /// Several checkpoints.
    Shared,
}

/// A run of consecutive key groups (`KeyGroupRange`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyGroupRange {
    /// The first key group.
    pub start: u32,
    /// How many.
    pub count: u32,
}

impl KeyGroupRange {
    /// The first key group after the range.
    #[must_use]
    pub fn end(self) -> u64 {
        u64::from(self.start) + u64::from(self.count)
    }
}

/// List, union and broadcast state of one subtask (`OperatorStreamStateHandle`, tag 4; with file
/// merging `FileMergingOperatorStreamStateHandle`, tag 17).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorStateHandle {
    /// The states in the stream, by name.
    pub states: Vec<OperatorState>,
    /// The stream that holds all of them.
    pub stream: StreamHandle,
    /// Set if the subtask merges its files.
    pub merging: Option<FileMerging>,
}

/// One named operator state (`OperatorStateHandle.StateMetaInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorState {
    /// Name, as the program or the operator registered it.
    pub name: String,
    /// How it is spread when the parallelism changes.
    pub mode: Redistribution,
    /// Where each item begins in the stream, in bytes.
    pub offsets: Vec<i64>,
}

/// How operator state is spread when the parallelism changes (`OperatorStateHandle.Mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Redistribution {
    /// Each item goes to one subtask.
    SplitDistribute,
    /// Every subtask gets all items.
    Union,
    /// All subtasks hold the same.
    Broadcast,
}

/// Directories of merged files (`FileMergingOperatorStreamStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileMerging {
    /// Directory of files of the `TaskManager`.
    pub task_owned_dir: String,
    /// Directory of files that checkpoints of the subtask share.
    pub shared_dir: String,
    /// The stream has no bytes.
    pub is_empty: bool,
}

/// Keyed state of one subtask (`org.apache.flink.runtime.state.KeyedStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyedStateHandle {
    /// One stream with all key groups (tags 3, 7 and 12): canonical savepoints, and everything of
    /// the heap backend.
    KeyGroups(KeyGroupsHandle),
    /// Files of an LSM tree (tags 5 and 11): `RocksDB` and `ForSt`, incremental checkpoints and
    /// native savepoints.
    Incremental(IncrementalHandle),
    /// A base and the changes since (tags 8 and 14): the changelog backend.
    Changelog(ChangelogHandle),
    /// Changes alone (tags 9, 10 and 13). Flink writes them inside [`Changelog`](Self::Changelog)
    /// only.
    Delta(ChangelogDelta),
}

/// One stream with all key groups of a subtask (`KeyGroupsStateHandle`,
/// `KeyGroupsSavepointStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyGroupsHandle {
    /// Which of the three encodings.
    pub kind: KeyGroupsKind,
    /// The key groups.
    pub range: KeyGroupRange,
    /// Where each key group begins in the stream, in bytes; not sorted. -1 is a key group without
    /// an offset, in raw keyed state.
    pub offsets: Vec<i64>,
    /// The stream.
    pub stream: StreamHandle,
}

/// The encodings of [`KeyGroupsHandle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyGroupsKind {
    /// Up to Flink 1.14 (tag 3).
    V1,
    /// From Flink 1.15 on (tag 12).
    V2 {
        /// Id of the handle in its job (`StateHandleID`).
        state_handle_id: String,
    },
    /// A canonical savepoint, from Flink 1.13 on (tag 7, `KeyGroupsSavepointStateHandle`).
    Savepoint,
}

/// Files of an LSM tree (`IncrementalRemoteKeyedStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementalHandle {
    /// The checkpoint that wrote it.
    pub checkpoint_id: i64,
    /// Id of the state backend instance (a UUID).
    pub backend_id: String,
    /// The key groups.
    pub range: KeyGroupRange,
    /// The names and serializers of the states.
    pub meta: StreamHandle,
    /// Immutable files, which other checkpoints may use too (SST files).
    pub shared: Vec<BackendFile>,
    /// Files of this checkpoint alone.
    pub private: Vec<BackendFile>,
    /// What Flink 1.15 added (tag 11); `None` up to 1.14 (tag 5).
    pub details: Option<IncrementalDetails>,
}

/// What Flink 1.15 added to [`IncrementalHandle`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IncrementalDetails {
    /// Bytes that this checkpoint itself wrote. `None` if unknown (-1).
    pub checkpointed_bytes: Option<u64>,
    /// Id of the handle in its job (`StateHandleID`).
    pub state_handle_id: String,
}

/// One file of an LSM tree (`IncrementalKeyedStateHandle.HandleAndLocalPath`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendFile {
    /// Its name in the state backend's local directory, such as `000012.sst`.
    pub local_path: String,
    /// Its bytes.
    pub stream: StreamHandle,
}

/// A base and the changes since (`ChangelogStateBackendHandle.ChangelogStateBackendHandleImpl`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangelogHandle {
    /// The key groups.
    pub range: KeyGroupRange,
    /// Bytes that this checkpoint itself wrote. `None` if unknown (-1).
    pub checkpointed_bytes: Option<u64>,
    /// The base: what the inner state backend wrote.
    pub materialized: Vec<KeyedStateHandle>,
    /// The changes since.
    pub delta: Vec<ChangelogDelta>,
    /// Number of the base.
    pub materialization_id: i64,
    /// The checkpoint that wrote it, from Flink 1.16 on (tag 14); `None` in 1.15 (tag 8).
    pub checkpoint_id: Option<i64>,
    /// Id of the handle in its job (`StateHandleID`).
    pub state_handle_id: String,
}

/// Changes of keyed state (`ChangelogStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangelogDelta {
    /// In the metadata itself (`InMemoryChangelogStateHandle`, tag 9).
    InMemory {
        /// The key groups.
        range: KeyGroupRange,
        /// The first change.
        from: i64,
        /// The change after the last.
        to: i64,
        /// The changes.
        changes: Vec<StateChange>,
        /// Id of the handle in its job (`StateHandleID`).
        state_handle_id: String,
    },
    /// In files (`ChangelogStateHandleStreamImpl`, tags 10 and 13).
    Streams {
        /// The key groups.
        range: KeyGroupRange,
        /// The pieces, in order.
        streams: Vec<ChangelogStream>,
        /// Bytes of all changes, before compression.
        size: u64,
        /// Bytes that this checkpoint itself wrote. `None` if unknown (-1).
        checkpointed_bytes: Option<u64>,
        /// Id of the handle in its job (`StateHandleID`).
        state_handle_id: String,
        /// Name of the changelog storage, from Flink 1.16 on (tag 13); `None` in 1.15 (tag 10).
        storage_identifier: Option<String>,
    },
}

/// One change (`org.apache.flink.runtime.state.changelog.StateChange`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateChange {
    /// The key group, or -1 for a change of the states' names and serializers.
    pub key_group: i32,
    /// The change.
    pub bytes: Vec<u8>,
}

/// One piece of a changelog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangelogStream {
    /// Where the piece begins in the stream, in bytes before compression.
    pub offset: i64,
    /// The stream. The size it records is not the length of the file: Flink does not count the flag
    /// byte it writes in front, and counts before compression.
    pub stream: StreamHandle,
}

/// Records in flight (`AbstractChannelStateHandle`, `AbstractMergedChannelStateHandle`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChannelState {
    /// Of one channel.
    Single {
        /// The subtask that wrote it.
        subtask: i32,
        /// The channel.
        channel: Channel,
        /// Where its buffers begin in the stream, in bytes.
        offsets: Vec<i64>,
        /// Bytes of its buffers.
        size: i64,
        /// The stream, which may hold other channels too.
        stream: StreamHandle,
    },
    /// Of all channels of a subtask. From version 6 on (Flink 2.1).
    Merged {
        /// The subtask that wrote it.
        subtask: i32,
        /// Bytes of the buffers.
        size: i64,
        /// The stream.
        stream: StreamHandle,
        /// Channels and offsets, in an encoding of Flink's own.
        offsets: Vec<u8>,
    },
}

/// A channel of the network stack (`InputChannelInfo`, `ResultSubpartitionInfo`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Channel {
    /// Number of the input gate, or of the result partition.
    pub gate: i32,
    /// Number of the input channel, or of the subpartition.
    pub index: i32,
}
