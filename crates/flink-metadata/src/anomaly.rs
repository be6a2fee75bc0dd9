//! Metadata that can be read and yet contradicts itself.
//!
//! Only rules that every real snapshot follows are here, so that an anomaly is worth a person's
//! time. Whether the files exist is for the caller; see [`Metadata::files`].

use std::collections::BTreeSet;
use std::fmt;

use crate::handle::{
    ChangelogDelta, KeyGroupRange, KeyGroupsKind, KeyedStateHandle, OperatorStateHandle,
    StreamHandle,
};
use crate::model::{Metadata, Operator, Subtask};
use crate::operator_id::OperatorId;
use crate::parse::VERSION_WITH_PROPERTIES;
use crate::properties::SavepointFormat;

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
    /// The managed keyed state of a canonical savepoint is not in the encoding of one
    /// (`KeyGroupsSavepointStateHandle`).
    NotCanonical {
        /// The subtask.
        subtask: u32,
    },
    /// A keyed handle in an encoding that Flink wrote up to 1.15 only, in metadata of a later version. Flink
    /// writes all handles anew in each snapshot.
    OutdatedEncoding {
        /// The subtask.
        subtask: u32,
    },
    /// Managed keyed state in the encoding of a canonical savepoint, beside such in that of a checkpoint.
    ///
    /// Only in metadata that does not say what it is (before Flink 1.16).
    MixedEncodings {
        /// The subtask whose encoding is not that of the first.
        subtask: u32,
    },
    /// The label or path of a stream holds U+0000, which no path can.
    NulInPath {
        /// The subtask; `None` for the coordinator.
        subtask: Option<u32>,
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
    /// Whether a correct Flink can never write this. [`KeyGroupsMissing`](Self::KeyGroupsMissing) has a
    /// harmless cause, a rare one; and [`MixedEncodings`](Self::MixedEncodings) was never seen, but nothing in
    /// Flink forbids it.
    #[must_use]
    pub fn is_certain(&self) -> bool {
        !matches!(
            self,
            Self::KeyGroupsMissing { .. } | Self::MixedEncodings { .. }
        )
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
            Self::NotCanonical { subtask } => write!(
                f,
                "subtask {subtask} has keyed state that is not canonical, in a canonical savepoint"
            ),
            Self::OutdatedEncoding { subtask } => write!(
                f,
                "subtask {subtask} has keyed state in an encoding older than the metadata's version"
            ),
            Self::MixedEncodings { subtask } => write!(
                f,
                "subtask {subtask} has keyed state of another kind of snapshot than the first"
            ),
            Self::NulInPath { subtask: None } => write!(f, "U+0000 in a path of the coordinator"),
            Self::NulInPath {
                subtask: Some(subtask),
            } => write!(f, "U+0000 in a path of subtask {subtask}"),
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
        let mut encodings = Encodings::of(self);
        for operator in &self.operators {
            let mut kinds = Vec::new();
            if !seen.insert(operator.id) {
                kinds.push(AnomalyKind::DuplicateOperator);
            }
            check_parallelism(operator, &mut kinds);
            check_subtasks(operator, &mut kinds);
            check_key_groups(operator, &mut kinds);
            check_paths(operator, &mut kinds);
            encodings.check(operator, &mut kinds);
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

/// How keyed state is encoded depends on what the snapshot is and on its version.
struct Encodings {
    is_canonical: Option<bool>,
    version: u32,
    /// Whether the first managed keyed state has the encoding of a canonical savepoint.
    is_first_canonical: Option<bool>,
}

impl Encodings {
    fn of(metadata: &Metadata) -> Self {
        let told = metadata.properties.as_ref();
        Self {
            is_canonical: told.map(|it| it.format == Some(SavepointFormat::Canonical)),
            version: metadata.version,
            is_first_canonical: None,
        }
    }

    fn check(&mut self, operator: &Operator, found: &mut Vec<AnomalyKind>) {
        for Subtask { index, state } in &operator.subtasks {
            let Some(state) = state else { continue };
            let subtask = *index;
            if let Some(handle) = &state.managed_keyed {
                found.extend(self.of_managed(handle, subtask));
            }
            let keyed = [&state.managed_keyed, &state.raw_keyed];
            let mut keyed = keyed.into_iter().flatten();
            if self.version >= VERSION_WITH_PROPERTIES && keyed.any(is_outdated) {
                found.push(AnomalyKind::OutdatedEncoding { subtask });
            }
        }
    }

    fn of_managed(&mut self, handle: &KeyedStateHandle, subtask: u32) -> Option<AnomalyKind> {
        let is_canonical = matches!(handle, KeyedStateHandle::KeyGroups(handle)
            if handle.kind == KeyGroupsKind::Savepoint);
        match self.is_canonical {
            Some(true) => (!is_canonical).then_some(AnomalyKind::NotCanonical { subtask }),
            Some(false) => None,
            None => (*self.is_first_canonical.get_or_insert(is_canonical) != is_canonical)
                .then_some(AnomalyKind::MixedEncodings { subtask }),
        }
    }
}

/// Encodings that Flink 1.16, the first to write version 4, writes no longer.
fn is_outdated(handle: &KeyedStateHandle) -> bool {
    match handle {
        KeyedStateHandle::KeyGroups(handle) => handle.kind == KeyGroupsKind::V1,
        KeyedStateHandle::Incremental(handle) => handle.details.is_none(),
        KeyedStateHandle::Changelog(handle) => {
            handle.checkpoint_id.is_none()
                || handle.materialized.iter().any(is_outdated)
                || handle.delta.iter().any(is_outdated_delta)
        }
        KeyedStateHandle::Delta(delta) => is_outdated_delta(delta),
    }
}

fn is_outdated_delta(delta: &ChangelogDelta) -> bool {
    matches!(
        delta,
        ChangelogDelta::Streams {
            storage_identifier: None,
            ..
        }
    )
}

fn check_paths(operator: &Operator, found: &mut Vec<AnomalyKind>) {
    if operator.coordinator.as_ref().is_some_and(has_nul) {
        found.push(AnomalyKind::NulInPath { subtask: None });
    }
    for subtask in &operator.subtasks {
        let Some(state) = &subtask.state else {
            continue;
        };
        if state.streams().into_iter().any(has_nul) {
            let subtask = Some(subtask.index);
            found.push(AnomalyKind::NulInPath { subtask });
        }
    }
}

fn has_nul(stream: &StreamHandle) -> bool {
    match stream {
        StreamHandle::Inline { name, .. } => name.contains('\0'),
        StreamHandle::File { path, .. } | StreamHandle::Relative { path, .. } => {
            path.contains('\0')
        }
        StreamHandle::KeyGroups { stream, .. } => has_nul(stream),
        StreamHandle::Segment(segment) => {
            segment.path.contains('\0') || segment.logical_file_id.contains('\0')
        }
        StreamHandle::EmptySegment => false,
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
