//! Object stores: everything that level 1 needs, from listings.
//!
//! A savepoint of ten thousand files is ten pages of a listing, and would be ten thousand
//! requests for one file each. So the directory is listed, and files that lie elsewhere (those of
//! checkpoints, and of savepoints with entropy in their paths) are looked for in listings too,
//! where there are enough of them for that to be cheaper; a budget of pages keeps a directory that
//! holds a million other files from being read to its end.
//!
//! A key that a listing lacks is missing: the stores here list what was written before the
//! listing began (Amazon S3 since December 2020, "strong read-after-write consistency"). What a
//! single request did not find is missing only where the bucket can be listed at all.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use jiff::Timestamp;
use lowtide_core::baseline::Listed;
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::run::Found;
use opendal::options::{ListOptions, ReadOptions};
use opendal::{Entry, ErrorKind, Operator};

use super::fault;
use super::place::{Object, Root};
use super::walk;
use super::{DIRECTORIES_MAX, ENTRIES_MAX, METADATA, METADATA_BYTES_MAX, Opened};

/// Entries asked for with one request: the most that S3, GCS and OSS give.
const PAGE_ENTRIES: usize = 1_000;
/// How many files a page must save a request for to be worth its own: a page costs a store about
/// as much as ten requests for single files (Amazon's price list of S3).
const FILES_A_PAGE: usize = 10;
/// From how many files on it pays to look for those that share no directory in a listing of all
/// that lies above them.
const SCATTERED_MIN: usize = 64;
/// Requests for single files under way at once.
const ASKED_AT_ONCE: usize = 16;

/// Reads the `_metadata` of a directory and lists it.
pub(super) async fn open(operator: &Operator, directory: &Object) -> Result<Opened, Fault> {
    let mut names: Vec<(String, Option<Listed>)> = Vec::new();
    let mut entries = lister(operator, directory, false, None).await?;
    while let Some(entry) = next(&mut entries, directory).await? {
        if !entry.metadata().is_file() {
            continue;
        }
        if names.len() == ENTRIES_MAX {
            return Err(Fault::permanent(format!(
                "{directory} holds more than {ENTRIES_MAX} files"
            )));
        }
        let told = listed(entry.metadata());
        names.push((entry.name().to_owned(), Some(told)));
    }
    if names.is_empty() {
        return Err(nothing_lies_in(directory));
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    let told = names.iter().find(|(name, _)| name == METADATA);
    let told = told.and_then(|(_, told)| told.clone());
    let metadata = match &told {
        Some(told) => Some(metadata(operator, directory, told.bytes).await?),
        None => None,
    };
    Ok(Opened {
        metadata,
        told,
        names,
    })
}

pub(super) async fn metadata(
    operator: &Operator,
    directory: &Object,
    bytes: u64,
) -> Result<Vec<u8>, Fault> {
    let object = directory.join(METADATA);
    if bytes > METADATA_BYTES_MAX {
        return Err(Fault::permanent(format!(
            "{object} is larger than {METADATA_BYTES_MAX} bytes"
        )));
    }
    match operator.read(&object.key).await {
        Ok(buffer) => Ok(buffer.to_vec()),
        Err(error) if error.kind() == ErrorKind::NotFound => Err(vanished(directory)),
        Err(error) => Err(fault::of(&error, "read", &object.to_string())),
    }
}

/// The fault of a directory that a store has not.
fn nothing_lies_in(directory: &Object) -> Fault {
    Fault::gone(format!("cannot read {directory}: nothing lies there"))
        .hint("a store has no directories of its own: is it the right bucket and path?")
}

/// The fault of a directory that was deleted meanwhile: it says nothing of what it held.
fn vanished(directory: &Object) -> Fault {
    Fault::transient(format!("{directory} vanished while it was read"))
}

/// Whether the directory's `_metadata` is still there.
pub(super) async fn still_there(operator: &Operator, directory: &Object) -> Result<(), Fault> {
    match size(operator, &directory.join(METADATA)).await? {
        Some(_) => Ok(()),
        None => Err(vanished(directory)),
    }
}

/// What is told of a file without opening it.
fn listed(metadata: &opendal::Metadata) -> Listed {
    let modified = metadata.last_modified();
    Listed {
        bytes: metadata.content_length(),
        etag: metadata.etag().map(str::to_owned),
        modified_ms: modified.map(|at| at.into_inner().as_millisecond()),
    }
}

/// When the `_metadata` of a directory was written; `None` if the store does not say.
pub(super) async fn completed_at(
    operator: &Operator,
    directory: &Object,
) -> Result<Option<Timestamp>, Fault> {
    let object = directory.join(METADATA);
    let metadata = operator
        .stat(&object.key)
        .await
        .map_err(|error| fault::of(&error, "look at", &object.to_string()))?;
    let at = metadata
        .last_modified()
        .map(opendal::raw::Timestamp::into_inner);
    Ok(at)
}

/// The files of a bucket that there are, of those with these keys.
pub(super) async fn sizes(
    operator: &Operator,
    root: &Root,
    keys: BTreeSet<String>,
) -> Result<BTreeMap<String, Listed>, Fault> {
    let mut search = Search {
        operator,
        root,
        unknown: keys,
        found: BTreeMap::new(),
        listed: false,
    };
    search.in_their_directories().await?;
    search.above_them_all().await?;
    search.one_by_one().await?;
    Ok(search.found)
}

/// A search for the sizes of many files.
struct Search<'a> {
    operator: &'a Operator,
    root: &'a Root,
    /// What is neither found nor proven missing.
    unknown: BTreeSet<String>,
    found: BTreeMap<String, Listed>,
    /// Whether the bucket was seen to answer a listing.
    listed: bool,
}

impl Search<'_> {
    async fn in_their_directories(&mut self) -> Result<(), Fault> {
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for key in &self.unknown {
            *counts.entry(parent(key).to_owned()).or_default() += 1;
        }
        for (directory, count) in counts {
            if count >= FILES_A_PAGE {
                self.list(&directory, false).await?;
            }
        }
        Ok(())
    }

    /// Entropy puts every file into a directory of its own.
    async fn above_them_all(&mut self) -> Result<(), Fault> {
        if self.unknown.len() < SCATTERED_MIN {
            return Ok(());
        }
        let (Some(first), Some(last)) = (self.unknown.first(), self.unknown.last()) else {
            return Ok(());
        };
        let shared = first.bytes().zip(last.bytes()).take_while(|(a, b)| a == b);
        let shared = shared.count();
        let directory = first.as_bytes()[..shared]
            .iter()
            .rposition(|byte| *byte == b'/')
            .map_or("", |slash| &first[..slash])
            .to_owned();
        self.list(&directory, true).await
    }

    /// Lists a directory from the first file that is looked for to the last, unless that takes
    /// more pages than it is worth.
    async fn list(&mut self, directory: &str, recursive: bool) -> Result<(), Fault> {
        let place = Object {
            root: self.root.clone(),
            key: directory.to_owned(),
        };
        let prefix = place.prefix();
        let wanted: BTreeSet<String> = self
            .unknown
            .iter()
            .filter(|key| key.starts_with(&prefix))
            .filter(|key| recursive || !key[prefix.len()..].contains('/'))
            .cloned()
            .collect();
        let (Some(first), Some(last)) = (wanted.first(), wanted.last()) else {
            return Ok(());
        };
        let sorted = self.operator.info().capability().list_with_start_after;
        // A key's beginning sorts right before it.
        let before = first.char_indices().next_back().map(|(at, _)| &first[..at]);
        let after = before.filter(|before| sorted && before.len() > prefix.len());
        let budget = wanted.len().div_ceil(FILES_A_PAGE) * PAGE_ENTRIES;
        let mut entries = lister(self.operator, &place, recursive, after).await?;
        let mut seen = 0;
        let whole = loop {
            let Some(entry) = next(&mut entries, &place).await? else {
                break true;
            };
            self.listed = true;
            if sorted && entry.path() > last.as_str() {
                break true;
            }
            if entry.metadata().is_file() && wanted.contains(entry.path()) {
                let told = listed(entry.metadata());
                self.unknown.remove(entry.path());
                self.found.insert(entry.path().to_owned(), told);
            }
            seen += 1;
            if seen >= budget {
                break false;
            }
        };
        if whole {
            self.listed = true;
            self.unknown.retain(|key| !wanted.contains(key));
        }
        Ok(())
    }

    async fn one_by_one(&mut self) -> Result<(), Fault> {
        let keys = std::mem::take(&mut self.unknown);
        let asked = stream::iter(keys)
            .map(|key| {
                let (operator, root) = (self.operator, self.root.clone());
                async move {
                    let object = Object { root, key };
                    let told = size(operator, &object).await?;
                    Ok::<_, Fault>((object.key, told))
                }
            })
            .buffer_unordered(ASKED_AT_ONCE);
        let answers: Vec<(String, Option<Listed>)> = asked.try_collect().await?;
        let missing = answers.iter().find(|(_, told)| told.is_none());
        if let Some((key, _)) = missing
            && !self.listed
        {
            // A bucket that is not there, or that may not be listed, says the same of every key.
            let place = Object {
                root: self.root.clone(),
                key: parent(key).to_owned(),
            };
            let mut entries = lister(self.operator, &place, false, None).await?;
            next(&mut entries, &place).await?;
        }
        let there = answers.into_iter();
        self.found
            .extend(there.filter_map(|(key, told)| Some((key, told?))));
        Ok(())
    }
}

/// The size of one file, and what else is told of it; `None` if there is none.
async fn size(operator: &Operator, object: &Object) -> Result<Option<Listed>, Fault> {
    match operator.stat(&object.key).await {
        Ok(metadata) => Ok(metadata.is_file().then(|| listed(&metadata))),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fault::of(&error, "look at", &object.to_string())),
    }
}

/// Some bytes of a file; fewer if it ends before.
pub(super) async fn range(
    operator: &Operator,
    object: &Object,
    bytes: Range<u64>,
) -> Result<Vec<u8>, Fault> {
    let options = ReadOptions {
        range: bytes.into(),
        ..ReadOptions::default()
    };
    match operator.read_options(&object.key, options).await {
        Ok(buffer) => Ok(buffer.to_vec()),
        Err(error) => Err(fault::of(&error, "read", &object.to_string())),
    }
}

/// Lists the directories in `target`, which is `object` in the store. A store has no directories
/// that could be absent: one that answers has none of that name.
pub(super) async fn directories(
    operator: &Operator,
    target: &Location,
    object: &Object,
) -> Result<Vec<Found>, Fault> {
    let mut names = BTreeSet::new();
    let mut entries = lister(operator, object, false, None).await?;
    while let Some(entry) = next(&mut entries, object).await? {
        let itself = entry.path().trim_end_matches('/') == object.key;
        if !entry.metadata().is_dir() || itself {
            continue;
        }
        names.insert(entry.name().trim_end_matches('/').to_owned());
        if names.len() > DIRECTORIES_MAX {
            return Err(super::too_many_directories(object));
        }
    }
    let looked = stream::iter(names)
        .map(|name| async move {
            let metadata = object.join(&name).join(METADATA);
            let has_metadata = size(operator, &metadata).await?.is_some();
            Ok::<_, Fault>(Found {
                location: target.join(&name),
                has_metadata,
                foreign: false,
            })
        })
        .buffered(ASKED_AT_ONCE);
    looked.try_collect().await
}

/// Lists everything under a prefix.
pub(super) async fn walk(
    operator: &Operator,
    prefix: &Object,
    mut each: impl FnMut(walk::Entry) -> Result<(), Fault>,
) -> Result<(), Fault> {
    let beginning = prefix.prefix();
    let mut entries = lister(operator, prefix, true, None).await?;
    let mut is_empty = true;
    while let Some(entry) = next(&mut entries, prefix).await? {
        is_empty = false;
        let Some(path) = entry.path().strip_prefix(&beginning) else {
            continue;
        };
        let metadata = entry.metadata();
        let modified_at = metadata
            .last_modified()
            .map(opendal::raw::Timestamp::into_inner);
        each(if metadata.is_file() {
            walk::Entry::File {
                path: path.to_owned(),
                bytes: metadata.content_length(),
                modified_at,
            }
        } else {
            walk::Entry::Directory {
                path: path.trim_end_matches('/').to_owned(),
                modified_at,
            }
        })?;
    }
    if is_empty {
        return Err(nothing_lies_in(prefix));
    }
    Ok(())
}

/// What lies above a key.
fn parent(key: &str) -> &str {
    key.rsplit_once('/').map_or("", |(parent, _)| parent)
}

async fn lister(
    operator: &Operator,
    directory: &Object,
    recursive: bool,
    after: Option<&str>,
) -> Result<opendal::Lister, Fault> {
    let options = ListOptions {
        limit: Some(PAGE_ENTRIES),
        start_after: after.map(str::to_owned),
        recursive,
        ..ListOptions::default()
    };
    let prefix = directory.prefix();
    // The top has a name of its own in OpenDAL.
    let prefix = if prefix.is_empty() { "/" } else { &prefix };
    operator
        .lister_options(prefix, options)
        .await
        .map_err(|error| fault::of(&error, "list", &directory.to_string()))
}

async fn next(entries: &mut opendal::Lister, directory: &Object) -> Result<Option<Entry>, Fault> {
    entries
        .try_next()
        .await
        .map_err(|error| fault::of(&error, "list", &directory.to_string()))
}
