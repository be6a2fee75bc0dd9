//! Level-1 verification: what `_metadata` says against what lies there.
//!
//! The edge reads and lists, this module decides. Unreadable is not broken: a reading that could
//! not be made is a [`Fault`](crate::fault::Fault) and never comes here.

use std::collections::BTreeMap;

use flink_metadata::FilePath;
pub use flink_metadata::{Metadata, ParseError, ParseErrorKind, SizeRule, parse};
use serde::{Deserialize, Serialize};

use crate::baseline::Listed;
use crate::name::Location;

/// Most findings kept in a report; the rest is counted. A directory that lost all its files
/// would otherwise fill the catalog with their names.
pub const FINDINGS_MAX: usize = 20;
/// Most operators kept in a report; real jobs have hundreds at most.
pub const OPERATORS_MAX: usize = 2_000;
/// How many times larger or smaller than the median of the application's savepoints one must be
/// to be worth a warning: state grows over weeks, it does not leap fourfold between two slots.
pub const SIZE_FACTOR: u64 = 4;

/// A file that `_metadata` references, and what lies there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileSeen {
    /// Where it must be.
    pub location: Location,
    /// The size it must have.
    pub rule: SizeRule,
    /// The size it has, in bytes; `None` if it is missing.
    pub found_bytes: Option<u64>,
}

/// What was read of one savepoint.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    /// What `_metadata` says; `None` if there is a directory without one.
    pub metadata: Option<Result<Metadata, ParseError>>,
    /// Every file that it references.
    pub files: Vec<FileSeen>,
    /// Files of the directory that nothing references.
    pub extra: Vec<String>,
    /// What the store told of each file that is there, `_metadata` among them.
    pub listed: BTreeMap<Location, Listed>,
}

/// One operator of a savepoint, as recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OperatorReport {
    /// 32 hexadecimal digits, as Flink's REST API shows.
    pub id: String,
    /// The user's uid (Flink 2.0 and later).
    pub uid: Option<String>,
    /// The operator's name (Flink 2.0 and later).
    pub name: Option<String>,
    /// How many subtasks it had.
    pub parallelism: u32,
    /// Its number of key groups.
    pub max_parallelism: u32,
    /// Bytes of state.
    pub state_bytes: u64,
}

/// What level 1 found.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Report {
    /// The metadata's version (Flink writes 3 to 6).
    pub version: Option<u32>,
    /// Flink's number for this savepoint.
    pub checkpoint_id: Option<u64>,
    /// Files that are referenced.
    pub files: u64,
    /// Bytes of state, as the metadata says.
    pub state_bytes: u64,
    /// Operators, the first [`OPERATORS_MAX`].
    pub operators: Vec<OperatorReport>,
    /// What is wrong, the first [`FINDINGS_MAX`]; empty if it is whole.
    pub findings: Vec<String>,
    /// How many findings there are in all.
    pub findings_total: u64,
    /// What is worth a look, but not wrong.
    pub warnings: Vec<String>,
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.findings_total == 0
    }

    /// Adds what is wrong.
    pub(crate) fn find(&mut self, what: String) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(what);
        }
    }
}

/// The files that a savepoint's `_metadata` references: where each must be and how large.
///
/// `directory` is where this `_metadata` lies: relative handles count from it
/// (Flink's `RelativeFileStateHandle`).
pub fn wanted(metadata: &Metadata, directory: &Location) -> Vec<(Location, SizeRule)> {
    let mut wanted: Vec<(Location, SizeRule)> = metadata
        .files()
        .map(|file| (location_of(file.path, directory), file.size))
        .collect();
    wanted.sort_by(|a, b| a.0.cmp(&b.0));
    wanted.dedup();
    wanted
}

/// Where a file lies that the `_metadata` in `directory` names.
pub(crate) fn location_of(path: FilePath<'_>, directory: &Location) -> Location {
    match path {
        FilePath::Relative(path) => directory.join(path),
        FilePath::Absolute(path) => Location::new(path),
    }
}

/// Judges a reading. `median_bytes` is the median state size of the application's good
/// savepoints, where there are any.
pub fn judge(reading: &Reading, median_bytes: Option<u64>) -> Report {
    let mut report = Report {
        files: reading.files.len() as u64,
        ..Report::default()
    };
    match &reading.metadata {
        None => report.find("the directory has no `_metadata`".to_owned()),
        Some(Err(wrong)) => report.find(format!("`_metadata`: {wrong}")),
        Some(Ok(metadata)) => describe(metadata, &mut report),
    }
    for file in &reading.files {
        if let Some(what) = wrong_with(file) {
            report.find(what);
        }
    }
    if !reading.extra.is_empty() {
        report.warnings.push(format!(
            "files that nothing references: {}",
            reading.extra.len()
        ));
    }
    if let Some(warning) = size_warning(report.state_bytes, median_bytes) {
        report.warnings.push(warning);
    }
    report
}

fn describe(metadata: &Metadata, report: &mut Report) {
    report.version = Some(metadata.version);
    report.checkpoint_id = Some(metadata.checkpoint_id);
    report.state_bytes = metadata.state_bytes();
    report.operators = metadata
        .operators
        .iter()
        .take(OPERATORS_MAX)
        .map(|operator| OperatorReport {
            id: operator.id.to_string(),
            uid: operator.uid.clone(),
            name: operator.name.clone(),
            parallelism: operator.parallelism,
            max_parallelism: operator.max_parallelism,
            state_bytes: operator.state_bytes(),
        })
        .collect();
    for anomaly in metadata.anomalies() {
        if anomaly.kind.is_certain() {
            report.find(anomaly.to_string());
        } else {
            report.warnings.push(anomaly.to_string());
        }
    }
}

fn wrong_with(file: &FileSeen) -> Option<String> {
    let at = &file.location;
    match (file.rule, file.found_bytes) {
        (_, None) => Some(format!("missing: {at}")),
        (SizeRule::Exactly(want), Some(found)) if found != want => {
            let how = if found < want { "short" } else { "too long" };
            Some(format!("{how}: {at} has {found} of {want} bytes"))
        }
        (SizeRule::AtLeast(want), Some(found)) if found < want => {
            Some(format!("short: {at} has {found} of at least {want} bytes"))
        }
        _ => None,
    }
}

fn size_warning(bytes: u64, median_bytes: Option<u64>) -> Option<String> {
    // Savepoints of a few kilobytes vary by their metadata alone.
    const SMALL_BYTES: u64 = 64 * 1024;
    let median = median_bytes.filter(|median| bytes.max(*median) > SMALL_BYTES)?;
    let far =
        bytes > median.saturating_mul(SIZE_FACTOR) || bytes.saturating_mul(SIZE_FACTOR) < median;
    far.then(|| {
        format!("{bytes} bytes of state, where the median of earlier savepoints is {median}")
    })
}
