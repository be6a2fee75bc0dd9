//! What lies under a prefix: snapshots, what they need, and what nothing needs. Pure: the edge lists
//! and reads, this module judges.
//!
//! The retained checkpoints of a job share files: `shared/`, `taskowned/` and `chk-N/` lie beside each
//! other (`AbstractFsCheckpointStorageAccess`), and a file may be needed by many. So a file is an
//! orphan only if no whole snapshot under the prefix needs it, and if every `_metadata` there could be
//! read: one that could not may need any file. What lies in the directory of a snapshot that is broken
//! or was never completed is told with that snapshot, not as an orphan.
//!
//! A job that runs writes before it commits: files of a checkpoint in progress, and of a changelog,
//! belong to no snapshot yet. What is [younger](RECENT) than a checkpoint may last is therefore marked.

use std::collections::BTreeMap;
use std::ops::Bound;

use jiff::{SignedDuration, Timestamp};

use crate::adopt;
use crate::name::Location;
use crate::verify::{self, FileSeen, Metadata, Reading, Report};

/// Most files that are held at once: some 100 MB of names and sizes, and three times that where all of
/// them are orphans.
pub const FILES_MAX: usize = 1_000_000;
/// How long a checkpoint may be under way (`execution.checkpointing.timeout`, 10 min unless set).
pub const RECENT: SignedDuration = SignedDuration::from_mins(10);

/// Flink's name for the file that completes a snapshot.
const METADATA: &str = "_metadata";

/// One file.
#[derive(Debug, Clone, PartialEq, Eq)]
struct File {
    name: Box<str>,
    bytes: u64,
    modified_at: Option<Timestamp>,
    /// A snapshot that could be read names it.
    named: bool,
    /// A whole one does.
    needed: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Default)]
struct Directory {
    modified_at: Option<Timestamp>,
    files: Vec<File>,
}

/// A listing as it comes, in any order. Paths count from the prefix, with slashes between.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Tree {
    directories: BTreeMap<String, Directory>,
    files: usize,
}

/// There are more files than can be held ([`FILES_MAX`]).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more than {FILES_MAX} files")]
pub struct TooMany;

impl Tree {
    /// Adds a directory, which may have no files.
    pub fn directory(&mut self, path: &str, modified_at: Option<Timestamp>) {
        self.directories
            .entry(path.to_owned())
            .or_default()
            .modified_at = modified_at;
    }

    /// Adds a file.
    pub fn file(
        &mut self,
        path: &str,
        bytes: u64,
        modified_at: Option<Timestamp>,
    ) -> Result<(), TooMany> {
        if self.files == FILES_MAX {
            return Err(TooMany);
        }
        self.files += 1;
        let (directory, name) = split(path);
        let file = File {
            name: name.into(),
            bytes,
            modified_at,
            named: false,
            needed: false,
        };
        if let Some(there) = self.directories.get_mut(directory) {
            there.files.push(file);
        } else {
            let there = Directory {
                modified_at: None,
                files: vec![file],
            };
            self.directories.insert(directory.to_owned(), there);
        }
        Ok(())
    }

    /// The listing is complete. `prefix` is what it was of.
    pub fn listed(mut self, prefix: &Location) -> Listed {
        for directory in self.directories.values_mut() {
            directory.files.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        }
        let mut snapshots = BTreeMap::new();
        for path in self.directories.keys() {
            let mut above = Some(path.as_str());
            while let Some(path) = above {
                let name = if path.is_empty() {
                    prefix.last()
                } else {
                    split(path).1
                };
                let complete = find(&self.directories, path, METADATA).is_some();
                if complete || is_named_as_snapshot(name) {
                    snapshots.insert(path.to_owned(), complete);
                }
                above = (!path.is_empty()).then(|| split(path).0);
            }
        }
        Listed {
            directories: self.directories,
            snapshots,
            judged: BTreeMap::new(),
        }
    }
}

/// A complete listing, with the snapshots that it shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    directories: BTreeMap<String, Directory>,
    /// Directories of snapshots, and whether they have a `_metadata`.
    snapshots: BTreeMap<String, bool>,
    /// What was judged so far.
    judged: BTreeMap<String, Snapshot>,
}

/// What a snapshot is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Level 1 passed.
    Whole,
    /// It was read and is wrong.
    Broken,
    /// Its `_metadata` could not be read.
    Unreadable,
    /// It has no `_metadata`, and nothing was written there lately.
    Aborted,
    /// It has no `_metadata` yet, and was written to lately.
    Unfinished,
}

impl Verdict {
    /// As users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Whole => "whole",
            Self::Broken => "broken",
            Self::Unreadable => "unreadable",
            Self::Aborted => "aborted",
            Self::Unfinished => "unfinished",
        }
    }
}

/// One snapshot under the prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its directory, from the prefix on; empty for the prefix itself.
    pub path: String,
    /// What it is.
    pub verdict: Verdict,
    /// Whether it is a checkpoint, by its metadata or else by its name.
    pub is_checkpoint: bool,
    /// When its `_metadata` was written, or else its newest file.
    pub written_at: Option<Timestamp>,
    /// Files in its directory.
    pub files: u64,
    /// Bytes in its directory.
    pub own_bytes: u64,
    /// Bytes of files elsewhere that it needs, each counted once.
    pub elsewhere_bytes: u64,
    /// What is wrong with it, the first of them.
    pub findings: Vec<String>,
    /// How many findings there are.
    pub findings_total: u64,
    /// Why it could not be read.
    pub reason: Option<String>,
}

/// A file that nothing needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Where it lies, from the prefix on.
    pub path: String,
    /// How large it is.
    pub bytes: u64,
    /// When it was written.
    pub modified_at: Option<Timestamp>,
    /// Whether it is so young that a running job may be about to need it.
    pub is_recent: bool,
}

/// What lies under a prefix.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scan {
    /// Every snapshot, by path.
    pub snapshots: Vec<Snapshot>,
    /// Every orphan, by path; `None` if it cannot be told what is one.
    pub orphans: Option<Vec<Orphan>>,
    /// Files under the prefix.
    pub files: u64,
    /// Bytes of them.
    pub bytes: u64,
    /// Bytes outside of all snapshots' directories that whole ones need.
    pub shared_bytes: u64,
}

impl Scan {
    /// Counts a file with the snapshot in whose directory it lies; whether it belongs to that, or is
    /// needed.
    fn counts(&mut self, file: &File, owner: Option<&mut Snapshot>) -> bool {
        let Some(owner) = owner else {
            if file.needed {
                self.shared_bytes += file.bytes;
            }
            return file.needed;
        };
        owner.files += 1;
        owner.own_bytes += file.bytes;
        file.needed || owner.verdict != Verdict::Whole || &*file.name == METADATA
    }
}

/// What came of reading a snapshot.
#[derive(Debug, Clone, PartialEq)]
pub enum Judged {
    /// It could be read.
    Read {
        /// What level 1 found.
        report: Report,
        /// The files that it needs, as far as they could be looked up.
        files: Vec<FileSeen>,
        /// Whether it is a checkpoint, if its metadata could be parsed.
        is_checkpoint: Option<bool>,
    },
    /// It could not be read; why.
    Unreadable(String),
}

impl Judged {
    /// Judges a reading of the snapshot in `directory`.
    pub fn of(reading: Reading, directory: &Location) -> Self {
        Self::Read {
            report: verify::judge(&reading, None),
            is_checkpoint: match &reading.metadata {
                Some(Ok(metadata)) => Some(adopt::is_checkpoint(metadata, directory)),
                Some(Err(_)) | None => None,
            },
            files: reading.files,
        }
    }
}

impl Listed {
    /// The directories that have a `_metadata`, which is to be read, and its size in bytes.
    pub fn complete(&self) -> Vec<(String, u64)> {
        let complete = self.snapshots.keys().filter_map(|path| {
            let metadata = find(&self.directories, path, METADATA)?;
            Some((path.clone(), metadata.bytes))
        });
        complete.collect()
    }

    /// The reading of a snapshot, if the listing shows every file that it needs, with its right size;
    /// `None` if the store is to be asked: the file may lie outside of the prefix, or be younger than
    /// the listing. `below` says where a file lies from the prefix on.
    pub fn reading(
        &self,
        metadata: Metadata,
        directory: &Location,
        below: impl Fn(&Location) -> Option<String>,
    ) -> Option<Reading> {
        let mut files = Vec::new();
        for (location, rule) in verify::wanted(&metadata, directory) {
            let bytes = self.bytes(&below(&location)?)?;
            if !rule.allows(bytes) {
                return None;
            }
            files.push(FileSeen {
                location,
                rule,
                found_bytes: Some(bytes),
            });
        }
        Some(Reading {
            metadata: Some(Ok(metadata)),
            files,
            extra: Vec::new(),
            listed: BTreeMap::new(),
        })
    }

    fn bytes(&self, path: &str) -> Option<u64> {
        let (directory, name) = split(path);
        find(&self.directories, directory, name).map(|file| file.bytes)
    }

    /// Judges one of [`Listed::complete`]; what a whole one needs is no orphan. `below` says where a
    /// file lies from the prefix on.
    pub fn judge(
        &mut self,
        path: &str,
        judged: &Judged,
        below: impl Fn(&Location) -> Option<String>,
    ) {
        let metadata = find(&self.directories, path, METADATA);
        let mut snapshot = Snapshot {
            written_at: metadata.and_then(|file| file.modified_at),
            ..blank(path)
        };
        match judged {
            Judged::Unreadable(reason) => {
                snapshot.verdict = Verdict::Unreadable;
                snapshot.reason = Some(reason.clone());
            }
            Judged::Read {
                report,
                files,
                is_checkpoint,
            } => {
                snapshot.is_checkpoint = is_checkpoint.unwrap_or(snapshot.is_checkpoint);
                snapshot.findings.clone_from(&report.findings);
                snapshot.findings_total = report.findings_total;
                let places: Vec<Option<String>> =
                    files.iter().map(|file| below(&file.location)).collect();
                snapshot.elsewhere_bytes = self.elsewhere_bytes(path, files, &places);
                if !report.is_whole() {
                    snapshot.verdict = Verdict::Broken;
                }
                for place in places.iter().flatten() {
                    self.mark(place, report.is_whole());
                }
            }
        }
        self.judged.insert(path.to_owned(), snapshot);
    }

    /// Bytes of the files that lie outside of the snapshot's own directory.
    fn elsewhere_bytes(&self, path: &str, files: &[FileSeen], places: &[Option<String>]) -> u64 {
        let mut bytes = 0;
        let mut counted: Option<&Location> = None;
        for (file, place) in files.iter().zip(places) {
            // In order of location; a file may have a rule for each piece in it.
            if counted.replace(&file.location) == Some(&file.location) {
                continue;
            }
            let place = place.as_deref();
            if place.and_then(|place| owner(&self.snapshots, split(place).0)) != Some(path) {
                bytes += file.found_bytes.unwrap_or(0);
            }
        }
        bytes
    }

    /// Sums it up, once all of [`Listed::complete`] are judged. One that is not cannot be told of,
    /// and counts as unreadable.
    pub fn scan(mut self, now: Timestamp) -> Scan {
        let mut snapshots = std::mem::take(&mut self.judged);
        for path in self.parts_of_others() {
            self.snapshots.remove(&path);
        }
        for (path, complete) in &self.snapshots {
            if !snapshots.contains_key(path) {
                snapshots.insert(path.clone(), self.unjudged(path, *complete, now));
            }
        }
        let can_tell = !snapshots
            .values()
            .any(|it| it.verdict == Verdict::Unreadable);
        let mut sum = Scan::default();
        let mut orphans = Vec::new();
        for (path, directory) in &self.directories {
            let owner = owner(&self.snapshots, path);
            let mut owner = owner.and_then(|owner| snapshots.get_mut(owner));
            for file in &directory.files {
                sum.files += 1;
                sum.bytes += file.bytes;
                if !sum.counts(file, owner.as_deref_mut()) {
                    orphans.push(orphan(path, file, now));
                }
            }
        }
        sum.snapshots = snapshots.into_values().collect();
        sum.orphans = can_tell.then_some(orphans);
        sum
    }

    /// Directories without a `_metadata` of which other snapshots name every file: entropy in paths
    /// gives each file of a savepoint a directory of its own, with the savepoint's name at its end.
    fn parts_of_others(&self) -> Vec<String> {
        let incomplete = self.snapshots.iter().filter(|(_, complete)| !**complete);
        let paths = incomplete.map(|(path, _)| path);
        let parts = paths.filter(|path| {
            let mut files = self.within(path).flat_map(|it| &it.files).peekable();
            files.peek().is_some() && files.all(|file| file.named)
        });
        parts.cloned().collect()
    }

    /// A directory and all below it.
    fn within(&self, path: &str) -> impl Iterator<Item = &Directory> {
        let start = format!("{path}/");
        let from = if path.is_empty() {
            Bound::Excluded(String::new())
        } else {
            Bound::Included(start.clone())
        };
        let below = self.directories.range((from, Bound::Unbounded));
        let below = below.take_while(move |(it, _)| path.is_empty() || it.starts_with(&start));
        let itself = self.directories.get(path).into_iter();
        itself.chain(below.map(|(_, directory)| directory))
    }

    /// A snapshot of which nothing was read: it has no `_metadata`.
    fn unjudged(&self, path: &str, complete: bool, now: Timestamp) -> Snapshot {
        if complete {
            return Snapshot {
                verdict: Verdict::Unreadable,
                ..blank(path)
            };
        }
        let newest = self
            .within(path)
            .flat_map(|directory| {
                let files = directory.files.iter().map(|file| file.modified_at);
                files.chain([directory.modified_at])
            })
            .flatten()
            .max();
        Snapshot {
            verdict: if is_recent(newest, now) {
                Verdict::Unfinished
            } else {
                Verdict::Aborted
            },
            written_at: newest,
            ..blank(path)
        }
    }

    /// Marks a file that a snapshot names, and needs if it is whole.
    fn mark(&mut self, path: &str, is_whole: bool) {
        let (directory, name) = split(path);
        let Some(directory) = self.directories.get_mut(directory) else {
            return;
        };
        let at = directory
            .files
            .binary_search_by(|file| (*file.name).cmp(name));
        if let Ok(at) = at {
            let file = &mut directory.files[at];
            file.named = true;
            file.needed |= is_whole;
        }
    }
}

fn blank(path: &str) -> Snapshot {
    Snapshot {
        path: path.to_owned(),
        verdict: Verdict::Whole,
        is_checkpoint: is_checkpoint_name(split(path).1),
        written_at: None,
        files: 0,
        own_bytes: 0,
        elsewhere_bytes: 0,
        findings: Vec::new(),
        findings_total: 0,
        reason: None,
    }
}

fn orphan(directory: &str, file: &File, now: Timestamp) -> Orphan {
    Orphan {
        path: if directory.is_empty() {
            file.name.to_string()
        } else {
            format!("{directory}/{}", file.name)
        },
        bytes: file.bytes,
        modified_at: file.modified_at,
        is_recent: is_recent(file.modified_at, now),
    }
}

fn is_recent(at: Option<Timestamp>, now: Timestamp) -> bool {
    at.is_some_and(|at| now.duration_since(at) < RECENT)
}

/// The snapshot in whose directory a directory lies, or which it is.
fn owner<'a>(snapshots: &'a BTreeMap<String, bool>, directory: &str) -> Option<&'a str> {
    let mut above = Some(directory);
    while let Some(path) = above {
        if let Some((path, _)) = snapshots.get_key_value(path) {
            return Some(path);
        }
        above = (!path.is_empty()).then(|| split(path).0);
    }
    None
}

fn find<'a>(
    directories: &'a BTreeMap<String, Directory>,
    directory: &str,
    name: &str,
) -> Option<&'a File> {
    let files = &directories.get(directory)?.files;
    let at = files.binary_search_by(|file| (*file.name).cmp(name));
    at.ok().map(|at| &files[at])
}

/// The directory and the name.
fn split(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

/// Whether Flink gives such names to directories of snapshots
/// (`AbstractFsCheckpointStorageAccess.CHECKPOINT_DIR_PREFIX`, `initializeLocationForSavepoint`).
fn is_named_as_snapshot(name: &str) -> bool {
    is_checkpoint_name(name) || name.starts_with("savepoint-")
}

/// Whether Flink gives such a name to the directory of a checkpoint.
pub(crate) fn is_checkpoint_name(name: &str) -> bool {
    name.strip_prefix("chk-")
        .is_some_and(|number| !number.is_empty() && number.bytes().all(|it| it.is_ascii_digit()))
}

/// Whether a directory holds only what snapshots beside it share
/// (`CHECKPOINT_SHARED_STATE_DIR`, `CHECKPOINT_TASK_OWNED_STATE_DIR`): scanned by itself, all of it
/// would look like orphans.
pub fn is_shared(prefix: &Location) -> bool {
    matches!(prefix.last(), "shared" | "taskowned")
}

#[cfg(test)]
mod tests;
