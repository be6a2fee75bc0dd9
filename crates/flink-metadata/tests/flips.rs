//! Every byte of every snapshot, changed: what notices it?
//!
//! Most changes are errors of the grammar, contradictions, or files that are not there or have another size:
//! level 1 reports them. The format has no checksum, so a changed byte of a name or an offset is metadata as
//! good as before. [`UNNOTICED`] lists these fields, and what notices a change in them.

#![allow(clippy::unwrap_used)]

mod common;
mod diff;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use common::{Fixture, fixtures};
use diff::differing_fields;
use flink_metadata::{FilePath, Metadata, SizeRule, parse};

/// Fields whose change the grammar, the contradictions and the files do not show, and why they cannot. What
/// notices it is level 2 against the baseline: the checksum of `_metadata` differs from that in the catalog.
///
/// No tag, length or count is among them, and no byte that Flink ignores: there is none.
const UNNOTICED: &[(&str, &str)] = &[
    (
        "changelog offset",
        "counts bytes before compression: nothing to compare it with",
    ),
    (
        "changelog size",
        "counts bytes before compression: nothing to compare it with",
    ),
    ("changelog storage", "a name"),
    ("channel", "the job graph knows it, the metadata does not"),
    (
        "channel offset",
        "counts bytes of a stream whose offsets Flink alone can tell",
    ),
    (
        "checkpoint id",
        "any number may be right; the name of a checkpoint's directory tells it, that of a savepoint does not",
    ),
    (
        "checkpoint id of keyed state",
        "that of an earlier checkpoint, where the state did not change",
    ),
    ("checkpointed size", "a statistic"),
    (
        "directory of merged files",
        "files are referred to by their own paths",
    ),
    ("emptiness of merged operator state", "a flag"),
    ("flag of properties", "a flag"),
    ("inline state", "the bytes of the program"),
    (
        "key group offset",
        "inside the stream, offsets are in any order",
    ),
    (
        "key groups",
        "inside a changelog: a base may have those of an earlier parallelism",
    ),
    ("label of inline state", "no such file exists"),
    (
        "local path of an LSM file",
        "a name, which the state backend compares with its own list",
    ),
    ("materialization id", "any number may be right"),
    (
        "maximum parallelism",
        "of an operator without keyed state: no key groups to compare it with",
    ),
    ("name of a segment", "a name"),
    (
        "offsets of merged channels",
        "an encoding that Flink alone reads",
    ),
    ("operator id", "a hash"),
    ("operator name", "a name"),
    ("operator state name", "a name"),
    (
        "operator state offset",
        "inside the stream: where an item begins, the program's serializer alone knows",
    ),
    ("operator uid", "a name"),
    ("parallelism", "subtasks without state need not be listed"),
    ("redistribution", "any of the three may be right"),
    ("scope of a segment", "either may be right"),
    (
        "size of a file",
        "of a changelog, whose size is not that of its file; or unknown (-1)",
    ),
    (
        "size of a segment",
        "the file reaches beyond the end of the segment",
    ),
    (
        "size of channel state",
        "a statistic: the offsets say what is read",
    ),
    (
        "start of a segment",
        "the file reaches beyond the end of the segment",
    ),
    ("state backend id", "a name"),
    ("state handle id", "a name"),
    (
        "subtask of channel state",
        "the subtask that wrote it, which need not be the one that has it",
    ),
];

/// Bits that are flipped in each byte, one pattern after another: each alone, and all.
const PATTERNS: [u8; 9] = [0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80, 0xff];

/// The files of a snapshot as the untouched metadata tells them, and how large they are.
struct Store<'a>(BTreeMap<FilePath<'a>, SizeRule>);

impl<'a> Store<'a> {
    fn of(metadata: &'a Metadata) -> Self {
        let mut files: BTreeMap<FilePath<'a>, SizeRule> = BTreeMap::new();
        for file in metadata.files() {
            let size = match (file.size, files.get(&file.path)) {
                (SizeRule::AtLeast(new), Some(SizeRule::AtLeast(old))) => {
                    SizeRule::AtLeast(new.max(*old))
                }
                (size, _) => size,
            };
            files.insert(file.path, size);
        }
        Self(files)
    }

    /// Level 1: every file that is referred to is there and has its size.
    fn is_whole(&self, metadata: &Metadata) -> bool {
        metadata.files().all(|file| {
            let found = self.0.get(&file.path);
            found.is_some_and(|found| match *found {
                SizeRule::Exactly(bytes) | SizeRule::AtLeast(bytes) => file.size.allows(bytes),
                SizeRule::Exists => true,
            })
        })
    }
}

/// What the changes of one snapshot came to.
#[derive(Default)]
struct Outcome {
    flips: u64,
    reported: u64,
    /// Fields that changed unreported, with the first change.
    unnoticed: BTreeMap<&'static str, String>,
}

fn flip_all(fixture: &Fixture) -> Outcome {
    let original = parse(&fixture.bytes).unwrap();
    let store = Store::of(&original);
    assert!(store.is_whole(&original) && original.anomalies().is_empty());
    let mut outcome = Outcome::default();
    let mut bytes = fixture.bytes.clone();
    for at in 0..bytes.len() {
        for pattern in PATTERNS {
            bytes[at] ^= pattern;
            outcome.flips += 1;
            match parse(&bytes) {
                Ok(damaged) if damaged.anomalies().is_empty() && store.is_whole(&damaged) => {
                    for field in differing_fields(&original, &damaged) {
                        let place = || format!("{} byte {at} ^ {pattern:#04x}", fixture.name);
                        outcome.unnoticed.entry(field).or_insert_with(place);
                    }
                }
                Ok(_) => outcome.reported += 1,
                Err(error) => {
                    assert!(error.at <= bytes.len(), "{error}");
                    outcome.reported += 1;
                }
            }
            bytes[at] ^= pattern;
        }
    }
    outcome
}

#[test]
fn every_changed_byte_is_reported_or_explained() {
    let fixtures = fixtures();
    let next = AtomicUsize::new(0);
    let work = || {
        let mut outcomes = Vec::new();
        while let Some(fixture) = fixtures.get(next.fetch_add(1, Ordering::Relaxed)) {
            outcomes.push(flip_all(fixture));
        }
        outcomes
    };
    let outcomes: Vec<Outcome> = thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect()
    });
    let (mut flips, mut reported) = (0, 0);
    let mut unnoticed = BTreeMap::new();
    for outcome in outcomes {
        flips += outcome.flips;
        reported += outcome.reported;
        unnoticed.extend(outcome.unnoticed);
    }
    // Most bytes of small snapshots are inline state: not even half of all changes can be reported.
    assert!(reported * 4 > flips, "{reported} of {flips} reported");
    let explained: BTreeSet<&str> = UNNOTICED.iter().map(|(field, _)| *field).collect();
    let unexplained: BTreeMap<_, _> = unnoticed
        .iter()
        .filter(|(field, _)| !explained.contains(**field))
        .collect();
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    let always_reported = |field: &&&str| !unnoticed.contains_key(**field);
    let unmet: Vec<_> = explained.iter().filter(always_reported).collect();
    assert!(
        unmet.is_empty(),
        "explained, but always reported: {unmet:?}"
    );
}
