//! Level 2 against the baseline: a byte of a state file is changed, which level 1 cannot see.
//!
//! Some changes show in the structure of what is inside; of all others only the checksums of the first reading
//! tell. Every file of every snapshot is changed at some of its bytes, the first, the last and evenly between
//! them, one bit at a time.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use lowtide_core::baseline::{Baseline, Compared, Deep, Judged, judge};
use lowtide_core::name::Location;
use lowtide_core::verify::{self, Reading};
use lowtide_world::store::Paths;
use lowtide_world::store::deep::Pace;

use crate::in_full;
use crate::level_1;
use crate::take::Snapshot;

/// Bytes changed of each file, one after the other.
const BYTES_A_FILE: usize = 9;
/// The same in `soak`.
const BYTES_A_FILE_IN_FULL: usize = 129;

/// The first deep reading of a snapshot.
pub struct First {
    directory: PathBuf,
    reading: Reading,
    baseline: Baseline,
}

/// How many changes there were, and who told.
#[derive(Debug, Default)]
pub struct Changed {
    files: usize,
    bytes: usize,
    /// Those that show in the structure of what is inside as well.
    by_structure: usize,
}

impl First {
    pub fn of(snapshot: &Snapshot) -> Self {
        let directory = snapshot.directory.clone();
        let reading = level_1::read(&directory).unwrap();
        let deep = read_deep(&directory, &reading);
        let judged = judged(&reading, &deep, None);
        assert_eq!(judged.report.findings, [""; 0], "{snapshot}");
        let first = Self {
            baseline: judged.first.expect("it is whole"),
            directory,
            reading,
        };
        // As it is, nothing is told of it; and what is read again is all that was read.
        let again = first.again(&first.reading);
        assert_eq!(again.report.findings, [""; 0], "{snapshot}");
        assert_eq!(again.compared, Compared::Reading(first.baseline.at()));
        first
    }

    /// Changes some bytes of every file but `_metadata`.
    pub fn some_bytes_of_every_file(&self, snapshot: &Snapshot, changed: &mut Changed) {
        let files: BTreeSet<&Location> = self.reading.files.iter().map(|it| &it.location).collect();
        for file in files {
            let path = PathBuf::from(file.as_str().trim_start_matches("file:"));
            let whole = fs::read(&path).unwrap();
            changed.files += 1;
            for (number, at) in sample(whole.len()).into_iter().enumerate() {
                let mut bytes = whole.clone();
                bytes[at] ^= 1 << (number % 8);
                fs::write(&path, &bytes).unwrap();
                let findings = self.again(&self.of_one(file)).report.findings;
                assert!(
                    findings.iter().any(|it| is_change_of(it, file)),
                    "{snapshot}: byte {at} of {file}: {findings:?}"
                );
                changed.bytes += 1;
                changed.by_structure += usize::from(findings.len() > 1);
            }
            fs::write(&path, &whole).unwrap();
            let findings = self.again(&self.of_one(file)).report.findings;
            assert_eq!(findings, [""; 0], "{snapshot}: {file}");
        }
    }

    /// Expects a deep reading now to tell that this file is another.
    pub fn tells_of(&self, path: &Path) {
        let reading = level_1::read(&self.directory).unwrap();
        let findings = self.again(&reading).report.findings;
        let file = level_1::location(path);
        assert!(
            findings.iter().any(|it| is_change_of(it, &file)),
            "{file}: {findings:?}"
        );
    }

    /// A deep reading now.
    fn again(&self, reading: &Reading) -> Judged {
        let deep = read_deep(&self.directory, reading);
        judged(reading, &deep, Some(&self.baseline))
    }

    /// What level 1 read, with one file only: reading the others again and again would take its time.
    fn of_one(&self, file: &Location) -> Reading {
        let mut reading = self.reading.clone();
        reading.files.retain(|it| it.location == *file);
        reading
    }
}

fn read_deep(directory: &Path, reading: &Reading) -> Deep {
    let location = level_1::location(directory);
    let pace = Pace::default();
    let paths = Paths::new(&[], Arc::default());
    level_1::wait(paths.read_deep(&location, reading, &pace)).unwrap()
}

fn judged(reading: &Reading, deep: &Deep, baseline: Option<&Baseline>) -> Judged {
    let report = verify::judge(reading, None);
    judge(report, reading, deep, baseline, Timestamp::now())
}

fn is_change_of(finding: &str, file: &Location) -> bool {
    finding.starts_with(&format!("changed: {file} has other bytes than "))
}

/// The first byte, the last, and some between them.
fn sample(length: usize) -> BTreeSet<usize> {
    let count = if in_full() {
        BYTES_A_FILE_IN_FULL
    } else {
        BYTES_A_FILE
    };
    let last = length.saturating_sub(1);
    let steps = count - 1;
    (0..=steps).map(|step| step * last / steps).collect()
}

impl Changed {
    /// Both kinds occur, or nothing was shown.
    pub fn is_about_something(&self) {
        assert!(self.by_structure > 0, "{self}");
        assert!(self.by_structure < self.bytes, "{self}");
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            files,
            bytes,
            by_structure,
        } = self;
        write!(
            f,
            "{bytes} bytes of {files} state files changed, all told by the baseline, {by_structure} by what is inside too"
        )
    }
}
