//! A file system that is soon full.
//!
//! Tests run as root, whom no permission stops: what only a TaskManager cannot write is told apart from
//! what the JobManager cannot by size. A directory and a small `_metadata` still fit; state does not.

use std::path::Path;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::process;

/// A mounted `tmpfs` of a given size; unmounted when dropped.
#[derive(Debug)]
pub struct SmallFs {
    folder: TempDir,
}

impl SmallFs {
    /// Mounts one of `bytes` bytes (the kernel rounds up to whole pages).
    ///
    /// # Errors
    /// Mounting is not permitted: it needs root with `CAP_SYS_ADMIN`, for instance in a mount namespace.
    pub fn mount(bytes: u64) -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("lowtide-small-")
            .tempdir()?;
        let mut mount = process::bound("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={bytes},mode=0777"),
            "lowtide-small",
        ]);
        mount.arg(folder.path());
        process::output(mount).context(
            "mount a small tmpfs: this needs root with CAP_SYS_ADMIN (try: unshare --user \
             --map-root-user --mount)",
        )?;
        Ok(Self { folder })
    }

    /// Where it is mounted.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for SmallFs {
    fn drop(&mut self) {
        // Lazy: a JVM that is still being killed may hold a file open.
        let mut umount = process::bound("umount");
        umount.arg("--lazy").arg(self.folder.path());
        if let Err(error) = process::output(umount) {
            crate::say::step(format!(
                "unmount {}: {error:#}",
                self.folder.path().display()
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn it_takes_a_little_and_refuses_more() {
        let small = SmallFs::mount(64 << 10).unwrap();
        let path = small.path().to_owned();
        std::fs::write(path.join("little"), [0; 1 << 10]).unwrap();
        let more = std::fs::write(path.join("more"), vec![0; 128 << 10]);
        assert_eq!(more.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
        drop(small);
        assert!(!path.exists());
    }
}
