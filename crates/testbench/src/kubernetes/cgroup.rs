//! The control groups of one node.
//!
//! A kubelet removes groups of pods that it does not know. So that two nodes on one machine leave each
//! other's pods alone, each has a group of its own, and its pods lie beneath.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::http::until;
use crate::say;

const ROOT: &str = "/sys/fs/cgroup";

/// The group's part of the processor, in the files and units of versions 1 and 2. By default a group counts as
/// much as one process outside of it, and pods would stand still beside a compiler: so it counts as eight.
const SHARES: [(&str, &str); 2] = [("cpu.shares", "8192"), ("cpu.weight", "800")];

/// The kernel needs a moment to forget the last process of a group.
const EMPTY_WITHIN: Duration = Duration::from_secs(10);

/// A group in every hierarchy; removed when dropped.
#[derive(Debug)]
pub(super) struct Cgroup {
    name: String,
}

impl Cgroup {
    /// Makes the group `name`.
    pub(super) fn make(name: String) -> Result<Self> {
        let cgroup = Self { name };
        for hierarchy in hierarchies()? {
            let group = hierarchy.join(&cgroup.name);
            fs::create_dir_all(&group).with_context(|| format!("create {}", group.display()))?;
            for (file, share) in SHARES {
                let path = group.join(file);
                if path.exists() {
                    fs::write(&path, share).with_context(|| format!("write {}", path.display()))?;
                }
            }
        }
        Ok(cgroup)
    }

    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        remove(&self.name);
    }
}

/// Removes the group `name` and all beneath it.
pub(super) fn remove(name: &str) {
    for hierarchy in hierarchies().unwrap_or_default() {
        let group = hierarchy.join(name);
        if !group.is_dir() {
            continue;
        }
        let gone = until("a control group to be empty", EMPTY_WITHIN, || {
            remove_tree(&group)?;
            Ok(Some(()))
        });
        if let Err(error) = gone {
            say::step(format!("{}: {error:#}", group.display()));
        }
    }
}

/// Version 2 has one hierarchy, version 1 one for each controller. Links such as `cpu` are other names of the
/// same.
fn hierarchies() -> Result<Vec<PathBuf>> {
    let root = Path::new(ROOT);
    if root.join("cgroup.controllers").is_file() {
        return Ok(vec![root.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(root).context("list the control groups")? {
        let entry = entry?;
        if entry.file_type()?.is_dir() && entry.path().join("cgroup.procs").is_file() {
            found.push(entry.path());
        }
    }
    Ok(found)
}

/// The files of a group are the kernel's; only the directories can be removed, the deepest first.
fn remove_tree(group: &Path) -> Result<()> {
    for entry in fs::read_dir(group)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            remove_tree(&entry.path())?;
        }
    }
    fs::remove_dir(group).with_context(|| format!("remove {}", group.display()))
}
