//! A byte of `_metadata` is changed: either level 1 tells, or the table here says who does.
//!
//! The format has no checksum. A flipped type byte or length derails the reading, and level 1 tells. A flipped
//! name or number may be as good as the one before, for Flink too: only the level that remembers what the
//! bytes were can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use testbench::flink::{Release, dump_metadata};

use crate::fields::{Field, Role, fields};
use crate::in_full;
use crate::level_1::{self, Base};
use crate::level_2::First;
use crate::take::Snapshot;

/// Fields of which level 1 cannot tell every changed byte: level 2 against the baseline does, as the checksum
/// of `_metadata` is another. Without a baseline none does, for Flink reads it too: its own loader takes a
/// changed file of each field and release, which is asked here.
const LEVEL_2: [&str; 35] = [
    "backend file name",
    "backend id",
    "changelog file size",
    "changelog offset",
    "changelog size",
    "changelog storage",
    "channel",
    "channel offset",
    "channel size",
    "checkpoint id",
    "checkpoint id of a handle",
    "checkpointed size",
    "count of key groups",
    "directory of merged files",
    "first key group",
    "inline bytes",
    "Java flag",
    "key group offset",
    "label of inline bytes",
    "logical file id",
    "materialization id",
    "maximum parallelism",
    "merged channel offsets",
    "merged file is empty",
    "operator id",
    "operator name",
    "operator state name",
    "operator state offset",
    "operator uid",
    "parallelism",
    "redistribution mode",
    "scope of a segment",
    "size of a segment",
    "start of a segment",
    "state handle id",
];

/// What was changed and not told, over the snapshots of one release: one changed file of each field.
#[derive(Debug, Default)]
pub struct Unseen(BTreeMap<&'static str, Changed>);

#[derive(Debug)]
struct Changed {
    what: String,
    bytes: Vec<u8>,
}

/// Changes every byte of a snapshot's `_metadata`.
pub fn every_byte(snapshot: &Snapshot, first: &First, unseen: &mut Unseen) {
    let whole = snapshot.bytes();
    let base = Base::of(&snapshot.directory);
    let mut bytes = whole.clone();
    let mut seen = BTreeSet::new();
    for field in fields(&whole) {
        for at in field.start..field.end {
            for mask in masks(&field) {
                bytes[at] = whole[at] ^ mask;
                let told = is_told(&base, &bytes);
                if seen.insert((field.name, told)) {
                    stored_alike(snapshot, first, &whole, &bytes, told);
                }
                if told {
                    continue;
                }
                let Field { name, role, .. } = field;
                let what = format!("{snapshot}: {name} at byte {at}, xor {mask}");
                assert_eq!(role, Role::Value, "not told: {what}");
                let bytes = bytes.clone();
                unseen.0.entry(name).or_insert(Changed { what, bytes });
            }
            bytes[at] = whole[at];
        }
    }
}

/// Tags and lengths: every bit, and all at once. Others, but in `soak`: the lowest and the highest bit.
fn masks(field: &Field) -> &'static [u8] {
    match field.role {
        Role::Value if !in_full() => &[1, 128],
        Role::Tag | Role::Length | Role::Value => &[1, 2, 4, 8, 16, 32, 64, 128, 255],
    }
}

/// A warning tells too: in version 3, which does not say what it is, that is all there can be of one odd tag.
fn is_told(base: &Base, bytes: &[u8]) -> bool {
    let report = base.report(bytes);
    !report.is_whole() || !report.warnings.is_empty()
}

/// One change of each field, in the file itself: what the store reads must not be judged otherwise, and what
/// level 1 does not tell, level 2 does.
fn stored_alike(snapshot: &Snapshot, first: &First, whole: &[u8], changed: &[u8], told: bool) {
    fs::write(snapshot.metadata_path(), changed).unwrap();
    let stored = level_1::is_told(&snapshot.directory);
    if !stored {
        first.tells_of(&snapshot.metadata_path());
    }
    fs::write(snapshot.metadata_path(), whole).unwrap();
    assert_eq!(stored, told, "{snapshot}");
}

impl Unseen {
    /// Holds what was found against the table, and has Flink read one changed file of each field.
    pub fn compare(&self, release: Release, scratch: &Path) {
        let mut paths = Vec::new();
        for (number, changed) in self.0.values().enumerate() {
            // Flink resolves relative handles only in a directory that has a `_metadata`.
            let folder = scratch.join("changed").join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join("_metadata");
            fs::write(&path, &changed.bytes).unwrap();
            paths.push(path);
        }
        if release == Release::V2_3 {
            // It has every setup, so the table has no field but these, and that of records in flight before 2.1.
            let found: BTreeSet<&str> = self.0.keys().copied().chain(["channel offset"]).collect();
            assert_eq!(found, BTreeSet::from(LEVEL_2));
        }
        let dumps = dump_metadata(release, &paths).unwrap();
        for ((name, changed), dump) in self.0.iter().zip(dumps) {
            let what = &changed.what;
            assert!(LEVEL_2.contains(name), "{name} is not in the table: {what}");
            let refused = dump["error"].as_str();
            assert_eq!(refused, None, "Flink refuses, level 1 does not: {what}");
        }
    }
}
