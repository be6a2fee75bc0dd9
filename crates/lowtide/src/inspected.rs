//! What `inspect` prints as json and yaml, and what its tree is drawn from: everything that a
//! snapshot's metadata and the headers of its state files tell. The rules of [`crate::shape`] hold.

use std::collections::{BTreeMap, BTreeSet};

use lowtide_core::flink_metadata::{
    self as flink, KeyedStates, Metadata, OperatorId, Redistribution, SnapshotType,
};
use lowtide_core::name::Location;
use lowtide_core::verify::{Reading, Report};
use lowtide_world::store::headers::{NamesUnknown, StateNames};
use serde::Serialize;

/// What `inspect` prints.
#[derive(Debug, Serialize)]
pub struct Inspected {
    /// In Flink's spelling.
    pub location: String,
    /// `whole` or `broken`.
    pub verdict: &'static str,
    /// The version of `_metadata`.
    pub metadata_version: Option<u32>,
    /// The releases of Flink that write this version, such as `1.16 to 1.20`.
    pub written_by: Option<&'static str>,
    /// Flink's number for it.
    pub checkpoint_id: Option<u64>,
    /// `savepoint`, `suspend-savepoint`, `terminate-savepoint`, `checkpoint` or `full-checkpoint`.
    pub kind: Option<String>,
    /// `canonical` or `native`, of savepoints.
    pub format: Option<&'static str>,
    /// How many files it needs.
    pub files: u64,
    /// Bytes of state.
    pub state_bytes: u64,
    /// The same, by what it is.
    pub bytes: Option<Bytes>,
    /// Its operators, in the order of the metadata; with `--operator`, only those.
    pub operators: Vec<Operator>,
    /// With `--uids`: those that are no operator's.
    pub uids_unmatched: Vec<String>,
    /// What is wrong; the first of them, if there are many.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub findings_total: u64,
    /// What is worth a look, but not wrong.
    pub warnings: Vec<String>,
}

/// Bytes of state by what it is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Bytes {
    /// Keyed state that Flink keeps, timers included.
    pub keyed: u64,
    /// Operator state that Flink keeps.
    pub operator: u64,
    /// Keyed state that operators wrote themselves.
    pub raw_keyed: u64,
    /// Operator state that operators wrote themselves.
    pub raw_operator: u64,
    /// Records in flight.
    pub in_flight: u64,
    /// Of coordinators on the JobManager.
    pub coordinator: u64,
}

/// One operator.
#[derive(Debug, Serialize)]
#[expect(clippy::struct_field_names, reason = "programs read these names")]
pub struct Operator {
    /// 32 hexadecimal digits.
    pub id: String,
    /// Its uid, from the metadata (Flink 2.0 and later) or from `--uids`.
    pub uid: Option<String>,
    /// Where the uid is known from: `metadata` or `list`.
    pub uid_from: Option<&'static str>,
    /// Its name, where the metadata has it (Flink 2.0 and later).
    pub name: Option<String>,
    /// How many subtasks it had.
    pub parallelism: u32,
    /// Its number of key groups.
    pub max_parallelism: u32,
    /// Whether all of its subtasks had come to the end of their input.
    pub finished: bool,
    /// Bytes of state.
    pub state_bytes: u64,
    /// The same, by what it is.
    pub bytes: Bytes,
    /// Its keyed states; `null` where their names are not known.
    pub keyed_states: Option<Vec<KeyedState>>,
    /// Why the names of its keyed states are not known.
    pub keyed_states_unknown: Option<String>,
    /// The class that serialized the serializer of its keys.
    pub key_serializer: Option<String>,
    /// Its operator states.
    pub operator_states: Vec<OperatorState>,
    /// How bytes of keyed state are spread over subtasks.
    pub over_subtasks: Option<Spread>,
    /// How bytes of keyed state are spread over key groups, where the metadata tells: not for the
    /// files of RocksDB and ForSt, nor with a changelog.
    pub over_key_groups: Option<Spread>,
}

/// One keyed state.
#[derive(Debug, Serialize)]
pub struct KeyedState {
    /// As in its descriptor; that of timers begins with `_timer_state/`.
    pub name: String,
    /// `value`, `list`, `map`, `reducing`, `aggregating`, `folding`, `timers` or `unknown`.
    pub kind: &'static str,
}

/// One operator state.
#[derive(Debug, Serialize)]
pub struct OperatorState {
    /// As in its descriptor.
    pub name: String,
    /// How it is spread when the parallelism changes: `split-distribute`, `union` or `broadcast`.
    pub mode: &'static str,
    /// How many items all subtasks wrote together.
    pub items: u64,
    /// Bytes of them.
    pub bytes: u64,
}

/// How bytes are spread over subtasks or key groups.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Spread {
    /// Over how many.
    pub places: u32,
    /// How many of them hold any.
    pub filled: u32,
    /// The number of the one with the most, from 0.
    pub largest: u32,
    /// Bytes in that one.
    pub largest_bytes: u64,
    /// Bytes in each, were they spread evenly.
    pub mean_bytes: u64,
    /// `largest_bytes` divided by the mean: 1 is even, `places` is all in one.
    pub skew: f64,
}

impl Inspected {
    /// What was read of a location. `labels` are uids by the id that Flink makes of them.
    pub fn new(
        location: &Location,
        reading: &Reading,
        report: Report,
        names: &StateNames,
        labels: &BTreeMap<OperatorId, String>,
    ) -> Self {
        let metadata = reading.metadata.as_ref().and_then(|it| it.as_ref().ok());
        let operators = metadata.map_or(&[][..], |it| &it.operators);
        Self {
            location: location.to_string(),
            verdict: if report.is_whole() { "whole" } else { "broken" },
            metadata_version: report.version,
            written_by: metadata.map(Metadata::written_by),
            checkpoint_id: report.checkpoint_id,
            kind: metadata.and_then(kind),
            format: metadata.and_then(format),
            files: report.files,
            state_bytes: report.state_bytes,
            bytes: metadata.map(|it| it.bytes_by_kind().into()),
            operators: operators
                .iter()
                .map(|it| Operator::new(it, names.get(&it.id), labels.get(&it.id)))
                .collect(),
            uids_unmatched: metadata.map_or_else(Vec::new, |it| unmatched(labels, &it.operators)),
            findings: report.findings,
            findings_total: report.findings_total,
            warnings: report.warnings,
        }
    }
}

fn kind(metadata: &Metadata) -> Option<String> {
    if let Some(properties) = &metadata.properties {
        return Some(properties.kind.name().to_lowercase().replace(' ', "-"));
    }
    let kind = match metadata.snapshot_type() {
        SnapshotType::Savepoint(_) => "savepoint",
        SnapshotType::Checkpoint => "checkpoint",
        SnapshotType::Unknown => return None,
    };
    Some(kind.to_owned())
}

fn format(metadata: &Metadata) -> Option<&'static str> {
    match metadata.snapshot_type() {
        SnapshotType::Savepoint(flink::SavepointFormat::Canonical) => Some("canonical"),
        SnapshotType::Savepoint(flink::SavepointFormat::Native) => Some("native"),
        SnapshotType::Checkpoint | SnapshotType::Unknown => None,
    }
}

fn unmatched(labels: &BTreeMap<OperatorId, String>, operators: &[flink::Operator]) -> Vec<String> {
    let there: BTreeSet<OperatorId> = operators.iter().map(|it| it.id).collect();
    let mut unmatched: Vec<String> = labels
        .iter()
        .filter(|(id, _)| !there.contains(id))
        .map(|(_, uid)| uid.clone())
        .collect();
    unmatched.sort_unstable();
    unmatched
}

impl Operator {
    fn new(
        operator: &flink::Operator,
        names: Option<&Result<KeyedStates, NamesUnknown>>,
        label: Option<&String>,
    ) -> Self {
        let (uid, uid_from) = match (&operator.uid, label) {
            (Some(uid), _) => (Some(uid.clone()), Some("metadata")),
            (None, Some(label)) => (Some(label.clone()), Some("list")),
            (None, None) => (None, None),
        };
        let (keyed_states, keyed_states_unknown) = match names {
            None => (Some(Vec::new()), None),
            Some(Ok(told)) => (Some(KeyedState::all(told)), None),
            Some(Err(why)) => (None, Some(why.to_string())),
        };
        let told = names.and_then(|told| told.as_ref().ok());
        Self {
            id: operator.id.to_string(),
            uid,
            uid_from,
            name: operator.name.clone(),
            parallelism: operator.parallelism,
            max_parallelism: operator.max_parallelism,
            finished: operator.fully_finished,
            state_bytes: operator.state_bytes(),
            bytes: operator.bytes_by_kind().into(),
            keyed_states,
            keyed_states_unknown,
            key_serializer: told.and_then(|told| told.key_serializer.clone()),
            operator_states: OperatorState::all(operator),
            over_subtasks: operator.spread_over_subtasks().map(Spread::from),
            over_key_groups: operator.spread_over_key_groups().map(Spread::from),
        }
    }

    /// What people know it by: its uid, else its name, else its id.
    pub fn label(&self) -> &str {
        let told = self.uid.as_deref().or(self.name.as_deref());
        told.unwrap_or(&self.id)
    }
}

impl KeyedState {
    fn all(told: &KeyedStates) -> Vec<Self> {
        let states = told.states.iter().map(|state| Self {
            name: state.name.clone(),
            kind: state.kind.name(),
        });
        states.collect()
    }
}

impl OperatorState {
    fn all(operator: &flink::Operator) -> Vec<Self> {
        let sums = operator.operator_state_sums().into_iter();
        sums.map(|(name, sum)| Self {
            name: name.to_owned(),
            mode: match sum.mode {
                Redistribution::SplitDistribute => "split-distribute",
                Redistribution::Union => "union",
                Redistribution::Broadcast => "broadcast",
            },
            items: sum.items,
            bytes: sum.bytes,
        })
        .collect()
    }
}

impl From<flink::StateBytes> for Bytes {
    fn from(bytes: flink::StateBytes) -> Self {
        Self {
            keyed: bytes.managed_keyed,
            operator: bytes.managed_operator,
            raw_keyed: bytes.raw_keyed,
            raw_operator: bytes.raw_operator,
            in_flight: bytes.in_flight,
            coordinator: bytes.coordinator,
        }
    }
}

impl Bytes {
    /// The kinds with what people call them, those first that most snapshots have.
    pub fn kinds(&self) -> [(&'static str, u64); 6] {
        [
            ("keyed", self.keyed),
            ("operator", self.operator),
            ("raw keyed", self.raw_keyed),
            ("raw operator", self.raw_operator),
            ("in flight", self.in_flight),
            ("coordinator", self.coordinator),
        ]
    }
}

impl From<flink::Spread> for Spread {
    fn from(spread: flink::Spread) -> Self {
        Self {
            places: spread.places,
            filled: spread.filled,
            largest: spread.largest,
            largest_bytes: spread.largest_bytes,
            mean_bytes: spread.mean_bytes(),
            // Three digits are plenty, and the same on every machine.
            skew: (spread.skew() * 1_000.0).round() / 1_000.0,
        }
    }
}
