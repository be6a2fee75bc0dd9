//! Damage to the files that a snapshot refers to, and to the length of its `_metadata`: level 1 names the file
//! or the offset.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use lowtide_core::verify::{Reading, SizeRule};

use crate::in_full;
use crate::level_1::{self, Base};
use crate::take::Snapshot;

/// Takes each file away, and puts a shorter and a longer one in its place.
pub fn every_file(snapshot: &Snapshot) {
    let reading = level_1::read(&snapshot.directory).unwrap();
    for (location, rules) in by_file(&reading) {
        let path = PathBuf::from(location.trim_start_matches("file:"));
        let aside = path.with_added_extension("aside");
        fs::rename(&path, &aside).unwrap();
        is_told(snapshot, "missing", &location);
        if let Some(length) = referenced_bytes(&rules) {
            assert!(
                length > 0,
                "{snapshot}: nothing is referenced in {location}"
            );
            for shorter in [0, length / 2, length - 1] {
                sparse(&path, shorter);
                is_told(snapshot, "short", &location);
            }
        }
        if rules
            .iter()
            .any(|rule| matches!(rule, SizeRule::Exactly(_)))
        {
            sparse(&path, fs::metadata(&aside).unwrap().len() + 1);
            is_told(snapshot, "too long", &location);
        }
        fs::rename(&aside, &path).unwrap();
    }
    let metadata = snapshot.metadata_path();
    let aside = metadata.with_added_extension("aside");
    fs::rename(&metadata, &aside).unwrap();
    is_told(snapshot, "no `_metadata`", "");
    fs::rename(&aside, &metadata).unwrap();
    assert_eq!(level_1::told(&snapshot.directory), [""; 0], "{snapshot}");
}

/// Several handles may refer to parts of one file.
fn by_file(reading: &Reading) -> BTreeMap<String, Vec<SizeRule>> {
    let mut files: BTreeMap<String, Vec<SizeRule>> = BTreeMap::new();
    for file in &reading.files {
        let location = file.location.to_string();
        files.entry(location).or_default().push(file.rule);
    }
    files
}

/// Up to where bytes of a file are referred to; `None` if that cannot be told: of a changelog.
fn referenced_bytes(rules: &[SizeRule]) -> Option<u64> {
    let lengths = rules.iter().filter_map(|rule| match *rule {
        SizeRule::Exactly(length) | SizeRule::AtLeast(length) => Some(length),
        SizeRule::Exists => None,
    });
    lengths.max()
}

fn sparse(path: &Path, length: u64) {
    File::create(path).unwrap().set_len(length).unwrap();
}

fn is_told(snapshot: &Snapshot, what: &str, location: &str) {
    let told = level_1::told(&snapshot.directory);
    let is_it = |line: &String| line.contains(what) && line.contains(location);
    assert!(
        told.iter().any(is_it),
        "{snapshot}: {what} {location} is not told: {told:?}"
    );
}

/// So many cuts apart the store reads the cut file; all others are judged in memory. It reads a file in a
/// tenth of a millisecond, and there are half a million of them: for `soak`.
const STORED_CUT_EVERY: usize = 61;

/// Cuts `_metadata` off at each of its bytes.
pub fn every_cut(snapshot: &Snapshot) {
    let path = snapshot.metadata_path();
    let whole = snapshot.bytes();
    let base = Base::of(&snapshot.directory);
    for length in 0..whole.len() {
        let report = base.report(&whole[..length]);
        names_the_offset(snapshot, length, &report.findings);
    }
    let step = if in_full() { 1 } else { STORED_CUT_EVERY };
    let file = File::options().write(true).open(&path).unwrap();
    // From the end on, so that nothing has to be written in between.
    for length in (0..whole.len()).rev().step_by(step) {
        file.set_len(length as u64).unwrap();
        names_the_offset(snapshot, length, &level_1::told(&snapshot.directory));
    }
    fs::write(&path, &whole).unwrap();
    assert_eq!(level_1::told(&snapshot.directory), [""; 0], "{snapshot}");
}

fn names_the_offset(snapshot: &Snapshot, length: usize, told: &[String]) {
    let [line] = told else {
        panic!("{snapshot} cut at {length}: {told:?}")
    };
    let at = offset(line).unwrap_or_else(|| panic!("{snapshot} cut at {length}: {line}"));
    assert!(at <= length, "{snapshot} cut at {length}: {line}");
}

/// The offset that a line about `_metadata` names.
fn offset(line: &str) -> Option<usize> {
    let rest = line.strip_prefix("`_metadata`: byte ")?;
    let end = rest.find(|it: char| !it.is_ascii_digit())?;
    rest[..end].parse().ok()
}
