//! Everything that lies under a prefix, as it is listed.
//!
//! A store lists a bucket's keys a thousand at a time, whatever directories they seem to lie in; a
//! file system is walked directory by directory. Links to directories are not followed: they may
//! lead round in circles, and what lies behind them is found by who needs it.

use jiff::Timestamp;
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::verify::{self, Metadata, ParseError, Reading};
use tokio::sync::mpsc;

use super::place::Place;
use super::{METADATA, Paths, blocking, local, object, refuse_dots, unsupported};

/// Entries handed over at once, from the thread that walks a file system.
pub(super) const BATCH_ENTRIES: usize = 1_000;
/// Batches that may wait to be taken.
const BATCHES_MAX: usize = 4;

/// What a listing shows. Paths count from the prefix, with slashes between.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File {
        /// Where.
        path: String,
        /// Its size.
        bytes: u64,
        /// When it was last written, if the store says.
        modified_at: Option<Timestamp>,
    },
    /// A directory. A store shows few of them, as it has none of its own.
    Directory {
        /// Where.
        path: String,
        /// When something was last added or removed.
        modified_at: Option<Timestamp>,
    },
}

/// A place, and everything below it.
#[derive(Debug)]
pub struct Prefix {
    paths: Paths,
    location: Location,
    place: Place,
}

impl Prefix {
    /// What lies under a location, which is reached as `paths` says.
    pub fn new(paths: Paths, location: Location) -> Self {
        let place = paths.place(&location);
        Self {
            paths,
            location,
            place,
        }
    }

    /// What it is the beginning of.
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// The location of a path under it; its own, if the path is empty.
    pub fn join(&self, path: &str) -> Location {
        if path.is_empty() {
            self.location.clone()
        } else {
            self.location.join(path)
        }
    }

    /// Lists everything under it. Nothing at all is a fault: absence cannot be told from a mistake
    /// in the prefix.
    pub async fn walk(
        &self,
        mut each: impl FnMut(Entry) -> Result<(), Fault>,
    ) -> Result<(), Fault> {
        refuse_dots(&self.location)?;
        match &self.place {
            Place::Local(path) => {
                let path = path.clone();
                let (send, mut batches) = mpsc::channel(BATCHES_MAX);
                let walking = tokio::spawn(blocking(move || {
                    local::walk(&path, |batch| send.blocking_send(batch).is_ok())
                }));
                while let Some(batch) = batches.recv().await {
                    batch.into_iter().try_for_each(&mut each)?;
                }
                walking
                    .await
                    .unwrap_or_else(|_| Err(Fault::transient("the listing was interrupted")))
            }
            Place::Object(object) => {
                let operator = self.paths.stores.operator(&object.root)?;
                object::walk(&operator, object, each).await
            }
            Place::Unsupported(why) => Err(unsupported(why)),
        }
    }

    /// Where a location lies, from the prefix on; `None` if it does not lie under it.
    pub fn below(&self, location: &Location) -> Option<String> {
        refuse_dots(location).ok()?;
        match (&self.place, self.paths.place(location)) {
            (Place::Local(prefix), Place::Local(path)) => {
                let below = path.strip_prefix(prefix).ok()?;
                let parts: Option<Vec<&str>> = below
                    .components()
                    .map(|part| part.as_os_str().to_str())
                    .collect();
                Some(parts?.join("/"))
            }
            (Place::Object(prefix), Place::Object(object)) if prefix.root == object.root => {
                let below = object.key.strip_prefix(&prefix.prefix())?;
                Some(below.to_owned())
            }
            _ => None,
        }
    }

    /// Reads the `_metadata` of a directory under it, which the listing showed with so many bytes.
    pub async fn metadata(
        &self,
        path: &str,
        bytes: u64,
    ) -> Result<Result<Metadata, ParseError>, Fault> {
        let directory = self.paths.place(&self.join(path));
        let bytes = match directory {
            Place::Local(path) => {
                let read = blocking(move || local::metadata_bytes(&path.join(METADATA)));
                read.await?
            }
            Place::Object(object) => {
                let operator = self.paths.stores.operator(&object.root)?;
                Some(object::metadata(&operator, &object, bytes).await?)
            }
            Place::Unsupported(why) => return Err(unsupported(&why)),
        };
        let bytes = bytes.ok_or_else(|| {
            Fault::transient(format!("{} vanished while it was read", self.join(path)))
        })?;
        blocking(move || Ok(verify::parse(&bytes))).await
    }

    /// Reads a snapshot under it whole, as level 1 does.
    pub async fn read(&self, path: &str) -> Result<Reading, Fault> {
        self.paths.read(&self.join(path)).await
    }

    /// Every name of a path under it, the platform's own first.
    pub fn names(&self, path: &str) -> Vec<Location> {
        self.paths.names(&self.join(path))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::sync::Arc;

    use super::*;

    fn under(location: &str) -> Prefix {
        Prefix::new(Paths::default(), Location::new(location))
    }

    fn walked(prefix: &Prefix) -> Result<Vec<String>, Fault> {
        let mut seen = Vec::new();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        runtime.block_on(prefix.walk(|entry| {
            seen.push(match entry {
                Entry::File { path, bytes, .. } => format!("{path} {bytes}"),
                Entry::Directory { path, .. } => format!("{path}/"),
            });
            Ok(())
        }))?;
        seen.sort();
        Ok(seen)
    }

    #[test]
    fn every_file_and_directory_is_seen_once() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path();
        fs::create_dir_all(top.join("a/b")).unwrap();
        fs::create_dir(top.join("empty")).unwrap();
        fs::write(top.join("a/b/file"), "abc").unwrap();
        fs::write(top.join("top"), "").unwrap();
        std::os::unix::fs::symlink(top, top.join("round")).unwrap();
        std::os::unix::fs::symlink(top.join("a/b/file"), top.join("link")).unwrap();
        let seen = walked(&under(top.to_str().unwrap())).unwrap();
        assert_eq!(
            seen,
            ["/", "a/", "a/b/", "a/b/file 3", "empty/", "link 3", "top 0"]
        );
    }

    #[test]
    fn more_than_a_batch_comes_whole() {
        let directory = tempfile::tempdir().unwrap();
        let count = BATCH_ENTRIES * (BATCHES_MAX + 2);
        for number in 0..count {
            fs::write(directory.path().join(number.to_string()), "").unwrap();
        }
        let seen = walked(&under(directory.path().to_str().unwrap())).unwrap();
        assert_eq!(seen.len(), count + 1);
    }

    #[test]
    fn who_has_enough_ends_the_walk() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..BATCH_ENTRIES * (BATCHES_MAX + 2) {
            fs::write(directory.path().join(number.to_string()), "").unwrap();
        }
        let prefix = under(directory.path().to_str().unwrap());
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap();
        let mut seen = 0;
        let ended = runtime.block_on(prefix.walk(|_| {
            seen += 1;
            Err(Fault::permanent("enough"))
        }));
        assert_eq!((ended.unwrap_err().text.as_str(), seen), ("enough", 1));
    }

    #[test]
    fn what_is_not_there_is_a_fault() {
        assert!(walked(&under("/nowhere/at/all")).is_err());
        assert!(walked(&under("/tmp/../tmp")).is_err());
    }

    #[test]
    fn a_file_lies_below_under_any_of_its_names() {
        let below = |prefix: &Prefix, location: &str| prefix.below(&Location::new(location));
        let prefix = under("/a/b");
        assert_eq!(below(&prefix, "file:///a/b/c/d").as_deref(), Some("c/d"));
        assert_eq!(below(&prefix, "/a/b").as_deref(), Some(""));
        for outside in ["/a/bc", "/a", "/a/b/../c", "s3://a/b/c"] {
            assert_eq!(below(&prefix, outside), None, "{outside}");
        }
        let bucket = under("s3a://b/sp");
        assert_eq!(below(&bucket, "s3://b/sp/x/y").as_deref(), Some("x/y"));
        assert_eq!(below(&bucket, "s3://c/sp/x"), None);
        let top = under("s3://b");
        assert_eq!(below(&top, "s3p://b/x").as_deref(), Some("x"));
        let pairs = [("s3://state".to_owned(), "/mnt".to_owned())];
        let mounted = Prefix::new(Paths::new(&pairs, Arc::default()), Location::new("/mnt/sp"));
        assert_eq!(below(&mounted, "s3://state/sp/x").as_deref(), Some("x"));
        assert_eq!(mounted.names("x")[0].as_str(), "s3://state/sp/x");
    }
}
