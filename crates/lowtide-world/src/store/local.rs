//! Local and mounted file systems.
//!
//! A missing file proves that a savepoint is broken, and a missing directory that a request left
//! nothing; both only where Lowtide can really see the place. A mount that is not there, a
//! directory without rights and a reference that leads out of what Lowtide may look at are
//! faults: blindness is not absence.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use lowtide_core::baseline::Listed;
use lowtide_core::fault::Fault;
use lowtide_core::name::Location;
use lowtide_core::run::Found;

use super::walk::{BATCH_ENTRIES, Entry};
use super::{DIRECTORIES_MAX, ENTRIES_MAX, METADATA, METADATA_BYTES_MAX, Opened};

/// Reads the `_metadata` of the directory at `path` and lists it.
pub(super) fn open(path: &Path) -> Result<Opened, Fault> {
    let names = names(path)?;
    let read = metadata_told(&path.join(METADATA))?;
    let (metadata, told) = read.unzip();
    Ok(Opened {
        metadata,
        told,
        names,
    })
}

/// Lists the directories in `target`, which is reached at `path`.
pub(super) fn directories(
    target: &Location,
    path: &Path,
    base: &Path,
) -> Result<Vec<Found>, Fault> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return nothing_there(base),
        Err(error) => return Err(fault("list", path, &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| fault("list", path, &error))?;
        // Not Flink's, if it is not even text.
        let Some(name) = entry.file_name().to_str().map(str::to_owned) else {
            continue;
        };
        let Some(kind) = looked_up(&entry.path())? else {
            continue;
        };
        if !kind.is_dir() {
            continue;
        }
        if found.len() == DIRECTORIES_MAX {
            return Err(super::too_many_directories(path.display()));
        }
        let has_metadata = looked_up(&entry.path().join(METADATA))?.is_some_and(|it| it.is_file());
        found.push(Found {
            location: target.join(&name),
            has_metadata,
            foreign: false,
        });
    }
    found.sort_by(|a, b| a.location.cmp(&b.location));
    Ok(found)
}

/// Absence counts only where the directory is seen that it would lie in.
fn nothing_there(base: &Path) -> Result<Vec<Found>, Fault> {
    match fs::metadata(base) {
        Ok(it) if it.is_dir() => Ok(Vec::new()),
        Ok(_) => Err(fault(
            "list",
            base,
            &io::Error::from(ErrorKind::NotADirectory),
        )),
        Err(error) => Err(fault("list", base, &error)),
    }
}

/// The names in a directory. Those that are not text are shown as well as can be. Sizes are left
/// for those who ask for a file: each is a call of its own.
fn names(path: &Path) -> Result<Vec<(String, Option<Listed>)>, Fault> {
    let entries = fs::read_dir(path).map_err(|error| fault("read", path, &error))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|error| fault("read", path, &error))?;
        if names.len() == ENTRIES_MAX {
            return Err(Fault::permanent(format!(
                "{} holds more than {ENTRIES_MAX} files",
                path.display()
            )));
        }
        names.push((entry.file_name().to_string_lossy().into_owned(), None));
    }
    names.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
    Ok(names)
}

/// Lists everything in and below a directory, until `send` has had enough of it. What vanishes
/// meanwhile is not there.
pub(super) fn walk(top: &Path, mut send: impl FnMut(Vec<Entry>) -> bool) -> Result<(), Fault> {
    let mut open = vec![(top.to_owned(), String::new())];
    let mut batch = Vec::new();
    while let Some((directory, below)) = open.pop() {
        let entries = match fs::read_dir(&directory) {
            Err(error) if error.kind() == ErrorKind::NotFound && !below.is_empty() => continue,
            entries => entries.map_err(|error| fault("list", &directory, &error))?,
        };
        batch.push(Entry::Directory {
            path: below.clone(),
            modified_at: modified_at(fs::metadata(&directory).ok()),
        });
        for entry in entries {
            let entry = entry.map_err(|error| fault("list", &directory, &error))?;
            let name = entry.file_name();
            let path = match below.as_str() {
                "" => name.to_string_lossy().into_owned(),
                below => format!("{below}/{}", name.to_string_lossy()),
            };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                open.push((entry.path(), path));
            } else if let Some(it) = looked_up(&entry.path())?.filter(fs::Metadata::is_file) {
                batch.push(Entry::File {
                    path,
                    bytes: it.len(),
                    modified_at: modified_at(Some(it)),
                });
            }
            if batch.len() >= BATCH_ENTRIES && !send(std::mem::take(&mut batch)) {
                return Ok(());
            }
        }
    }
    send(batch);
    Ok(())
}

fn modified_at(it: Option<fs::Metadata>) -> Option<Timestamp> {
    Timestamp::try_from(it?.modified().ok()?).ok()
}

/// The bytes of a `_metadata`; `None` if there is none.
pub(super) fn metadata_bytes(path: &Path) -> Result<Option<Vec<u8>>, Fault> {
    Ok(metadata_told(path)?.map(|(bytes, _)| bytes))
}

/// The same, and what is told of the file.
fn metadata_told(path: &Path) -> Result<Option<(Vec<u8>, Listed)>, Fault> {
    // Looked at before it is opened: opening a pipe would wait for ever.
    let Some(kind) = looked_up(path)? else {
        return Ok(None);
    };
    if !kind.is_file() {
        return Err(Fault::permanent(format!(
            "{} is not a file",
            path.display()
        )));
    }
    let mut bytes = Vec::new();
    File::open(path)
        .and_then(|file| file.take(METADATA_BYTES_MAX + 1).read_to_end(&mut bytes))
        .map_err(|error| fault("read", path, &error))?;
    if bytes.len() as u64 > METADATA_BYTES_MAX {
        return Err(Fault::permanent(format!(
            "{} is larger than {METADATA_BYTES_MAX} bytes",
            path.display()
        )));
    }
    Ok(Some((bytes, listed(&kind))))
}

/// What is told of a file without opening it.
fn listed(it: &fs::Metadata) -> Listed {
    let modified = it.modified().ok();
    let modified = modified.and_then(|at| jiff::Timestamp::try_from(at).ok());
    Listed {
        bytes: it.len(),
        etag: None,
        modified_ms: modified.map(jiff::Timestamp::as_millisecond),
    }
}

/// The size of a referenced file, and what else is told of it; `None` if it is missing. One that lies outside the savepoint's
/// directory is missing only where its own directory is seen.
pub(super) fn size(path: &Path, within: bool) -> Result<Option<Listed>, Fault> {
    if let Some(it) = looked_up(path)? {
        // A directory in a file's place is not the file.
        return Ok(it.is_file().then(|| listed(&it)));
    }
    if !within {
        let parent = path.parent().unwrap_or(path);
        looked_up(parent)?.ok_or_else(|| unseen("read", parent))?;
    }
    Ok(None)
}

/// Some bytes of a file; fewer if it ends before.
pub(super) fn range(path: &Path, bytes: Range<u64>) -> Result<Vec<u8>, Fault> {
    // Looked at before it is opened: opening a pipe would wait for ever.
    match looked_up(path)? {
        Some(kind) if kind.is_file() => {}
        Some(_) => {
            return Err(Fault::permanent(format!(
                "{} is not a file",
                path.display()
            )));
        }
        None => {
            return Err(Fault::gone(format!("{} is missing", path.display())));
        }
    }
    let mut read = Vec::new();
    File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(bytes.start))?;
            file.take(bytes.end - bytes.start).read_to_end(&mut read)
        })
        .map_err(|error| fault("read", path, &error))?;
    Ok(read)
}

/// Whether the directory's `_metadata` is still there: a directory that was deleted or unmounted
/// meanwhile says nothing of what it held.
pub(super) fn still_there(path: &Path) -> Result<(), Fault> {
    if looked_up(&path.join(METADATA))?.is_none() {
        return Err(Fault::transient(format!(
            "{} vanished while it was read",
            path.display()
        )));
    }
    Ok(())
}

/// When the `_metadata` of a directory was written; `None` if the file system does not say.
pub(super) fn completed_at(path: &Path) -> Result<Option<Timestamp>, Fault> {
    let path = path.join(METADATA);
    let it = fs::metadata(&path).map_err(|error| fault("look at", &path, &error))?;
    Ok(modified_at(Some(it)))
}

/// What is at a path, links followed; `None` if there is nothing.
fn looked_up(path: &Path) -> Result<Option<fs::Metadata>, Fault> {
    match fs::metadata(path) {
        Ok(it) => Ok(Some(it)),
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            Ok(None)
        }
        Err(error) => Err(fault("look at", path, &error)),
    }
}

pub(super) fn fault(what: &str, path: &Path, error: &io::Error) -> Fault {
    let shown = path.display();
    match error.kind() {
        ErrorKind::NotFound => unseen(what, path),
        ErrorKind::PermissionDenied => Fault::permanent(format!("cannot {what} {shown}: permission denied"))
            .hint("let the user that Lowtide runs as read there; Flink creates directories with its own user and mask"),
        ErrorKind::NotADirectory => Fault::permanent(format!("cannot {what} {shown}: not a directory")),
        // `EIO`, `ESTALE`, `ETIMEDOUT`: what mounted file systems say while they are away.
        _ => Fault::transient(format!("cannot {what} {shown}: {error}")),
    }
}

/// The fault of a directory that cannot be seen, with the deepest one above it that can.
fn unseen(what: &str, path: &Path) -> Fault {
    let seen = path
        .ancestors()
        .skip(1)
        .find(|above| above.is_dir())
        .map(PathBuf::from);
    let text = match seen {
        Some(seen) if seen != Path::new("/") => format!(
            "cannot {what} {}: no such directory ({} is there)",
            path.display(),
            seen.display()
        ),
        _ => format!("cannot {what} {}: no such directory", path.display()),
    };
    Fault::gone(text).hint("is it mounted where Lowtide runs? `paths:` of the platform says where Lowtide reaches what Flink writes")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use lowtide_core::fault::FaultKind;
    use lowtide_core::verify::{self, Reading};
    use tempfile::TempDir;

    use super::super::Paths;
    use super::*;

    /// A savepoint that Flink 2.3 wrote, from the metadata reader's own fixtures.
    const SAVEPOINT: &str = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../flink-metadata/tests/fixtures"
    );

    fn location(path: &Path) -> Location {
        Location::new(path.to_str().unwrap())
    }

    fn read_at(path: &Path) -> Result<Reading, Fault> {
        blocked(Paths::default().read(&location(path)))
    }

    fn blocked<T>(work: impl Future<Output = T>) -> T {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build();
        runtime.unwrap().block_on(work)
    }

    /// The `_metadata` of the first fixture that references files beside it, in a directory of
    /// its own with those files, each of the size wanted.
    fn savepoint() -> (TempDir, Vec<PathBuf>) {
        let directory = tempfile::tempdir().unwrap();
        let mut fixtures: Vec<PathBuf> = walk(Path::new(SAVEPOINT));
        fixtures.sort();
        for fixture in fixtures {
            let bytes = fs::read(&fixture).unwrap();
            let Ok(metadata) = verify::parse(&bytes) else {
                continue;
            };
            let place = location(directory.path());
            let wanted = verify::wanted(&metadata, &place);
            let beside = |at: &Location| super::super::below(at.as_str(), place.as_str()).is_some();
            if wanted.is_empty() || !wanted.iter().all(|(at, _)| beside(at)) {
                continue;
            }
            fs::write(directory.path().join(METADATA), &bytes).unwrap();
            let mut files = Vec::new();
            for (at, rule) in wanted {
                let file = directory.path().join(at.last());
                let (verify::SizeRule::Exactly(size) | verify::SizeRule::AtLeast(size)) = rule
                else {
                    continue;
                };
                File::create(&file).unwrap().set_len(size).unwrap();
                files.push(file);
            }
            return (directory, files);
        }
        panic!("no fixture has files beside it");
    }

    fn walk(path: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(path).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        paths
            .flat_map(|path| {
                if path.is_dir() {
                    walk(&path)
                } else {
                    vec![path]
                }
            })
            .collect()
    }

    #[test]
    fn a_whole_savepoint_and_a_stranger() {
        let (directory, files) = savepoint();
        fs::write(directory.path().join("stranger"), "").unwrap();
        let reading = read_at(directory.path()).unwrap();
        assert_eq!(reading.files.len(), files.len());
        assert_eq!(reading.extra, ["stranger"]);
        assert!(verify::judge(&reading, None).is_whole());
    }

    #[test]
    fn short_missing_and_replaced_files_show() {
        let (directory, files) = savepoint();
        let first = &files[0];
        let size = fs::metadata(first).unwrap().len();
        let found = || {
            let reading = read_at(directory.path()).unwrap();
            let file = reading.files.iter().find(|file| {
                Some(file.location.last()) == first.file_name().and_then(|name| name.to_str())
            });
            file.unwrap().found_bytes
        };
        File::create(first).unwrap().set_len(size - 1).unwrap();
        assert_eq!(found(), Some(size - 1));
        fs::remove_file(first).unwrap();
        assert_eq!(found(), None);
        fs::create_dir(first).unwrap();
        assert_eq!(found(), None);
    }

    #[test]
    fn a_link_is_what_it_leads_to() {
        let (directory, files) = savepoint();
        let elsewhere = tempfile::tempdir().unwrap();
        let moved = elsewhere.path().join("moved");
        fs::rename(&files[0], &moved).unwrap();
        std::os::unix::fs::symlink(&moved, &files[0]).unwrap();
        assert!(verify::judge(&read_at(directory.path()).unwrap(), None).is_whole());
    }

    #[test]
    fn a_directory_without_metadata_is_no_fault() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("data"), "x").unwrap();
        let reading = read_at(directory.path()).unwrap();
        assert_eq!(reading.metadata, None);
        assert_eq!(reading.extra, ["data"]);
    }

    #[test]
    fn a_damaged_metadata_is_read_and_wrong() {
        let (directory, _) = savepoint();
        let path = directory.path().join(METADATA);
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() / 2]).unwrap();
        let reading = read_at(directory.path()).unwrap();
        assert!(matches!(reading.metadata, Some(Err(_))));
        assert!(!verify::judge(&reading, None).is_whole());
    }

    #[test]
    fn what_cannot_be_seen_is_a_fault() {
        let directory = tempfile::tempdir().unwrap();
        let fault = read_at(&directory.path().join("a/b")).unwrap_err();
        assert_eq!(fault.kind, FaultKind::Gone);
        assert!(
            fault
                .text
                .contains(&format!("({} is there)", directory.path().display()))
        );
        assert!(fault.hint.is_some());
        let file = directory.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(read_at(&file).unwrap_err().kind, FaultKind::Permanent);
        assert_eq!(
            read_at(&file.join("x")).unwrap_err().kind,
            FaultKind::Permanent
        );
        fs::create_dir(directory.path().join(METADATA)).unwrap();
        assert_eq!(
            read_at(directory.path()).unwrap_err().kind,
            FaultKind::Permanent
        );
    }

    #[test]
    fn dots_are_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("a")).unwrap();
        let climbing = directory.path().join("a/..");
        assert_eq!(read_at(&climbing).unwrap_err().kind, FaultKind::Permanent);
        let target = Location::new(directory.path().join("a/../b").to_str().unwrap());
        let listed = blocked(Paths::default().directories(&target, &target));
        assert_eq!(listed.unwrap_err().kind, FaultKind::Permanent);
        // Not a part of its own.
        fs::create_dir(directory.path().join("a..b")).unwrap();
        assert!(read_at(&directory.path().join("a..b")).is_ok());
    }

    #[test]
    fn a_reference_elsewhere_is_missing_only_where_one_can_see() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| size(&directory.path().join(name), false);
        assert_eq!(at("missing"), Ok(None));
        assert_eq!(at("not-mounted/missing").unwrap_err().kind, FaultKind::Gone);
        // What the directory itself lacks is missing, however deep.
        let within = size(&directory.path().join("not-there/missing"), true);
        assert_eq!(within, Ok(None));
    }

    #[test]
    fn absence_needs_a_base_that_can_be_seen() {
        let base = tempfile::tempdir().unwrap();
        let target = base.path().join("orders/request-1");
        let list = |base: &Path| directories(&location(&target), &target, base);
        assert_eq!(list(base.path()), Ok(vec![]));
        let unmounted = base.path().join("not-mounted");
        assert_eq!(list(&unmounted).unwrap_err().kind, FaultKind::Gone);
        let file = base.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(list(&file).unwrap_err().kind, FaultKind::Permanent);
    }

    #[test]
    fn every_directory_is_listed_and_nothing_else() {
        let base = tempfile::tempdir().unwrap();
        let target = base.path().join("t");
        fs::create_dir_all(target.join("savepoint-b")).unwrap();
        fs::create_dir_all(target.join("savepoint-a")).unwrap();
        fs::write(target.join("savepoint-a").join(METADATA), "").unwrap();
        fs::write(target.join("file"), "").unwrap();
        let found = directories(&location(&target), &target, base.path()).unwrap();
        let found: Vec<_> = found
            .iter()
            .map(|it| (it.location.last(), it.has_metadata))
            .collect();
        assert_eq!(found, [("savepoint-a", true), ("savepoint-b", false)]);
    }

    #[test]
    fn too_many_directories_are_a_fault() {
        let target = tempfile::tempdir().unwrap();
        for number in 0..=DIRECTORIES_MAX {
            fs::create_dir(target.path().join(number.to_string())).unwrap();
        }
        let listed = directories(&location(target.path()), target.path(), target.path());
        assert_eq!(listed.unwrap_err().kind, FaultKind::Permanent);
    }
}
