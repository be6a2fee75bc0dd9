//! Reads the `_metadata` file of Apache Flink savepoints and checkpoints.

mod anomaly;
mod error;
mod files;
mod handle;
mod java;
mod kind;
mod model;
mod mutf8;
mod operator_id;
mod parse;
mod parse_handle;
mod properties;
mod reader;
mod sizes;
#[cfg(feature = "write")]
mod write;

pub use anomaly::{Anomaly, AnomalyKind, MAX_PARALLELISM_LIMIT};
pub use error::{ParseError, ParseErrorKind, Place};
pub use files::{FilePath, FileRef, SizeRule};
pub use handle::{
    BackendFile, ChangelogDelta, ChangelogHandle, ChangelogStream, Channel, ChannelState,
    FileMerging, IncrementalDetails, IncrementalHandle, KeyGroupRange, KeyGroupsHandle,
    KeyGroupsKind, KeyedStateHandle, OperatorState, OperatorStateHandle, Redistribution, Scope,
    Segment, StateChange, StreamHandle,
};
pub use kind::SnapshotType;
pub use model::{MasterState, Metadata, Operator, Subtask, SubtaskState};
pub use operator_id::{OperatorId, OperatorIdError};
pub use parse::{VERSION_MAX, VERSION_MIN, parse};
pub use properties::{Properties, SavepointFormat, SnapshotKind};
pub use reader::MAX_DEPTH;
#[cfg(feature = "write")]
pub use write::{WriteError, write};
