//! Sizes in bytes, counted as Flink counts them (`StateObject.getStateSize`,
//! `CompositeStateHandle.getCheckpointedSize`), except that an unknown size counts as 0 instead of
//! -1.

use crate::handle::{
    ChangelogDelta, ChannelState, IncrementalHandle, KeyedStateHandle, OperatorStateHandle,
    StreamHandle,
};
use crate::model::{Metadata, Operator, SubtaskState};

/// Bytes of state by what it is. Each is counted as [`Operator::state_bytes`] counts it, so that
/// together they are as many.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StateBytes {
    /// Of the keyed state backend, timers included.
    pub managed_keyed: u64,
    /// List, union and broadcast state. Each subtask writes its own copy of broadcast state.
    pub managed_operator: u64,
    /// Keyed state that the operator wrote as bytes of its own.
    pub raw_keyed: u64,
    /// Operator state that the operator wrote as bytes of its own.
    pub raw_operator: u64,
    /// Records in flight, of inputs and outputs: unaligned checkpoints only.
    pub in_flight: u64,
    /// Of the operator's coordinator on the `JobManager`.
    pub coordinator: u64,
}

impl StateBytes {
    /// All of them together.
    #[must_use]
    pub fn total(&self) -> u64 {
        sum([
            self.managed_keyed,
            self.managed_operator,
            self.raw_keyed,
            self.raw_operator,
            self.in_flight,
            self.coordinator,
        ]
        .into_iter())
    }

    fn of(state: &SubtaskState) -> Self {
        let keyed = |handle: &Option<KeyedStateHandle>| {
            handle.as_ref().map_or(0, KeyedStateHandle::state_bytes)
        };
        let operator = |handle: &Option<OperatorStateHandle>| {
            handle.as_ref().map_or(0, OperatorStateHandle::state_bytes)
        };
        let channels = state.input_channels.iter().chain(&state.output_channels);
        Self {
            managed_keyed: keyed(&state.managed_keyed),
            managed_operator: operator(&state.managed_operator),
            raw_keyed: keyed(&state.raw_keyed),
            raw_operator: operator(&state.raw_operator),
            in_flight: sum(channels.map(ChannelState::state_bytes)),
            coordinator: 0,
        }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            managed_keyed: self.managed_keyed.saturating_add(other.managed_keyed),
            managed_operator: self.managed_operator.saturating_add(other.managed_operator),
            raw_keyed: self.raw_keyed.saturating_add(other.raw_keyed),
            raw_operator: self.raw_operator.saturating_add(other.raw_operator),
            in_flight: self.in_flight.saturating_add(other.in_flight),
            coordinator: self.coordinator.saturating_add(other.coordinator),
        }
    }
}

impl Metadata {
    /// Bytes of state of all operators, by what it is.
    #[must_use]
    pub fn bytes_by_kind(&self) -> StateBytes {
        let operators = self.operators.iter().map(Operator::bytes_by_kind);
        operators.fold(StateBytes::default(), StateBytes::plus)
    }

    /// Bytes of state of all operators. Files that several handles share count once for each.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        sum(self.operators.iter().map(Operator::state_bytes))
    }

    /// Bytes of state that this snapshot itself wrote; less than [`state_bytes`](Self::state_bytes)
    /// if it shares files with earlier ones.
    #[must_use]
    pub fn checkpointed_bytes(&self) -> u64 {
        sum(self.operators.iter().map(Operator::checkpointed_bytes))
    }
}

impl Operator {
    /// Bytes of state of the operator, by what it is.
    #[must_use]
    pub fn bytes_by_kind(&self) -> StateBytes {
        let states = self.subtasks.iter().filter_map(|it| it.state.as_deref());
        let start = StateBytes {
            coordinator: self.coordinator_bytes(),
            ..StateBytes::default()
        };
        states.map(StateBytes::of).fold(start, StateBytes::plus)
    }

    /// Bytes of state of the operator: its coordinator and its subtasks.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.sum_of(SubtaskState::state_bytes)
    }

    /// Bytes of state that this snapshot itself wrote for the operator.
    #[must_use]
    pub fn checkpointed_bytes(&self) -> u64 {
        self.sum_of(SubtaskState::checkpointed_bytes)
    }

    /// Bytes of the coordinator's state.
    #[must_use]
    pub fn coordinator_bytes(&self) -> u64 {
        self.coordinator
            .as_ref()
            .map_or(0, StreamHandle::state_bytes)
    }

    fn sum_of(&self, bytes: impl Fn(&SubtaskState) -> u64) -> u64 {
        let states = self
            .subtasks
            .iter()
            .filter_map(|subtask| subtask.state.as_deref());
        sum(states.map(bytes)).saturating_add(self.coordinator_bytes())
    }
}

impl SubtaskState {
    /// Bytes of state of the subtask.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.sum_with(KeyedStateHandle::state_bytes)
    }

    /// Bytes of state that this snapshot itself wrote for the subtask.
    #[must_use]
    pub fn checkpointed_bytes(&self) -> u64 {
        self.sum_with(KeyedStateHandle::checkpointed_bytes)
    }

    fn sum_with(&self, keyed_bytes: impl Fn(&KeyedStateHandle) -> u64) -> u64 {
        let operator = [&self.managed_operator, &self.raw_operator]
            .into_iter()
            .flatten();
        let keyed = [&self.managed_keyed, &self.raw_keyed].into_iter().flatten();
        let channels = self.input_channels.iter().chain(&self.output_channels);
        sum(operator
            .map(OperatorStateHandle::state_bytes)
            .chain(keyed.map(keyed_bytes))
            .chain(channels.map(ChannelState::state_bytes)))
    }
}

impl StreamHandle {
    /// Length of the stream in bytes; 0 if it is unknown.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.length().unwrap_or(0)
    }

    /// Length of the stream in bytes, if it is known.
    #[must_use]
    pub fn length(&self) -> Option<u64> {
        match self {
            Self::Inline { bytes, .. } => Some(bytes.len() as u64),
            Self::File { size, .. } | Self::Relative { size, .. } => *size,
            Self::KeyGroups { stream, .. } => stream.length(),
            Self::Segment(segment) => Some(segment.size),
            Self::EmptySegment => Some(0),
        }
    }
}

impl OperatorStateHandle {
    /// Bytes of the stream.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        self.stream.state_bytes()
    }
}

impl KeyedStateHandle {
    /// Bytes of state.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        match self {
            Self::KeyGroups(handle) => handle.stream.state_bytes(),
            Self::Incremental(handle) => handle.state_bytes(),
            Self::Changelog(handle) => sum(handle
                .materialized
                .iter()
                .map(Self::state_bytes)
                .chain(handle.delta.iter().map(ChangelogDelta::state_bytes))),
            Self::Delta(delta) => delta.state_bytes(),
        }
    }

    /// Bytes that this snapshot itself wrote.
    #[must_use]
    pub fn checkpointed_bytes(&self) -> u64 {
        let recorded = match self {
            Self::Incremental(handle) => handle
                .details
                .as_ref()
                .and_then(|details| details.checkpointed_bytes),
            Self::Changelog(handle) => handle.checkpointed_bytes,
            Self::Delta(ChangelogDelta::Streams {
                checkpointed_bytes, ..
            }) => *checkpointed_bytes,
            Self::KeyGroups(_) | Self::Delta(ChangelogDelta::InMemory { .. }) => None,
        };
        recorded.unwrap_or_else(|| self.state_bytes())
    }
}

impl IncrementalHandle {
    fn state_bytes(&self) -> u64 {
        let files = self.shared.iter().chain(&self.private);
        sum(files.map(|file| file.stream.state_bytes())).saturating_add(self.meta.state_bytes())
    }
}

impl ChangelogDelta {
    /// Bytes of the changes, before compression.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        match self {
            Self::InMemory { changes, .. } => {
                sum(changes.iter().map(|change| change.bytes.len() as u64))
            }
            Self::Streams { size, .. } => *size,
        }
    }
}

impl ChannelState {
    /// Bytes of the buffers.
    #[must_use]
    pub fn state_bytes(&self) -> u64 {
        let (Self::Single { size, .. } | Self::Merged { size, .. }) = self;
        u64::try_from(*size).unwrap_or(0)
    }
}

/// A sum that stops at the largest number: the sizes come from the file and may be anything.
fn sum(sizes: impl Iterator<Item = u64>) -> u64 {
    sizes.fold(0, u64::saturating_add)
}
