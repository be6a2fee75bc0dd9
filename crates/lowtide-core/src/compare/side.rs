//! What is known of each side of a comparison.

use std::collections::BTreeMap;
use std::fmt;

use flink_metadata::{
    ChannelState, KeyedStateHandle, KeyedStateKind, KeyedStates, Metadata, Operator, OperatorId,
    Redistribution, SubtaskState,
};

/// The keyed states of one operator as a header names them, or why they are not known.
pub type Keyed = Result<KeyedStates, String>;

/// A snapshot, with what was read of the headers of its state files.
#[derive(Debug, Clone)]
pub struct Snapshot<'a> {
    /// Its `_metadata`.
    pub metadata: &'a Metadata,
    /// The keyed states of its operators, as far as anybody looked.
    pub keyed: BTreeMap<OperatorId, Keyed>,
    /// What level 1 found to be wrong with it, for people; empty if it is whole.
    pub findings: Vec<String>,
}

/// The plan of a running job, as Flink's REST API shows it (`GET /jobs/:id`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Its vertices.
    pub vertices: Vec<Vertex>,
}

/// One vertex of a running job (`JobDetailsInfo.JobVertexDetailsInfo`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Vertex {
    /// The id of the first operator of its chain.
    pub id: OperatorId,
    /// Its name: those of the chain's operators.
    pub name: String,
    /// How many subtasks it has.
    pub parallelism: u32,
    /// Its number of key groups; `None` where the cluster does not tell.
    pub max_parallelism: Option<u32>,
}

/// What A is compared with.
#[derive(Debug, Clone)]
pub enum B<'a> {
    /// Another snapshot.
    Snapshot(Snapshot<'a>),
    /// A running job.
    Plan(Plan),
}

/// The name of a state within its operator. Operator state and keyed state have names of their
/// own each (`OperatorStateStore`, `KeyedStateStore`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateName {
    /// Of an operator state.
    Operator(String),
    /// Of a keyed state.
    Keyed(String),
}

impl StateName {
    /// The name without its space.
    pub fn as_str(&self) -> &str {
        let (Self::Operator(name) | Self::Keyed(name)) = self;
        name
    }
}

/// What a state is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum StateKind {
    /// A list whose items are dealt out to the subtasks (`SPLIT_DISTRIBUTE`).
    List,
    /// A list that every subtask is given whole (`UNION`).
    Union,
    /// The same in every subtask (`BROADCAST`).
    Broadcast,
    /// Kept for each key.
    Keyed(KeyedStateKind),
}

impl StateKind {
    /// Its name in lower case, such as `union list` or `value`.
    pub fn name(self) -> &'static str {
        match self {
            Self::List => "operator list",
            Self::Union => "union list",
            Self::Broadcast => "broadcast",
            Self::Keyed(kind) => kind.name(),
        }
    }

    fn of(mode: Redistribution) -> Self {
        match mode {
            Redistribution::SplitDistribute => Self::List,
            Redistribution::Union => Self::Union,
            Redistribution::Broadcast => Self::Broadcast,
        }
    }
}

impl fmt::Display for StateKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

/// What people call the operators of both sides: their uids, else their names, else their ids.
/// Snapshots of old versions have ids only, and borrow the names of the other side.
pub(super) fn labels(a: &Snapshot<'_>, b: &B<'_>) -> BTreeMap<OperatorId, String> {
    let mut operators: Vec<&Operator> = a.metadata.operators.iter().collect();
    let mut labels = BTreeMap::new();
    match b {
        B::Snapshot(b) => operators.extend(&b.metadata.operators),
        B::Plan(plan) => {
            let vertices = plan.vertices.iter();
            labels.extend(vertices.map(|vertex| (vertex.id, vertex.name.clone())));
        }
    }
    let ids = operators.iter().map(|operator| operator.id);
    for id in ids {
        labels.entry(id).or_insert_with(|| id.to_string());
    }
    let named = |name: fn(&Operator) -> &Option<String>| {
        let named = operators.iter().rev();
        named.filter_map(move |operator| Some((operator.id, name(operator).clone()?)))
    };
    // Later ones replace earlier ones: of A before those of B, and uids before names.
    labels.extend(named(|operator| &operator.name));
    labels.extend(named(|operator| &operator.uid));
    labels
}

impl<'a> Snapshot<'a> {
    /// Its operators by id.
    pub(super) fn operators(&self) -> BTreeMap<OperatorId, &'a Operator> {
        let operators = self.metadata.operators.iter();
        operators.map(|operator| (operator.id, operator)).collect()
    }

    /// The states of an operator that are known by name.
    pub(super) fn states(&self, operator: &Operator) -> BTreeMap<StateName, StateKind> {
        let named = operator.operator_states().into_iter();
        let mut states: BTreeMap<_, _> = named
            .map(|(name, mode)| (StateName::Operator(name.to_owned()), StateKind::of(mode)))
            .collect();
        if let Some(Ok(keyed)) = self.keyed.get(&operator.id) {
            states.extend(keyed.states.iter().map(|state| {
                let name = StateName::Keyed(state.name.clone());
                (name, StateKind::Keyed(state.kind))
            }));
        }
        states
    }

    /// Why the keyed states of an operator that has some are not known by name.
    pub(super) fn unknown_keyed(&self, operator: &Operator) -> Option<String> {
        match self.keyed.get(&operator.id) {
            Some(Ok(_)) => None,
            Some(Err(why)) => Some(why.clone()),
            None => has_keyed(operator).then(|| "no header of its state files was read".to_owned()),
        }
    }
}

/// The subtasks' states of an operator.
pub(super) fn states(operator: &Operator) -> impl Iterator<Item = &SubtaskState> {
    let subtasks = operator.subtasks.iter();
    subtasks.filter_map(|subtask| subtask.state.as_deref())
}

/// Whether it has state by Flink's own measure, for which a handle counts, however few its bytes
/// (`OperatorSubtaskState.hasState`), besides that of its coordinator.
pub(super) fn has_state(operator: &Operator) -> bool {
    operator.coordinator.is_some()
        || states(operator).any(|state| {
            state.managed_operator.is_some()
                || state.raw_operator.is_some()
                || state.managed_keyed.is_some()
                || state.raw_keyed.is_some()
                || !state.input_channels.is_empty()
                || !state.output_channels.is_empty()
        })
}

/// Whether a state backend keeps something for its keys.
pub(super) fn has_keyed(operator: &Operator) -> bool {
    states(operator).any(|state| state.managed_keyed.is_some())
}

/// Whether both keep the very same files for their keys.
pub(super) fn same_keyed_files(a: &Operator, b: &Operator) -> bool {
    fn handles(operator: &Operator) -> impl Iterator<Item = &KeyedStateHandle> {
        states(operator).filter_map(|state| state.managed_keyed.as_ref())
    }
    handles(a).eq(handles(b))
}

/// Whether it wrote keyed or operator state in a form of its own.
pub(super) fn has_raw(operator: &Operator) -> bool {
    states(operator).any(|state| state.raw_operator.is_some() || state.raw_keyed.is_some())
}

/// Whether records in flight are part of it: handles without offsets hold none
/// (`StateAssignmentOperation.hasChannelState`).
pub(super) fn has_in_flight(operator: &Operator) -> bool {
    states(operator).any(|state| {
        let mut channels = state.input_channels.iter().chain(&state.output_channels);
        channels.any(|channel| match channel {
            ChannelState::Single { offsets, .. } => !offsets.is_empty(),
            ChannelState::Merged { offsets, .. } => !offsets.is_empty(),
        })
    })
}

/// Whether any of its subtasks had come to the end of its input.
pub(super) fn has_finished(operator: &Operator) -> bool {
    operator.fully_finished
        || operator
            .subtasks
            .iter()
            .any(flink_metadata::Subtask::is_finished)
}
