//! Metadata that can be read and yet contradicts itself.
//!
//! Only rules that every real snapshot follows are here, so that an anomaly is worth a person's
//! time. Whether the files exist is for the caller; see [`Metadata::files`].

use std::collections::BTreeSet;
use std::fmt;

use crate::handle::{KeyGroupRange, KeyedStateHandle, OperatorStateHandle, StreamHandle};
use crate::model::{Metadata, Operator, Subtask};
use crate::operator_id::OperatorId;

/// The largest possible maximum parallelism
/// (`KeyGroupRangeAssignment.UPPER_BOUND_MAX_PARALLELISM`).
pub const MAX_PARALLELISM_LIMIT: u32 = 1 << 15;

/// Something in the metadata that contradicts itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anomaly {
    /// The operator that it is about.
    pub operator: OperatorId,
    /// What it is.
    pub kind: AnomalyKind,
}

/// What is contradictory.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum AnomalyKind {
    /// Two operators have the same id.
    DuplicateOperator,
    /// The maximum parallelism is 0 or above [`MAX_PARALLELISM_LIMIT`].
    MaxParallelismOutOfRange {
        /// The maximum parallelism.
        max_parallelism: u32,
    },
    /// The parallelism is above the maximum.
    ParallelismAboveMax {
        /// The parallelism.
        parallelism: u32,
        /// The maximum.
        max_parallelism: u32,
    },
    /// A subtask's number is not below the parallelism.
    SubtaskOutOfRange {
        /// The subtask.
        subtask: u32,
        /// The parallelism.
        parallelism: u32,
    },
    /// Two subtasks have the same number.
    DuplicateSubtask {
        /// The subtask.
        subtask: u32,
    },
    /// A subtask's key groups reach beyond the maximum parallelism.
    KeyGroupsOutOfRange {
        /// The subtask.
        subtask: u32,
        /// Its key groups.
        range: KeyGroupRange,
    },
    /// Key groups are in the managed keyed state of two subtasks.
    KeyGroupsOverlap {
        /// The key groups that are there twice.
        range: KeyGroupRange,
    },
    /// Key groups are in the managed keyed state of no subtask, though other key groups of the
    /// operator are in some, and they do not belong to a finished subtask.
    ///
    /// Usually a subtask is missing. It may be harmless: a subtask on the heap backend that
    /// registers its states only with the first record, and never got one, has none.
    KeyGroupsMissing {
        /// The key groups that are missing.
        range: KeyGroupRange,
    },
    /// An offset points outside its stream.
    OffsetOutOfStream {
        /// The subtask.
        subtask: u32,
        /// The offset in bytes.
        offset: i64,
        /// Length of the stream in bytes.
        size: u64,
    },
}

impl AnomalyKind {
    /// Whether a correct Flink can never write this. Only
    /// [`KeyGroupsMissing`](Self::KeyGroupsMissing) has a harmless cause, a rare one.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(self, Self::KeyGroupsMissing { .. })
    }
}

impl fmt::Display for Anomaly {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "operator {}: {}", self.operator, self.kind)
    }
}

impl fmt::Display for AnomalyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DuplicateOperator => write!(f, "listed twice"),
            Self::MaxParallelismOutOfRange { max_parallelism } => write!(
                f,
                "maximum parallelism {max_parallelism} is not in 1 to {MAX_PARALLELISM_LIMIT}"
            ),
            Self::ParallelismAboveMax {
                parallelism,
                max_parallelism,
            } => {
                write!(
                    f,
                    "parallelism {parallelism} is above the maximum {max_parallelism}"
                )
            }
            Self::SubtaskOutOfRange {
                subtask,
                parallelism,
            } => {
                write!(f, "subtask {subtask} of only {parallelism}")
            }
            Self::DuplicateSubtask { subtask } => write!(f, "subtask {subtask} listed twice"),
            Self::KeyGroupsOutOfRange { subtask, range } => {
                write!(
                    f,
                    "subtask {subtask} has {range}, above the maximum parallelism"
                )
            }
            Self::KeyGroupsOverlap { range } => write!(f, "{range} in two subtasks"),
            Self::KeyGroupsMissing { range } => write!(f, "{range} in no subtask"),
            Self::OffsetOutOfStream {
                subtask,
                offset,
                size,
            } => {
                write!(
                    f,
                    "subtask {subtask} has offset {offset} in a stream of {size} bytes"
                )
            }
        }
    }
}

impl fmt::Display for KeyGroupRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.count {
            0 => write!(f, "no key groups"),
            1 => write!(f, "key group {}", self.start),
            _ => write!(f, "key groups {} to {}", self.start, self.end() - 1),
        }
    }
}

impl Metadata {
    /// Looks for contradictions. None is what every snapshot of a correct Flink gives, but see
    /// [`AnomalyKind::is_certain`].
    #[must_use]
    pub fn anomalies(&self) -> Vec<Anomaly> {
        let mut found = Vec::new();
        let mut seen = BTreeSet::new();
        for operator in &self.operators {
            let mut kinds = Vec::new();
            if !seen.insert(operator.id) {
                kinds.push(AnomalyKind::DuplicateOperator);
            }
            check_parallelism(operator, &mut kinds);
            check_subtasks(operator, &mut kinds);
            check_key_groups(operator, &mut kinds);
            operator
                .subtasks
                .iter()
                .for_each(|subtask| check_offsets(subtask, &mut kinds));
            let anomalies = kinds.into_iter();
            found.extend(anomalies.map(|kind| Anomaly {
                operator: operator.id,
                kind,
            }));
        }
        found
    }
}

fn check_parallelism(operator: &Operator, found: &mut Vec<AnomalyKind>) {
    let Operator {
        parallelism,
        max_parallelism,
        ..
    } = *operator;
    if !(1..=MAX_PARALLELISM_LIMIT).contains(&max_parallelism) {
        found.push(AnomalyKind::MaxParallelismOutOfRange { max_parallelism });
    }
    if parallelism > max_parallelism {
        found.push(AnomalyKind::ParallelismAboveMax {
            parallelism,
            max_parallelism,
        });
    }
}

fn check_subtasks(operator: &Operator, found: &mut Vec<AnomalyKind>) {
    let parallelism = operator.parallelism;
    let mut seen = BTreeSet::new();
    for subtask in operator.subtasks.iter().map(|subtask| subtask.index) {
        if subtask >= parallelism {
            found.push(AnomalyKind::SubtaskOutOfRange {
                subtask,
                parallelism,
            });
        }
        if !seen.insert(subtask) {
            found.push(AnomalyKind::DuplicateSubtask { subtask });
        }
    }
}

/// A run of key groups from the first to before the second.
type Span = (u64, u64);

/// The managed keyed state of an operator's subtasks must tile the key groups.
fn check_key_groups(operator: &Operator, found: &mut Vec<AnomalyKind>) {
    let all = u64::from(operator.max_parallelism);
    let mut held = Vec::new();
    for (subtask, range) in operator.subtasks.iter().filter_map(managed_range) {
        if range.end() > all {
            found.push(AnomalyKind::KeyGroupsOutOfRange { subtask, range });
        }
        held.push((u64::from(range.start), range.end()));
    }
    if held.is_empty() {
        return;
    }
    held.sort_unstable();
    found.extend(overlaps(&held).map(|range| AnomalyKind::KeyGroupsOverlap { range }));
    let finished = operator
        .subtasks
        .iter()
        .filter(|subtask| subtask.is_finished());
    held.extend(finished.filter_map(|subtask| assigned(operator, subtask.index)));
    held.sort_unstable();
    found.extend(holes(&held, all).map(|range| AnomalyKind::KeyGroupsMissing { range }));
}

fn managed_range(subtask: &Subtask) -> Option<(u32, KeyGroupRange)> {
    let handle = subtask.state.as_ref()?.managed_keyed.as_ref()?;
    Some((subtask.index, handle.range())).filter(|(_, range)| range.count > 0)
}

/// The key groups that Flink gives a subtask
/// (`KeyGroupRangeAssignment.computeKeyGroupRangeForOperatorIndex`).
fn assigned(operator: &Operator, subtask: u32) -> Option<Span> {
    let (all, parallelism) = (
        u64::from(operator.max_parallelism),
        u64::from(operator.parallelism),
    );
    let first = |subtask: u64| (subtask * all).div_ceil(parallelism);
    let subtask = u64::from(subtask);
    (subtask < parallelism).then(|| (first(subtask), first(subtask + 1)))
}

/// What is in more than one of the sorted spans.
fn overlaps(sorted: &[Span]) -> impl Iterator<Item = KeyGroupRange> {
    let mut reached = 0;
    sorted.iter().filter_map(move |&(start, end)| {
        let overlap = span_range(start, end.min(reached));
        reached = reached.max(end);
        overlap
    })
}

/// What is in none of the sorted spans, up to `all`.
fn holes(sorted: &[Span], all: u64) -> impl Iterator<Item = KeyGroupRange> {
    let mut reached = 0;
    sorted
        .iter()
        .copied()
        .chain([(all, all)])
        .filter_map(move |(start, end)| {
            let hole = span_range(reached, start);
            reached = reached.max(end);
            hole
        })
}

fn span_range(start: u64, end: u64) -> Option<KeyGroupRange> {
    let count = end.checked_sub(start).filter(|count| *count > 0)?;
    Some(KeyGroupRange {
        start: u32::try_from(start).ok()?,
        count: u32::try_from(count).ok()?,
    })
}

impl KeyedStateHandle {
    /// The key groups of the handle.
    #[must_use]
    pub fn range(&self) -> KeyGroupRange {
        use crate::handle::ChangelogDelta::{InMemory, Streams};
        match self {
            Self::KeyGroups(handle) => handle.range,
            Self::Incremental(handle) => handle.range,
            Self::Changelog(handle) => handle.range,
            Self::Delta(InMemory { range, .. } | Streams { range, .. }) => *range,
        }
    }
}

fn check_offsets(subtask: &Subtask, found: &mut Vec<AnomalyKind>) {
    let Some(state) = &subtask.state else { return };
    let mut check = OffsetCheck {
        subtask: subtask.index,
        found,
    };
    for handle in [&state.managed_operator, &state.raw_operator]
        .into_iter()
        .flatten()
    {
        check.operator(handle);
    }
    if let Some(handle) = &state.managed_keyed {
        check.keyed(handle, 0);
    }
    if let Some(handle) = &state.raw_keyed {
        check.keyed(handle, RAW_KEY_GROUP_UNSET);
    }
}

/// The offset of a key group of which raw keyed state has nothing
/// (`KeyedStateCheckpointOutputStream.NO_OFFSET_SET`).
const RAW_KEY_GROUP_UNSET: i64 = -1;

struct OffsetCheck<'a> {
    subtask: u32,
    found: &'a mut Vec<AnomalyKind>,
}

impl OffsetCheck<'_> {
    fn operator(&mut self, handle: &OperatorStateHandle) {
        for state in &handle.states {
            self.offsets(&state.offsets, &handle.stream, 0);
        }
    }

    fn keyed(&mut self, handle: &KeyedStateHandle, least: i64) {
        match handle {
            KeyedStateHandle::KeyGroups(handle) => {
                self.offsets(&handle.offsets, &handle.stream, least);
            }
            KeyedStateHandle::Changelog(handle) => {
                handle
                    .materialized
                    .iter()
                    .for_each(|handle| self.keyed(handle, least));
            }
            // Files of an LSM tree have no offsets, and those of changes do not count bytes of the
            // file.
            KeyedStateHandle::Incremental(_) | KeyedStateHandle::Delta(_) => {}
        }
    }

    /// Reports the first offset outside the stream. Its very end is inside: an item may have no
    /// bytes.
    fn offsets(&mut self, offsets: &[i64], stream: &StreamHandle, least: i64) {
        let Some(size) = stream.length() else { return };
        let is_inside = |offset: &&i64| {
            **offset >= least && u64::try_from(**offset).map_or(true, |offset| offset <= size)
        };
        if let Some(offset) = offsets.iter().find(|offset| !is_inside(offset)) {
            let subtask = self.subtask;
            self.found.push(AnomalyKind::OffsetOutOfStream {
                subtask,
                offset: *offset,
                size,
            });
        }
    }
}
