//! The folder of one node, and what killed tests have left behind.
//!
//! A test that is killed removes nothing, and a node with images takes half a gigabyte: so each folder holds
//! a file that its owner keeps locked, and whoever starts a node removes the folders that nobody owns.

use std::fs::{self, File};
use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use super::cgroup;

const PREFIX: &str = "lowtide-node-";
const LOCK: &str = "owner.lock";

/// A folder that is removed when dropped.
#[derive(Debug)]
pub(super) struct Scratch {
    folder: TempDir,
    _lock: File,
}

impl Scratch {
    pub(super) fn make() -> Result<Self> {
        remove_left_behind(&std::env::temp_dir());
        let folder = tempfile::Builder::new().prefix(PREFIX).tempdir()?;
        let path = folder.path().join(LOCK);
        let lock = File::create(&path).with_context(|| format!("create {}", path.display()))?;
        lock.lock()
            .with_context(|| format!("lock {}", path.display()))?;
        Ok(Self {
            folder,
            _lock: lock,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The last part of the path: a name that no other node of this machine has.
    pub(super) fn name(&self) -> String {
        name(self.path())
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

/// What cannot be removed stays for the next one to try.
fn remove_left_behind(parent: &Path) {
    for entry in fs::read_dir(parent).into_iter().flatten().flatten() {
        let path = entry.path();
        // One without a lock file is just being made.
        let unowned = name(&path).starts_with(PREFIX)
            && File::open(path.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok());
        if unowned {
            cgroup::remove(&name(&path));
            let _ = fs::remove_dir_all(&path);
        }
    }
}
