//! What a `_metadata` file says: the snapshot, its operators and their subtasks.

use crate::handle::{ChannelState, KeyedStateHandle, OperatorStateHandle, StreamHandle};
use crate::operator_id::OperatorId;
use crate::properties::Properties;

/// The content of a `_metadata` file
/// (`org.apache.flink.runtime.checkpoint.metadata.CheckpointMetadata`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Metadata {
    /// Version of the format: 2 to 6.
    pub version: u32,
    /// Number of the checkpoint or savepoint in its job. Both count together.
    pub checkpoint_id: u64,
    /// State of hooks on the `JobManager`; empty in nearly every job.
    pub master_states: Vec<MasterState>,
    /// The operators in the order of the file. From version 5 on also those without state.
    pub operators: Vec<Operator>,
    /// What kind of snapshot it is. `None` before version 4; see
    /// [`snapshot_type`](Metadata::snapshot_type) for a guess that works then, too.
    pub properties: Option<Properties>,
}

impl Metadata {
    /// The releases of Flink that write files of this version, such as `1.16 to 1.20`.
    #[must_use]
    pub fn written_by(&self) -> &'static str {
        match self.version {
            2 => "1.3 to 1.10",
            3 => "1.11 to 1.15",
            4 => "1.16 to 1.20",
            5 => "2.0",
            _ => "2.1 to 2.3",
        }
    }
}

/// State of one `MasterTriggerRestoreHook` (`org.apache.flink.runtime.checkpoint.MasterState`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MasterState {
    /// Version of the hook's own serialization.
    pub version: i32,
    /// Name of the hook.
    pub name: String,
    /// The hook's state; only the hook can read it.
    pub bytes: Vec<u8>,
}

/// One operator (`org.apache.flink.runtime.checkpoint.OperatorState`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operator {
    /// Name as in the job graph. From version 5 on (Flink 2.0).
    pub name: Option<String>,
    /// The uid that the program gave it, if it gave one. From version 5 on (Flink 2.0).
    pub uid: Option<String>,
    /// The id by which Flink matches the operator when it restores.
    pub id: OperatorId,
    /// Number of parallel subtasks when the snapshot was taken.
    pub parallelism: u32,
    /// Number of key groups, and so the upper bound of the parallelism.
    pub max_parallelism: u32,
    /// State of the operator's coordinator on the `JobManager`, such as a source's enumerator.
    pub coordinator: Option<StreamHandle>,
    /// Every subtask had reached the end of its input (`FullyFinishedOperatorState`). There are no
    /// subtasks then.
    pub fully_finished: bool,
    /// The subtasks that sent state. Those without any may be missing.
    pub subtasks: Vec<Subtask>,
}

/// One parallel subtask of an operator.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subtask {
    /// Number of the subtask, from 0.
    pub index: u32,
    /// Its state. `None` if the subtask had reached the end of its input
    /// (`FinishedOperatorSubtaskState`).
    pub state: Option<Box<SubtaskState>>,
}

impl Subtask {
    /// Whether the subtask had reached the end of its input.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state.is_none()
    }
}

/// State of one subtask (`org.apache.flink.runtime.checkpoint.OperatorSubtaskState`).
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SubtaskState {
    /// List, union and broadcast state that Flink serializes.
    pub managed_operator: Option<OperatorStateHandle>,
    /// Operator state that the operator wrote as bytes of its own.
    pub raw_operator: Option<OperatorStateHandle>,
    /// State of the keyed state backend, timers included.
    pub managed_keyed: Option<KeyedStateHandle>,
    /// Keyed state that the operator wrote as bytes of its own.
    pub raw_keyed: Option<KeyedStateHandle>,
    /// Records in flight on inputs. Unaligned checkpoints only; from version 3 on.
    pub input_channels: Vec<ChannelState>,
    /// Records in flight on outputs. Unaligned checkpoints only; from version 3 on.
    pub output_channels: Vec<ChannelState>,
}
